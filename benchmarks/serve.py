"""How many live sessions one server holds: emission lag through real loopback websockets, clients in this process.

    python -m benchmarks.serve --sessions 1 8 16 20 --seconds 20 [--hop 1] [--single] [--store [URL]] [RECORDING...]
    python -m benchmarks.serve --find --hop 1 --seconds 30

A session is fed speech at real time, in messages of 100 ms; what emission lag is: benchmarks/speed/live_clients.py.
Checked before it is timed: every session ends with its final result. Processor time is told beside it, for a lag means
little on a machine that is busy with other things; memory is that of the server process. Of --repeats runs the one with
the median p95 counts. With --single a second server, which gives the model one window a call, takes turns with the
first; with --store another one that writes its sessions there.
At the end one recording is sent twice, with and without provisional turns, and the bytes on the wire are counted.

--find looks for the most sessions whose 95 % lag is below 0.3 s: twice as many each time as long as it is, and then
halfway between what is and what is not. A number counts as too many only where it was that twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.speed.live_clients import Measured, both_kinds_of_turns, run
from benchmarks.speed.search import most_that
from benchmarks.speed.server import Row, best_of, most_sessions, ratios, row_figures, series, table_line, wire_figures
from turnstream.weights.store import demo_recording
from turnstream.windows import HOP_FRAMES, SAMPLE_RATE_HZ, hop_at_most, hop_seconds

WIRE_S = 300  # most audio of which the bytes on the wire are counted
FIRST, MOST = 8, 256  # sessions that are tried
PLAIN = "batched"
HEAD = "         sessions  lag p50   p95   p99 (ms)  over 0.3 s  windows  a batch  CPU ms a hop  cores used  MiB"
SINGLE = """
import sys
from turnstream.models import requests
from turnstream.clients.cli import main
requests.MAX_LIVE_BATCH = requests.MAX_BULK_BATCH = 1
sys.exit(main())
"""
Process = subprocess.Popen[str]


@contextlib.contextmanager
def running_server(sessions: int, *options: str, single: bool = False) -> Iterator[tuple[Process, str]]:
    """`turnstream serve` in a process of its own, and its address; `single`: one window a call of the model."""
    program = [sys.executable, "-c", SINGLE] if single else [str(Path(sys.executable).with_name("turnstream"))]
    command = [*program, "serve", "--port", "0"]
    command += ["--sessions", str(sessions), "--sessions-per-address", str(sessions), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        found = re.search(r"wss?://\S+?(?=/v1)", process.stdout.readline())
        assert found, "the server did not start: run `turnstream serve` to see why"
        try:
            yield process, found[0]
        finally:
            process.terminate()


def cpu_s(process: Process) -> float:
    """Processor seconds the server has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(url: str, name: str) -> float:
    """One number of the server's metrics."""
    text = urllib.request.urlopen(url.replace("ws", "http", 1) + "/metrics").read().decode()
    found = re.search(rf"^turnstream_{name} (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


def speech_of(paths: Sequence[str]) -> np.ndarray:
    """All recordings after one another, (N,) int16 at 16 kHz; the demo recording where none is named."""
    parts = []
    for path in paths or [str(demo_recording()[0])]:
        samples, rate_hz = soundfile.read(path, dtype="int16")
        assert rate_hz == SAMPLE_RATE_HZ, f"expected 16000 Hz, got {rate_hz}: {path}"
        parts.append(samples if samples.ndim == 1 else samples[:, 0])
    return np.concatenate(parts)


async def with_memory(process: Process, running: Awaitable[Measured]) -> tuple[Measured, float]:
    """What the clients saw, and the most MiB that the server process had meanwhile."""
    most, server = 0.0, psutil.Process(process.pid)
    task = asyncio.ensure_future(running)
    while not task.done():
        most = max(most, server.memory_info().rss / 2**20)
        await asyncio.wait([task], timeout=0.5)
    return await task, most


def measure(
    server: tuple[Process, str], sessions: int, seconds: float, speech: np.ndarray, hop_frames: int = HOP_FRAMES
) -> Row:
    """One run. Raises AssertionError where a session does not end with its final result."""
    process, url = server
    cpu, windows, batches = cpu_s(process), metric(url, "windows_total"), metric(url, "window_batches_total")
    begun_s = time.monotonic()
    clients = run(url, sessions, seconds, speech, hop_frames)
    measured, memory_mib = asyncio.run(with_memory(process, clients))
    cpu, lasted_s = cpu_s(process) - cpu, time.monotonic() - begun_s
    windows, batches = metric(url, "windows_total") - windows, metric(url, "window_batches_total") - batches
    assert measured.finals == sessions, f"expected {sessions} final results, got {measured.finals}"
    assert measured.lags_s, "expected turns that go on behind the first seconds, got none: make --seconds longer"
    lags_ms = [1e3 * lag_s for lag_s in measured.lags_s]
    return Row(sessions, lags_ms, int(windows), int(batches), 1e3 * cpu / windows, cpu / lasted_s, memory_mib)


def start_servers(stack: contextlib.ExitStack, args: argparse.Namespace) -> dict[str, tuple[Process, str]]:
    """By kind, those that are asked for; they end with the stack."""
    asked_for: dict[str, tuple[str, ...]] = {PLAIN: (), **({"single": ()} if args.single else {})}
    if args.store is not None:
        store = args.store or stack.enter_context(tempfile.TemporaryDirectory())
        asked_for["stored"] = ("--store", store, "--snapshots", f"{args.snapshots:g}")
    most = MOST if args.find else max(args.sessions)
    return {
        kind: stack.enter_context(running_server(most + 2, *options, single=kind == "single"))
        for kind, options in asked_for.items()
    }


def take_turns(
    servers: dict[str, tuple[Process, str]], args: argparse.Namespace, speech: np.ndarray, hop_frames: int
) -> dict[str, list[Row]]:
    """One row for each number of sessions and server."""
    rows: dict[str, list[Row]] = {kind: [] for kind in servers}
    for sessions in sorted(args.sessions):
        runs: dict[str, list[Row]] = {kind: [] for kind in servers}
        for kind in args.repeats * list(servers):
            runs[kind].append(measure(servers[kind], sessions, args.seconds, speech, hop_frames))
            print(f"{kind:8} {table_line(runs[kind][-1])}", flush=True)
        for kind, each in runs.items():
            rows[kind].append(sorted(each, key=lambda run: run.p95_ms)[len(each) // 2])
    singly = all(row.windows == row.batches for row in rows.get("single", ()))
    assert singly, "expected a server that computes one window a call"
    return rows


def find(server: tuple[Process, str], seconds: float, speech: np.ndarray, hop_frames: int) -> list[Row]:
    """Every run of the search for the most sessions that hold."""
    tried: list[Row] = []

    def holds(sessions: int) -> bool:
        tried.append(measure(server, sessions, seconds, speech, hop_frames))
        print(f"{PLAIN:8} {table_line(tried[-1])}", flush=True)
        return tried[-1].holds

    most_that(lambda sessions: holds(sessions) or holds(sessions), FIRST, MOST)
    return tried


def wire(url: str, speech: np.ndarray) -> dict[str, Figure]:
    """Bytes on the wire."""
    seen = asyncio.run(both_kinds_of_turns(url, speech[: WIRE_S * SAMPLE_RATE_HZ]))
    sent = {name: (dict(measured.down), measured.up_bytes) for name, measured in seen.items()}
    return wire_figures(sent, min(len(speech) / SAMPLE_RATE_HZ, WIRE_S))


def options() -> argparse.ArgumentParser:
    """What may be asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 8, 16, 20, 24])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hop", type=float, default=hop_seconds(HOP_FRAMES), metavar="SECONDS", help="of all sessions")
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="runs of each, the one of median p95 counts"
    )
    parser.add_argument("--single", action="store_true", help="also a server that computes one window a call")
    parser.add_argument(
        "--store", nargs="?", const="", metavar="URL", help="also a server with this store (a folder, if none is named)"
    )
    parser.add_argument("--snapshots", type=float, default=30.0, metavar="SECONDS", help="between two, in that store")
    parser.add_argument("--find", action="store_true", help="the most sessions, in place of --sessions")
    parser.add_argument("--name", default="serve", help="of the result")
    add_json(parser)
    parser.add_argument("paths", nargs="*", help="16 kHz recordings (default: the demo recording)")
    return parser


def main() -> None:
    """Prints one line for each number of sessions and server, then what follows from them."""
    parser = options()
    args, load = parser.parse_args(), os.getloadavg()[0]
    if args.store is not None and args.seconds <= args.snapshots:
        parser.error(
            f"--seconds: expected more than the {args.snapshots:g} s between two snapshots, got {args.seconds:g}"
        )
    speech, hop_frames = speech_of(args.paths), hop_at_most(args.hop)
    print(f"{os.cpu_count()} cores, load average at the start {load:.1f}; hop {hop_seconds(hop_frames):g} s")
    print(HEAD)
    with contextlib.ExitStack() as stack:
        servers = start_servers(stack, args)
        if args.find:
            tried = find(servers[PLAIN], args.seconds, speech, hop_frames)
            rows, figures = {PLAIN: best_of(tried)}, {"most_sessions": most_sessions(tried)}
        else:
            rows = take_turns(servers, args, speech, hop_frames)
            figures = wire(servers[PLAIN][1], speech) | ratios(rows)
    for name, figure in figures.items():
        print(f"{name:44} {figure.value:12.2f} {figure.unit}")
    if args.json:
        parameters = {name: value for name, value in vars(args).items() if name not in ("json", "paths", "name")}
        data = [recording(Path(path)) for path in args.paths or [demo_recording()[0]]]
        found = {**row_figures(rows), **figures}
        Result(args.name, asked("benchmarks.serve"), found, parameters, series(rows), data, load=load).write(args.json)


if __name__ == "__main__":
    main()
