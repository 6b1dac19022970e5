"""A server under clients that come, drop, break the rules, come back and leave: is a result wrong, does anything grow?

    python -m benchmarks.soak --minutes 60 --clients 8 [--seed 0]

Each client sends a recording faster than real time and is stopped by faults at random moments, each of which ends its
connection: it is gone in the middle of a message, of a frame or after `stop`, it says what the protocol does not allow,
floods, or opens a second connection for its session. Then it comes back and goes on; some leave for good without a
word. Every final result is compared with `turnstream file` on the same audio, so what is lost or doubled is found.
Memory and file descriptors of the server process are sampled. Before the first client, halfway and at the end nobody is
there for a while, and the server at rest must hold at the end what it held halfway: memory in use, objects of Python,
descriptors. With the same seed the clients choose the same; when they do it depends on the machine.
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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.footprint import Footprint, check_flat, figures, footprint
from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.serve import metric, running_server, speech_of
from benchmarks.soak_client import Client
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ

Sample = Callable[[float], Footprint]  # of what serves, so many minutes after the start
Visitor = Callable[[str], Coroutine[None, None, None]]  # clients one after another, at this address
VARIANTS = 3  # parts of the recordings by length; each is diarized once to compare with
RESUME_S = 10  # sessions of clients that are gone
REST_S = RESUME_S + 3 + 60  # until nothing is left of them, and until free memory was given back


@dataclass
class Tally:
    """What happened so far."""

    sessions: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    left: int = 0
    wrong: int = 0
    audio_s: float = 0.0
    samples: list[Footprint] = field(default_factory=list)


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
    sample: Sample, url: str, since_min: float, minutes: float, visitors: list[Visitor], tally: Tally
) -> None:
    """All clients at once, for so many minutes, after those of before."""
    tasks = [asyncio.create_task(visitor(url)) for visitor in visitors]
    begun_s = time.monotonic()
    while (gone_min := (time.monotonic() - begun_s) / 60) < minutes:
        await asyncio.sleep(min(10.0, minutes * 6))
        for task in tasks:
            if task.done():
                task.result()
        tally.samples.append(await asyncio.to_thread(sample, since_min + gone_min))
        print(line(tally), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def rest(sample: Sample, minutes: float) -> Footprint:
    """The server once nobody is there any more."""
    time.sleep(REST_S if minutes else 0)
    found = sample(minutes)
    print(
        f"{minutes:6.1f} min  at rest: {found.resident_mib:.1f} MiB, {found.allocated_mib:.1f} of it in use,"
        f" {found.blocks:.0f} objects, {found.descriptors} descriptors",
        flush=True,
    )
    return found


def line(tally: Tally) -> str:
    """How it stands."""
    now = tally.samples[-1]
    return (
        f"{now.minutes:6.1f} min  {tally.audio_s / 3600:6.2f} h of audio  {tally.sessions:5d} sessions"
        f"  {tally.faults.total():5d} faults  {tally.left:4d} left  {tally.wrong} wrong"
        f"  {now.resident_mib:6.1f} MiB  {now.descriptors} descriptors"
    )


def expected_and_visitors(args: argparse.Namespace, tally: Tally) -> list[Visitor]:
    """Clients that send pieces of the recordings, and know what has to come of them."""
    speech = speech_of(args.paths)
    pieces = [
        np.resize(np.roll(speech, -variant * 100_000), length_s * 16_000).astype("<i2").tobytes()
        for length_s in args.lengths
        for variant in range(VARIANTS)
    ]
    expected = expected_rttm(pieces)
    chances = [random.Random(f"{args.seed} {number}") for number in range(args.clients)]
    return [
        functools.partial(clients, chance=chance, pieces=pieces, expected=expected, tally=tally) for chance in chances
    ]


def counts(tally: Tally, sessions_left: float) -> dict[str, Figure]:
    """What the clients did and saw."""
    kinds = {f"faults_of.{fault.replace(' ', '_')}": count for fault, count in sorted(tally.faults.items())}
    return {
        "sessions": Figure(tally.sessions, "sessions", "time", "neither"),
        "audio": Figure(tally.audio_s / 3600, "h", "time", "neither"),
        "faults": Figure(tally.faults.total(), "connections", "time", "neither"),
        **{name: Figure(count, "connections", "time", "neither") for name, count in kinds.items()},
        "left": Figure(tally.left, "sessions", "time", "neither"),
        "wrong_results": Figure(tally.wrong, "sessions", "count"),
        "sessions_at_the_end": Figure(sessions_left, "sessions", "count"),
    }


def options(doc: str | None) -> argparse.ArgumentParser:
    """What every soak may be asked for."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lengths", type=int, nargs="+", default=[6, 11, 17, 26], metavar="S", help="of sessions")
    parser.add_argument("paths", nargs="*", help="16 kHz recordings (default: the demo recording)")
    add_json(parser)
    return parser


def write(name: str, args: argparse.Namespace, found: dict[str, Figure], load: float) -> None:
    """The result, where it is asked for."""
    if args.json:
        parameters = {key: value for key, value in vars(args).items() if key not in ("json", "paths", "seed")}
        data = [recording(Path(path)) for path in args.paths or [demo_recording()[0]]]
        Result(name, asked(f"benchmarks.{name}"), found, parameters, data=data, seed=args.seed, load=load).write(
            args.json
        )


def check(tally: Tally, sessions_left: float) -> None:
    """Raises AssertionError where a result was wrong, or a session is left."""
    assert tally.wrong == 0, f"expected no wrong result, got {tally.wrong}"
    assert sessions_left == 0, f"expected no session to be left, got {sessions_left:g}"


def main() -> None:
    """Prints a line now and then, and at the end what grew."""
    args, load, tally = options(__doc__).parse_args(), os.getloadavg()[0], Tally()
    visitors = expected_and_visitors(args, tally)
    with running_server(4 * args.clients, "--resume", str(RESUME_S)) as (process, url):
        sample = functools.partial(footprint, process.pid, url)
        rests = [rest(sample, 0.0)]
        for half in (1, 2):
            asyncio.run(soak(sample, url, rests[-1].minutes, args.minutes / 2, visitors, tally))
            rests.append(rest(sample, half * args.minutes / 2))
        left = metric(url, "sessions")
    found = figures(tally.samples, rests)
    slope = found["memory_growth"]
    low, high = slope.spread or (0.0, 0.0)
    print(f"second half: {slope.value:+.3f} MiB a minute ({low:+.3f} to {high:+.3f}); {left:g} sessions left")
    write("soak", args, {**counts(tally, left), **found}, load)
    check(tally, left)
    check_flat(found)


if __name__ == "__main__":
    main()
