"""A server under clients that come, drop, break the rules, come back and leave: is a result wrong, does anything grow?

    python -m benchmarks.soak --minutes 60 --clients 8 [--seed 0]

Each client sends a recording faster than real time and is stopped by faults at random moments, each of which ends its
connection: it is gone in the middle of a message, of a frame or after `stop`, it says what the protocol does not allow,
floods, or opens a second connection for its session. Then it comes back and goes on; some leave for good without a
word. Every final result is compared with `turnstream file` on the same audio, so what is lost or doubled is found.
Memory and file descriptors of the server process are sampled; they must be flat once every client has been there a few
times. With the same seed the clients choose the same; when they do it depends on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.serve import metric, running_server, speech_of
from turnstream.events import Final
from turnstream.protocol.messages import Start, Started, decode_server, encode
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ

VARIANTS = 3  # parts of the recordings by length; each is diarized once to compare with
FAULT_SHARE, LEAVE_SHARE = 0.8, 0.03
FAULT_WITHIN_S = 2  # of audio
FAULTS = ("gone", "gone", "gone", "half a frame", "malformed", "flood", "replaced")  # those named more often come so
FLOOD = 3_000  # keep-alives, more than a connection may send in a moment
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


@dataclass
class Client:
    """One session through all its connections."""

    audio: bytes
    chance: random.Random
    seq: int = 0
    started: Started | None = None
    final: Final | None = None
    faults: Counter[str] = field(default_factory=Counter)

    async def run(self, url: str) -> bool:
        """True once the final result is there, False where the client left without it."""
        while self.final is None:
            if self.faults and self.chance.random() < LEAVE_SHARE:
                return False
            with contextlib.suppress(ConnectionClosed):
                await self._connection(url)
        return True

    async def _connection(self, url: str) -> None:
        start = Start(session=self.started.session, seq=self.seq) if self.started else Start()
        async with connect(url + "/v1", max_size=None, ping_timeout=None) as socket:
            await socket.send(encode(start))
            self._hear(await socket.recv())
            listening = asyncio.create_task(self._listen(socket))
            assert self.started
            at = 2 * self.started.position
            fault = self.chance.choice(FAULTS) if self.chance.random() < FAULT_SHARE else None
            last = min(len(self.audio), at + 2 * FAULT_WITHIN_S * SAMPLE_RATE_HZ) if fault else len(self.audio)
            until = self.chance.randrange(at, last + 1) if fault else last
            try:
                await self._send(socket, at, until)
                if fault:
                    self.faults[fault] += 1
                    await self._commit(fault, socket, url)
            finally:
                await listening

    async def _send(self, socket: ClientConnection, at: int, until: int) -> None:
        while at < until:
            size = self.chance.choice([999, 16_000, 100_001])
            await socket.send(self.audio[at : min(at + size, until)])
            at = min(at + size, until)
            await asyncio.sleep(self.chance.choice([0, 0, 0.01]))
        if until == len(self.audio):
            await socket.send('{"type":"stop"}')

    async def _commit(self, fault: str, socket: ClientConnection, url: str) -> None:
        """Do what ends the connection."""
        match fault:
            case "half a frame":
                socket.transport.write(b"\x82\xfe\x40\x00" + bytes(99))  # a frame of 16 KiB begins
                await asyncio.sleep(0)
            case "malformed":
                await socket.send('{"type":"start","version":"one"')
                return
            case "flood":
                socket.transport.write((b"\x81\x94" + bytes(4) + b'{"type":"KeepAlive"}') * FLOOD)
                return
            case "replaced":
                assert self.started
                async with connect(url + "/v1") as other:
                    await other.send(encode(Start(session=self.started.session, seq=self.seq)))
                    await other.recv()
        await asyncio.sleep(self.chance.choice([0, 0.2]))
        socket.transport.abort()

    async def _listen(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                self._hear(text)

    def _hear(self, text: str | bytes) -> None:
        seq, message = decode_server(text)
        if seq is not None:
            assert seq > self.seq, f"expected a number above {self.seq}, got {seq}"
            self.seq = seq
        if isinstance(message, Started):
            self.started = message
        if isinstance(message, Final):
            self.final = message


def expected_rttm(pieces: list[bytes]) -> list[str]:
    """What `turnstream file` writes about each piece."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.wav" for number in range(len(pieces))]
        for path, piece in zip(paths, pieces, strict=True):
            soundfile.write(path, np.frombuffer(piece, "<i2"), SAMPLE_RATE_HZ)
        command = [str(Path(sys.executable).with_name("turnstream")), "file", *map(str, paths), "--rttm", f"{folder}/"]
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
        tally.wrong += done and client.final is not None and client.final.to_rttm(str(which)) != expected[which]


async def soak(process_id: int, url: str, minutes: float, count: int, pieces: list[bytes], seed: int) -> Tally:
    """All clients at once until the time is over."""
    tally, expected = Tally(), await asyncio.to_thread(expected_rttm, pieces)
    tally.samples.append((0.0, *footprint(process_id)))
    chances = [random.Random(f"{seed} {number}") for number in range(count)]
    tasks = [asyncio.create_task(clients(url, chance, pieces, expected, tally)) for chance in chances]
    begun_s = time.monotonic()
    while (gone := time.monotonic() - begun_s) < minutes * 60:
        await asyncio.sleep(min(10.0, minutes * 6))
        for task in tasks:
            if task.done():
                task.result()
        tally.samples.append((gone / 60, *footprint(process_id)))
        print(line(tally), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return tally


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


def main() -> None:
    """Prints a line now and then, and at the end what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
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
    with running_server(4 * args.clients, "--resume", "10") as (process, url):
        tally = asyncio.run(soak(process.pid, url, args.minutes, args.clients, pieces, args.seed))
        time.sleep(13)
        left = metric(url, "sessions")
        mib, descriptors = footprint(process.pid)
    half = [sample for sample in tally.samples if sample[0] > args.minutes / 2] or tally.samples
    slope = np.polyfit([sample[0] for sample in half], [sample[1] for sample in half], 1)[0] if len(half) > 1 else 0.0
    print(
        f"second half: {slope:+.3f} MiB a minute; all gone: {mib:.1f} MiB, {descriptors} descriptors, {left:g} sessions"
    )
    if args.json:
        figures = {
            "sessions": Figure(tally.sessions, "sessions", "time", "neither"),
            "audio": Figure(tally.audio_s / 3600, "h", "time", "neither"),
            "faults": Figure(tally.faults.total(), "connections", "time", "neither"),
            **{
                f"faults_of.{fault.replace(' ', '_')}": Figure(count, "connections", "time", "neither")
                for fault, count in sorted(tally.faults.items())
            },
            "left": Figure(tally.left, "sessions", "time", "neither"),
            "wrong_results": Figure(tally.wrong, "sessions", "count"),
            "sessions_at_the_end": Figure(left, "sessions", "count"),
            "memory": Figure(mib, "MiB", "time"),
            **memory(tally.samples),
            "memory_growth": Figure(float(slope), "MiB/min", "time"),
            "descriptors": Figure(descriptors, "descriptors", "time"),
        }
        data = [recording(Path(path)) for path in args.paths or [demo_recording()[0]]]
        parameters = {"minutes": args.minutes, "clients": args.clients, "lengths_s": args.lengths}
        Result("soak", asked("benchmarks.soak"), figures, parameters, data=data, seed=args.seed, load=load).write(
            args.json
        )
    assert tally.wrong == 0, f"expected no wrong result, got {tally.wrong}"
    assert left == 0, f"expected no session to be left, got {left:g}"


if __name__ == "__main__":
    main()
