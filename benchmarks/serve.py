"""How many live sessions one server holds: emission lag through real loopback websockets, clients in this process.

    python -m benchmarks.serve --sessions 1 8 16 20 --seconds 20

A session is fed speech at real time, in messages of 100 ms. A window is complete with a known sample, and a turn that
goes on at its end is told with the time of the window's last frame, so the message names its window. Emission lag is
the time from when that sample was due to be sent (not when a late client sent it) to when the message arrived; what
the algorithm must wait for lies before that. Checked before it is timed: every session ends with its final result.
Processor time is told beside it, for a lag means little on a machine that is busy with other things.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from stream.protocol import Final, Turn, decode_server
from stream.weights import demo_recording
from stream.windows import (
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
FIRST_END_S = WindowSchedule().next_end / SAMPLE_RATE_HZ
HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ


@dataclass
class Measured:
    """What the clients of one run saw."""

    lags_s: list[float] = field(default_factory=list)
    finals: int = 0


@contextlib.contextmanager
def running_server(sessions: int, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`turnstream serve` in a process of its own, and its address."""
    command = [str(Path(sys.executable).with_name("turnstream")), "serve", "--port", "0"]
    command += ["--sessions", str(sessions), "--sessions-per-address", str(sessions), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        found = re.search(r"ws://\S+?(?=/v1)", process.stdout.readline())
        assert found, "the server did not start: run `turnstream serve` to see why"
        try:
            yield process, found[0]
        finally:
            process.terminate()


def window_end_s(turn: Turn) -> float | None:
    """End of the window that told this turn, if somebody talks up to its last frame; else None."""
    end_s = turn.end_s + BEHIND_S
    number = round((end_s - FIRST_END_S) / HOP_S)
    return end_s if abs(end_s - FIRST_END_S - number * HOP_S) < 0.0015 and turn.state == "provisional" else None


async def session(url: str, audio: bytes, wait_s: float, measured: Measured) -> None:
    """One client at real time."""
    await asyncio.sleep(wait_s)
    async with connect(url + "/v1", max_size=None, ping_timeout=None) as socket:
        begun_s = time.monotonic()
        listening = asyncio.create_task(listen(socket, begun_s, measured))
        chunk_bytes = round(CHUNK_S * SAMPLE_RATE_HZ) * 2
        for number in range(len(audio) // chunk_bytes):
            due_s = begun_s + (number + 1) * CHUNK_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            with contextlib.suppress(ConnectionClosed):
                await socket.send(audio[number * chunk_bytes : (number + 1) * chunk_bytes])
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
            if isinstance(message, Turn) and (end_s := window_end_s(message)) is not None and end_s not in seen:
                seen.add(end_s)
                due_s = -(-round(end_s * SAMPLE_RATE_HZ) // round(CHUNK_S * SAMPLE_RATE_HZ)) * CHUNK_S
                if end_s > WARM_S:
                    measured.lags_s.append(now_s - due_s)
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


def main() -> None:
    """Prints one line for each number of sessions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 8, 16, 20, 24])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("paths", nargs="*", help="16 kHz recordings (default: the demo recording)")
    args = parser.parse_args()
    speech = speech_of(args.paths)
    print(f"{os.cpu_count()} cores, load average at the start {os.getloadavg()[0]:.1f}")
    print("sessions  lag p50   p95   p99 (ms)  over 0.3 s  windows  a batch  server CPU ms a hop  cores used")
    with running_server(max(args.sessions) + 1) as (process, url):
        for sessions in args.sessions:
            print(measure(process, url, sessions, args.seconds, speech), flush=True)


def measure(process: subprocess.Popen[str], url: str, sessions: int, seconds: float, speech: np.ndarray) -> str:
    """One line of the table."""
    cpu, windows, batches = cpu_s(process), metric(url, "windows_total"), metric(url, "window_batches_total")
    begun_s = time.monotonic()
    measured = asyncio.run(run(url, sessions, seconds, speech))
    cpu, lasted_s = cpu_s(process) - cpu, time.monotonic() - begun_s
    windows, batches = metric(url, "windows_total") - windows, metric(url, "window_batches_total") - batches
    assert measured.finals == sessions, f"expected {sessions} final results, got {measured.finals}"
    p50, p95, p99 = np.percentile(np.array(measured.lags_s) * 1e3, [50, 95, 99])
    over = np.mean(np.array(measured.lags_s) > 0.3)
    return (
        f"{sessions:8d}  {p50:7.0f} {p95:5.0f} {p99:5.0f}       {over:8.1%}  {windows:7.0f}  {windows / batches:7.2f}"
        f"  {cpu / windows * 1e3:19.1f}  {cpu / lasted_s:10.2f}"
    )


if __name__ == "__main__":
    main()
