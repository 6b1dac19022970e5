"""What floods of one client do to the others: how fast `/health` answers meanwhile, and the lag of live sessions.

    python -m benchmarks.floods [--seconds 10] [--sessions 2] [--only FLOOD...] [--json FOLDER]

A server of this machine gets one flood after another, each from a process of its own, while live sessions run and
`/health` is asked 20 times a second. Before the first and after the last, nothing floods: the live lag with a flood is
told beside that. All of it goes to 127.0.0.1 and ends by itself. The flooding process takes processor time too: on a
machine of few cores a part of the lag is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from benchmarks.results import Figure, Result
from benchmarks.serve import run, running_server, speech_of
from turnstream.protocol.messages import Start, encode

ASK_S = 0.05
STRANGER = ("127.0.0.2", 0)  # the address of floods; not that of the others, and there on Linux only
BURST = 60_000  # tiny frames of one connection; most of them come after the server has closed it
PAUSE_S = 0.2  # between two bursts
SILENT = 300  # connections that say nothing, held open at once
GONE = (OSError, EOFError, ConnectionClosed, InvalidHandshake)  # TimeoutError is an OSError
NOBODY = "none"
PLACES = 200  # of the server: sessions of floods keep theirs for a while
COLUMNS = ("health_p95", "health_max", "health_lost", "live_p50", "live_p95")


def frame(opcode: int, data: bytes) -> bytes:
    """As a client sends it, with a mask of zeros."""
    return bytes([0x80 | opcode, 0x80 | len(data), 0, 0, 0, 0]) + data


async def names(url: str) -> None:
    """A `start` with 100 names of people that nobody knows."""
    async with connect(url, local_addr=STRANGER) as socket:
        await socket.send(encode(Start(speakers=tuple(f"Nobody {number}" for number in range(100)))))
        await socket.recv()


def tiny(data: bytes) -> Callable[[str], Awaitable[None]]:
    """Frames of a session, as many as the socket takes."""

    async def flood(url: str) -> None:
        async with connect(url, local_addr=STRANGER) as socket:
            await socket.send(encode(Start()))
            socket.transport.write(data * BURST)
            await socket.wait_closed()
        await asyncio.sleep(PAUSE_S)

    return flood


async def wide(url: str) -> None:
    """48 kHz and 64 channels, as fast as it is taken."""
    async with connect(url, local_addr=STRANGER) as socket:
        await socket.send(encode(Start(sample_rate_hz=48_000, channels=64)))
        while True:
            await socket.send(bytes(1 << 20))


async def silent(url: str) -> None:
    """Websockets that say nothing."""
    sockets = await asyncio.gather(*(connect(url, local_addr=STRANGER) for _ in range(SILENT)), return_exceptions=True)
    try:
        await asyncio.sleep(1.0)
    finally:
        for socket in sockets:
            if not isinstance(socket, BaseException):
                socket.transport.abort()


async def bare(url: str) -> None:
    """TCP connections that say nothing."""
    place = urlsplit(url)
    open_connection = partial(asyncio.open_connection, place.hostname, place.port, local_addr=STRANGER)
    opened = await asyncio.gather(*(open_connection() for _ in range(SILENT)))
    try:
        await asyncio.sleep(1.0)
    finally:
        for _, writer in opened:
            writer.close()


FLOODS: dict[str, Callable[[str], Awaitable[None]]] = {
    "names": names,
    "bytes": tiny(frame(2, b"x")),
    "keep-alives": tiny(frame(1, b'{"type":"KeepAlive"}')),
    "pings": tiny(frame(9, b"")),
    "wide": wide,
    "silent": silent,
    "bare": bare,
}


async def flood_for(name: str, url: str, seconds: float) -> None:
    """The flood again and again, whatever the server says to it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(*GONE):
                    await FLOODS[name](url)


@contextlib.contextmanager
def asking(url: str, answers_ms: list[float]) -> Iterator[None]:
    """Asks for /health all the while, in a thread of its own."""
    over, address = Event(), url.replace("ws:", "http:") + "/health"

    def ask() -> None:
        while not over.wait(ASK_S):
            begun_s = time.monotonic()
            with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=30) as answer:
                answer.read()
                answers_ms.append(1e3 * (time.monotonic() - begun_s))
                continue
            answers_ms.append(np.nan)

    thread = Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(name: str, url: str, sessions: int, seconds: float, speech: np.ndarray) -> tuple[list[float], list[float]]:
    """Milliseconds of the answers on /health (NaN: none came), and of the lags of live sessions, under a flood."""
    answers_ms: list[float] = []
    command = [sys.executable, "-m", "benchmarks.floods", "--flood", name, "--url", url, "--seconds", str(seconds)]
    flooding = subprocess.Popen(command) if name != NOBODY else None
    with asking(url, answers_ms):
        measured = asyncio.run(run(url, sessions, seconds, speech))
    if flooding:
        flooding.wait(60)
    assert measured.finals == sessions, f"expected {sessions} final results, got {measured.finals}"
    return answers_ms, [1e3 * lag_s for lag_s in measured.lags_s]


def measure_all(floods: Sequence[str], sessions: int, seconds: float) -> dict[str, tuple[float, ...]]:
    """The COLUMNS of each flood, and of none before and after."""
    speech, found = speech_of([]), {}
    with running_server(PLACES) as (_, url):
        for name in (NOBODY, *floods, NOBODY):
            health, lags = measure(name, url, sessions, seconds, speech)
            key = f"{NOBODY}.after" if name in found else name
            answers = np.nanpercentile(health, 95), np.nanmax(health), np.isnan(health).sum()
            found[key] = tuple(map(float, (*answers, *np.percentile(lags, [50, 95]))))
            print("{:14} {:10.0f} {:6.0f} {:6.0f} {:10.0f} {:6.0f}".format(key, *found[key]), flush=True)
    return found


def main() -> None:
    """See the head of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each flood (default: 10)")
    parser.add_argument("--sessions", type=int, default=2, help="live ones beside it (default: 2)")
    parser.add_argument("--only", nargs="+", choices=FLOODS, default=list(FLOODS), metavar="FLOOD")
    parser.add_argument("--json", type=Path, metavar="FOLDER")
    parser.add_argument("--flood", choices=FLOODS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.flood:
        asyncio.run(flood_for(args.flood, args.url, args.seconds))
        return
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load average {load:.1f}")
    print("flood          health p95    max   lost   live p50    p95 (ms)")
    found = measure_all(args.only, args.sessions, args.seconds)
    if args.json:
        figures = {
            f"{name}.{column}": Figure(value, "answers" if column == "health_lost" else "ms", "time")
            for name, values in found.items()
            for column, value in zip(COLUMNS, values, strict=True)
        }
        parameters = {"seconds": args.seconds, "sessions": args.sessions, "floods": args.only}
        command = f"python -m benchmarks.floods --seconds {args.seconds:g} --sessions {args.sessions}"
        Result("floods", command, figures, parameters, load=load).write(args.json)


if __name__ == "__main__":
    main()
