"""A server under clients that come, drop, break the rules, come back and leave: is a result wrong, does anything grow?

    python -m benchmarks.soak --minutes 60 --clients 8 [--seed 0]

Each client sends a recording faster than real time and is stopped by faults at random moments, each of which ends its
connection: it is gone in the middle of a message, of a frame or after `stop`, it says what the protocol does not allow,
floods, or opens a second connection for its session. Then it comes back and goes on; some leave for good without a
word. Every final result is compared with `turnstream file` on the same audio, so what is lost or doubled is found.
Memory and file descriptors of the server process are sampled; they must be flat once every client has been there a few
times. With the same seed the clients choose the same; when they do it depends on the machine.

    python -m benchmarks.soak --minutes 30 --servers 3

Three servers with one store behind HAProxy, of which one or two at a time are killed, hang or are replaced every ten
seconds: the results have to be right nevertheless, and no session may be lost. Memory is that of all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.serve import metric, running_server, speech_of
from benchmarks.soak_client import Client
from benchmarks.soak_servers import Servers, servers
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ

VARIANTS = 3  # parts of the recordings by length; each is diarized once to compare with
FORGOTTEN_S = 13.0  # after the last client has left: more than --resume
EVERY_MIN = 5  # memory is told in the result


@dataclass
class Tally:
    """What happened so far."""

    sessions: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    left: int = 0
    wrong: int = 0
    audio_s: float = 0.0
    samples: list[tuple[float, float, int]] = field(default_factory=list)  # (minutes, MiB, file descriptors)


def expected_rttm(pieces: list[bytes]) -> list[str]:
    """What `turnstream file` writes about each piece."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.wav" for number in range(len(pieces))]
        for path, piece in zip(paths, pieces, strict=True):
            soundfile.write(path, np.frombuffer(piece, "<i2"), SAMPLE_RATE_HZ)
        turnstream = str(Path(sys.executable).with_name("turnstream"))
        # With --json the speakers have the numbers under which a listener came to know them.
        command = [turnstream, "file", *map(str, paths), "--json", "--out", f"{folder}/{{name}}.rttm"]
        subprocess.run(command, check=True, capture_output=True)
        return [path.with_suffix(".rttm").read_text() for path in paths]


async def clients(url: str, chance: random.Random, pieces: list[bytes], expected: list[str], tally: Tally) -> None:
    """One after another, for as long as the task is not cancelled."""
    while True:
        which = chance.randrange(len(pieces))
        client = Client(pieces[which], chance)
        done = await client.run(url)
        tally.sessions += 1
        tally.faults += client.faults
        tally.left += not done
        tally.audio_s += len(pieces[which]) / 32_000
        tally.wrong += done and not client.has(str(which), expected[which])


async def soak(
    footprint: Callable[[], tuple[float, int]], url: str, minutes: float, count: int, pieces: list[bytes], seed: int
) -> Tally:
    """All clients at once until the time is over."""
    tally, expected = Tally(), await asyncio.to_thread(expected_rttm, pieces)
    tally.samples.append((0.0, *footprint()))
    chances = [random.Random(f"{seed} {number}") for number in range(count)]
    tasks = [asyncio.create_task(clients(url, chance, pieces, expected, tally)) for chance in chances]
    begun_s = time.monotonic()
    while (gone := time.monotonic() - begun_s) < minutes * 60:
        await asyncio.sleep(min(10.0, minutes * 6))
        for task in tasks:
            if task.done():
                task.result()
        tally.samples.append((gone / 60, *footprint()))
        print(line(tally), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return tally


async def soak_dying(
    behind: Servers, minutes: float, count: int, pieces: list[bytes], seed: int
) -> tuple[Tally, float]:
    """The same while servers die; and the sessions that are left at the end."""
    await behind.start_all()
    dying = asyncio.create_task(behind.suffer(random.Random(f"{seed} deaths")))
    tally = await soak(behind.footprint, behind.url, minutes, count, pieces, seed)
    behind.over = True
    await dying
    await asyncio.sleep(FORGOTTEN_S)
    left = [await asyncio.to_thread(metric, f"ws://127.0.0.1:{port}", "sessions") for port in behind.ports]
    return tally, sum(left)


def line(tally: Tally) -> str:
    """How it stands."""
    minutes, mib, descriptors = tally.samples[-1]
    return (
        f"{minutes:6.1f} min  {tally.audio_s / 3600:6.2f} h of audio  {tally.sessions:5d} sessions"
        f"  {tally.faults.total():5d} faults  {tally.left:4d} left  {tally.wrong} wrong"
        f"  {mib:6.1f} MiB  {descriptors} descriptors"
    )


def footprint(process_id: int) -> tuple[float, int]:
    """Resident memory in MiB and open file descriptors of a process."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{process_id}/fd"))


def memory(samples: list[tuple[float, float, int]]) -> dict[str, Figure]:
    """MiB at the start and every few minutes."""
    found, next_min = {}, 0.0
    for minutes, mib, _ in samples:
        if minutes >= next_min:
            found[f"memory_at.{next_min:02.0f}_min"] = Figure(mib, "MiB", "time")
            next_min += EVERY_MIN
    return found


def growth(samples: list[tuple[float, float, int]], minutes: float) -> float:
    """MiB a minute in the second half."""
    half = [sample for sample in samples if sample[0] > minutes / 2] or samples
    if len(half) < 2:
        return 0.0
    return float(np.polyfit([sample[0] for sample in half], [sample[1] for sample in half], 1)[0])


def main() -> None:
    """Prints a line now and then, and at the end what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--servers", type=int, metavar="N", help="N servers behind HAProxy, which die at random")
    parser.add_argument("--lengths", type=int, nargs="+", default=[6, 11, 17, 26], metavar="S", help="of sessions")
    parser.add_argument("paths", nargs="*", help="16 kHz recordings (default: the demo recording)")
    add_json(parser)
    args, load = parser.parse_args(), os.getloadavg()[0]
    speech = speech_of(args.paths)
    pieces = [
        np.resize(np.roll(speech, -variant * 100_000), length_s * 16_000).astype("<i2").tobytes()
        for length_s in args.lengths
        for variant in range(VARIANTS)
    ]
    options, deaths = ("--resume", "10"), Counter[str]()
    if args.servers:
        room = ("--sessions", str(4 * args.clients), "--sessions-per-address", str(4 * args.clients))
        with servers(args.servers, *room, *options, "--snapshots", "2") as behind:
            tally, left = asyncio.run(soak_dying(behind, args.minutes, args.clients, pieces, args.seed))
            (mib, descriptors), deaths = behind.footprint(), behind.deaths
        print(f"servers: {', '.join(f'{count} {death}' for death, count in deaths.items())}")
    else:
        with running_server(4 * args.clients, *options) as (process, url):
            own = functools.partial(footprint, process.pid)
            tally = asyncio.run(soak(own, url, args.minutes, args.clients, pieces, args.seed))
            time.sleep(FORGOTTEN_S)
            left = metric(url, "sessions")
            mib, descriptors = own()
    print(f"all gone: {mib:.1f} MiB, {descriptors} descriptors, {left:g} sessions")
    slope = growth(tally.samples, args.minutes)
    if not args.servers:  # those that die begin anew
        print(f"second half: {slope:+.3f} MiB a minute")
    if args.json:
        figures = {
            "sessions": Figure(tally.sessions, "sessions", "time", "neither"),
            "audio": Figure(tally.audio_s / 3600, "h", "time", "neither"),
            "faults": Figure(tally.faults.total(), "connections", "time", "neither"),
            **{
                f"faults_of.{fault.replace(' ', '_')}": Figure(count, "connections", "time", "neither")
                for fault, count in sorted(tally.faults.items())
            },
            **{
                f"deaths_of_servers.{death.replace(' ', '_')}": Figure(count, "servers", "time", "neither")
                for death, count in sorted(deaths.items())
            },
            "left": Figure(tally.left, "sessions", "time", "neither"),
            "wrong_results": Figure(tally.wrong, "sessions", "count"),
            "sessions_at_the_end": Figure(left, "sessions", "count"),
            "memory": Figure(mib, "MiB", "time"),
            **memory(tally.samples),
            **({} if args.servers else {"memory_growth": Figure(slope, "MiB/min", "time")}),
            "descriptors": Figure(descriptors, "descriptors", "time"),
        }
        data = [recording(Path(path)) for path in args.paths or [demo_recording()[0]]]
        parameters = {"minutes": args.minutes, "clients": args.clients, "lengths_s": args.lengths}
        parameters |= {"servers": args.servers} if args.servers else {}
        name = "soak_servers" if args.servers else "soak"
        Result(name, asked("benchmarks.soak"), figures, parameters, data=data, seed=args.seed, load=load).write(
            args.json
        )
    assert tally.wrong == 0, f"expected no wrong result, got {tally.wrong}"
    assert left == 0, f"expected no session to be left, got {left:g}"


if __name__ == "__main__":
    main()
