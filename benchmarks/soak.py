"""A server under clients that come, drop, come back and leave, with audio faster than real time: does anything grow?

    python -m benchmarks.soak --minutes 60 --clients 8

Each client sends a recording, loses its connection at random moments (in the middle of a message, after `stop` too),
comes back with its session and goes on; some leave for good without a word. Every final result is compared with the
engine's own over the same audio, so what is lost or doubled is found. Memory and file descriptors of the server
process are sampled; they must be flat once every client has been there a few times.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.serve import metric, running_server, speech_of
from turnstream.diarizer import Diarizer
from turnstream.events import Final, Turn
from turnstream.protocol.messages import Start, Started, decode_server, encode
from turnstream.weights.store import demo_recording

VARIANTS = 3  # parts of the recordings by length; each is diarized once to compare with
CUT_SHARE, LEAVE_SHARE = 0.5, 0.1


@dataclass
class Tally:
    """What happened so far."""

    sessions: int = 0
    cuts: int = 0
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
    cuts: int = 0

    async def run(self, url: str) -> bool:
        """True once the final result is there, False where the client left without it."""
        while self.final is None:
            if self.cuts and self.chance.random() < LEAVE_SHARE:
                return False
            with contextlib.suppress(ConnectionClosed):
                await self._connection(url)
            self.cuts += self.final is None
        return True

    async def _connection(self, url: str) -> None:
        start = Start(session=self.started.session, seq=self.seq) if self.started else Start()
        async with connect(url + "/v1", max_size=None, ping_timeout=None) as socket:
            await socket.send(encode(start))
            self._hear(await socket.recv())
            listening = asyncio.create_task(self._listen(socket))
            assert self.started
            at, cut = 2 * self.started.position, self.chance.random() < CUT_SHARE
            until = self.chance.randrange(at, len(self.audio) + 1) if cut else len(self.audio)
            while at < until:
                size = self.chance.choice([999, 16_000, 100_001])
                await socket.send(self.audio[at : min(at + size, until)])
                at = min(at + size, until)
                await asyncio.sleep(self.chance.choice([0, 0, 0.01]))
            if until == len(self.audio):
                await socket.send('{"type":"stop"}')
            if cut:
                await asyncio.sleep(self.chance.choice([0, 0.2]))
                socket.transport.abort()
            await listening

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


def expected_turns(audio: list[bytes]) -> list[tuple[Turn, ...]]:
    """The engine's own final turns of each piece."""
    found = []
    with Diarizer() as diarizer:
        for piece in audio:
            session = diarizer.session()
            session.feed(piece)
            found.append(session.close().turns)
    return found


async def clients(url: str, number: int, pieces: list[bytes], expected: list[tuple[Turn, ...]], tally: Tally) -> None:
    """One after another, for as long as the task is not cancelled."""
    chance = random.Random(number)
    while True:
        which = chance.randrange(len(pieces))
        client = Client(pieces[which], chance)
        done = await client.run(url)
        tally.sessions += 1
        tally.cuts += client.cuts
        tally.left += not done
        tally.audio_s += len(pieces[which]) / 32_000
        tally.wrong += done and client.final is not None and client.final.turns != expected[which]


async def soak(process_id: int, url: str, minutes: float, count: int, pieces: list[bytes]) -> Tally:
    """All clients at once until the time is over."""
    tally, expected = Tally(), await asyncio.to_thread(expected_turns, pieces)
    tasks = [asyncio.create_task(clients(url, number, pieces, expected, tally)) for number in range(count)]
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
        f"  {tally.cuts:5d} cuts  {tally.left:4d} left  {tally.wrong} wrong  {mib:6.1f} MiB  {descriptors} descriptors"
    )


def footprint(process_id: int) -> tuple[float, int]:
    """Resident memory in MiB and open file descriptors of a process."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{process_id}/fd"))


def main() -> None:
    """Prints a line now and then, and at the end what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=8)
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
        tally = asyncio.run(soak(process.pid, url, args.minutes, args.clients, pieces))
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
            "cuts": Figure(tally.cuts, "connections", "time", "neither"),
            "left": Figure(tally.left, "sessions", "time", "neither"),
            "wrong_results": Figure(tally.wrong, "sessions", "count"),
            "sessions_at_the_end": Figure(left, "sessions", "count"),
            "memory": Figure(mib, "MiB", "time"),
            "memory_growth": Figure(float(slope), "MiB/min", "time"),
            "descriptors": Figure(descriptors, "descriptors", "time"),
        }
        data = [recording(Path(path)) for path in args.paths or [demo_recording()[0]]]
        parameters = {"minutes": args.minutes, "clients": args.clients, "lengths_s": args.lengths}
        Result("soak", asked("benchmarks.soak"), figures, parameters, data=data, load=load).write(args.json)
    assert tally.wrong == 0, f"expected no wrong result, got {tally.wrong}"
    assert left == 0, f"expected no session to be left, got {left:g}"


if __name__ == "__main__":
    main()
