"""How many live sessions one server holds: emission lag through real loopback websockets, clients in this process.

    python -m benchmarks.serve --sessions 1 8 16 20 --seconds 20 [--single] [--json FOLDER] [RECORDING...]

A session is fed speech at real time, in messages of 100 ms. A window is complete with a known sample, and a turn that
goes on at its end is told with the time of the window's last frame, so the message names its window. Emission lag is
the time from when that sample was due to be sent (not when a late client sent it) to when the message arrived; what
the algorithm must wait for lies before that. Checked before it is timed: every session ends with its final result.
Processor time is told beside it, for a lag means little on a machine that is busy with other things; memory is that of
the server process. Of --repeats runs the one with the median p95 counts. With --single a second server, which gives the
model one window a call, takes turns with the first.
At the end one recording is sent twice, with and without provisional turns, and the bytes on the wire are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.results import Figure, Result, recording
from benchmarks.speed.server import Row, ratios, row_figures, series, table_line, wire_figures
from turnstream.events import Final, Turn
from turnstream.protocol.messages import decode_server
from turnstream.weights.store import demo_recording
from turnstream.windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    WindowSchedule,
)

CHUNK_S = 0.1
WARM_S = 3.0  # at the start of each session, not counted: all begin within it
BEHIND_S = (WINDOW_SAMPLES - WINDOW_FRAMES * FRAME_SAMPLES - FRAME_OFFSET_SAMPLES) / SAMPLE_RATE_HZ
WIRE_S = 300  # most audio of which the bytes on the wire are counted
FIRST_END_S = WindowSchedule().next_end / SAMPLE_RATE_HZ
HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ
MASK_BYTES = 4  # of every frame that a client sends
SINGLE = """
import sys
from turnstream.models import requests
from turnstream.clients.cli import main
requests.MAX_LIVE_BATCH = requests.MAX_BULK_BATCH = 1
sys.exit(main())
"""


@dataclass
class Measured:
    """What the clients of one run saw.

    lags_s, behind_s: from when a window's last sample was due to be sent, and from when its last frame was spoken, to
        when what it tells arrived
    down, up_bytes: bytes on the wire, frame headers included; down by type of message
    """

    lags_s: list[float] = field(default_factory=list)
    behind_s: list[float] = field(default_factory=list)
    finals: int = 0
    down: Counter[str] = field(default_factory=Counter)
    up_bytes: int = 0


@contextlib.contextmanager
def running_server(sessions: int, *options: str, single: bool = False) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`turnstream serve` in a process of its own, and its address; `single`: one window a call of the model."""
    program = [sys.executable, "-c", SINGLE] if single else [str(Path(sys.executable).with_name("turnstream"))]
    command = [*program, "serve", "--port", "0"]
    command += ["--sessions", str(sessions), "--sessions-per-address", str(sessions), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        found = re.search(r"ws://\S+?(?=/v1)", process.stdout.readline())
        assert found, "the server did not start: run `turnstream serve` to see why"
        try:
            yield process, found[0]
        finally:
            process.terminate()


def window_end_s(turn_end_s: float, state: str) -> float | None:
    """End of the window that told a turn like this, if somebody talks up to its last frame; else None."""
    end_s = turn_end_s + BEHIND_S
    number = round((end_s - FIRST_END_S) / HOP_S)
    return end_s if abs(end_s - FIRST_END_S - number * HOP_S) < 0.0015 and state == "provisional" else None


def frame_bytes(payload: int) -> int:
    """Bytes of an unmasked websocket frame (RFC 6455, 5.2)."""
    return payload + (2 if payload < 126 else 4 if payload < 1 << 16 else 10)


async def session(url: str, audio: bytes, wait_s: float, measured: Measured, query: str = "") -> None:
    """One client at real time."""
    await asyncio.sleep(wait_s)
    async with connect(f"{url}/v1{query}", max_size=None, ping_timeout=None) as socket:
        begun_s = time.monotonic()
        listening = asyncio.create_task(listen(socket, begun_s, measured))
        chunk_bytes = round(CHUNK_S * SAMPLE_RATE_HZ) * 2
        for number in range(len(audio) // chunk_bytes):
            due_s = begun_s + (number + 1) * CHUNK_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            with contextlib.suppress(ConnectionClosed):
                await socket.send(audio[number * chunk_bytes : (number + 1) * chunk_bytes])
                measured.up_bytes += frame_bytes(chunk_bytes) + MASK_BYTES
        with contextlib.suppress(ConnectionClosed):
            await socket.send('{"type":"stop"}')
        await listening


async def listen(socket: ClientConnection, begun_s: float, measured: Measured) -> None:
    """Notes when each window's turns arrive."""
    seen: set[float] = set()
    with contextlib.suppress(ConnectionClosed):
        async for text in socket:
            now_s = time.monotonic() - begun_s
            message = decode_server(text)[1]
            measured.down[type(message).__name__.lower()] += frame_bytes(len(str(text).encode()))
            end_s = window_end_s(message.end_s, message.state) if isinstance(message, Turn) else None
            if end_s is not None and end_s not in seen:
                seen.add(end_s)
                due_s = -(-round(end_s * SAMPLE_RATE_HZ) // round(CHUNK_S * SAMPLE_RATE_HZ)) * CHUNK_S
                if end_s > WARM_S:
                    measured.lags_s.append(now_s - due_s)
                    measured.behind_s.append(now_s - end_s + BEHIND_S)
            measured.finals += isinstance(message, Final)


def cpu_s(process: subprocess.Popen[str]) -> float:
    """Processor seconds the server has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(url: str, name: str) -> float:
    """One number of the server's metrics."""
    text = urllib.request.urlopen(url.replace("ws:", "http:") + "/metrics").read().decode()
    found = re.search(rf"^turnstream_{name} (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


def speech_of(paths: list[str]) -> np.ndarray:
    """All recordings after one another, (N,) int16 at 16 kHz; the demo recording where none is named."""
    parts = []
    for path in paths or [str(demo_recording()[0])]:
        samples, rate_hz = soundfile.read(path, dtype="int16")
        assert rate_hz == SAMPLE_RATE_HZ, f"expected 16000 Hz, got {rate_hz}: {path}"
        parts.append(samples if samples.ndim == 1 else samples[:, 0])
    return np.concatenate(parts)


async def run(url: str, sessions: int, seconds: float, speech: np.ndarray) -> Measured:
    """So many clients at once, each with another part of the speech, begun at random moments of a hop."""
    chance, measured = random.Random(sessions), Measured()
    samples = round(seconds * SAMPLE_RATE_HZ)
    clients = []
    for number in range(sessions):
        part = np.roll(speech, -number * len(speech) // sessions)
        audio = np.resize(part, samples).astype("<i2").tobytes()
        clients.append(session(url, audio, chance.uniform(0, 2 * HOP_S), measured))
    await asyncio.gather(*clients)
    return measured


async def wire(url: str, speech: np.ndarray) -> dict[str, Measured]:
    """What one session with provisional turns and one without sends and gets; their windows share calls."""
    queries = {"provisional": "?provisional=true", "committed": "?provisional=false"}
    seen, audio = {name: Measured() for name in queries}, speech.astype("<i2").tobytes()
    await asyncio.gather(*(session(url, audio, 0.0, seen[name], query) for name, query in queries.items()))
    assert all(measured.finals == 1 for measured in seen.values()), "expected a final result of each session"
    return seen


async def with_memory(process: subprocess.Popen[str], running: Awaitable[Measured]) -> tuple[Measured, float]:
    """What the clients saw, and the most MiB that the server process had meanwhile."""
    most, server = 0.0, psutil.Process(process.pid)
    task = asyncio.ensure_future(running)
    while not task.done():
        most = max(most, server.memory_info().rss / 2**20)
        await asyncio.wait([task], timeout=0.5)
    return await task, most


def measure(process: subprocess.Popen[str], url: str, sessions: int, seconds: float, speech: np.ndarray) -> Row:
    """One run. Raises AssertionError where a session does not end with its final result."""
    cpu, windows, batches = cpu_s(process), metric(url, "windows_total"), metric(url, "window_batches_total")
    begun_s = time.monotonic()
    measured, memory_mib = asyncio.run(with_memory(process, run(url, sessions, seconds, speech)))
    cpu, lasted_s = cpu_s(process) - cpu, time.monotonic() - begun_s
    windows, batches = metric(url, "windows_total") - windows, metric(url, "window_batches_total") - batches
    assert measured.finals == sessions, f"expected {sessions} final results, got {measured.finals}"
    lags_ms = [1e3 * lag_s for lag_s in measured.lags_s]
    return Row(sessions, lags_ms, int(windows), int(batches), 1e3 * cpu / windows, cpu / lasted_s, memory_mib)


def measure_all(args: argparse.Namespace, speech: np.ndarray) -> tuple[dict[str, list[Row]], dict[str, Figure]]:
    """The rows of each kind of server, which take turns, and figures of the bytes on the wire; prints a line a run."""
    rows: dict[str, list[Row]] = {"batched": [], **({"single": []} if args.single else {})}
    most = max(args.sessions) + 2
    with contextlib.ExitStack() as stack:
        servers = {kind: stack.enter_context(running_server(most, single=kind == "single")) for kind in rows}
        for sessions in sorted(args.sessions):
            for kind, (process, url) in servers.items():
                runs = []
                for _ in range(max(1, args.repeats)):
                    runs.append(measure(process, url, sessions, args.seconds, speech))
                    print(f"{kind:8} {table_line(runs[-1])}", flush=True)
                row = sorted(runs, key=lambda run: float(np.percentile(run.lags_ms, 95)))[len(runs) // 2]
                each_alone = row.windows == row.batches
                assert kind == "batched" or each_alone, "expected a server that computes one window a call"
                rows[kind].append(row)
        wired = asyncio.run(wire(servers["batched"][1], speech[: WIRE_S * SAMPLE_RATE_HZ]))
    sent = {name: (dict(seen.down), seen.up_bytes) for name, seen in wired.items()}
    return rows, wire_figures(sent, min(len(speech) / SAMPLE_RATE_HZ, WIRE_S)) | ratios(rows)


def result(args: argparse.Namespace, rows: dict[str, list[Row]], figures: dict[str, Figure], load: float) -> Result:
    """What is written."""
    command = f"python -m benchmarks.serve --sessions {' '.join(map(str, args.sessions))} --seconds {args.seconds:g}"
    command += f" --repeats {args.repeats}" if args.repeats > 1 else ""
    command += " --single" if args.single else ""
    parameters = {name: getattr(args, name) for name in ("sessions", "seconds", "single", "repeats")}
    data = [recording(Path(path)) for path in args.paths or [demo_recording()[0]]]
    figures = {**row_figures(rows), **figures}
    return Result("serve", command, figures, {**parameters, "wire_s": WIRE_S}, series(rows), data, load=load)


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 8, 16, 20, 24])
    parser.add_argument("--seconds", type=float, default=20.0)
    repeats = "runs of each, the one of median p95 counts"
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help=repeats)
    parser.add_argument("--single", action="store_true", help="also a server that computes one window a call")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write serve.json there")
    parser.add_argument("paths", nargs="*", help="16 kHz recordings (default: the demo recording)")
    return parser.parse_args()


def main() -> None:
    """Prints one line for each number of sessions and server, then the bytes on the wire."""
    args = options()
    speech, load = speech_of(args.paths), os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load average at the start {load:.1f}")
    print("         sessions  lag p50   p95   p99 (ms)  over 0.3 s  windows  a batch  CPU ms a hop  cores used  MiB")
    rows, figures = measure_all(args, speech)
    for name, figure in figures.items():
        print(f"{name:44} {figure.value:12.1f} {figure.unit}")
    if args.json:
        result(args, rows, figures, load).write(args.json)


if __name__ == "__main__":
    main()
