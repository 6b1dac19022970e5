"""What floods of one client do to the others: how fast `/health` answers meanwhile, and the lag of live sessions.

    python -m benchmarks.floods [--seconds 10] [--rounds 3] [--sessions 2] [--only FLOOD...] [--tls | --haproxy]

A server of this machine gets one flood after another (benchmarks/flooder.py, a process of its own) while live sessions
run and `/health` is asked 20 times a second, half of it from the flood's own address. Each round begins with nobody
flooding and ends with `spin`: a process that leaves the server alone and computes as much as the busiest flood did,
which is the part of a lag that no server can help. All of it goes to 127.0.0.1 and ends by itself.

Figures of a flood are medians of the rounds, with the lowest and highest; `live_ratio` is its 95 % lag over that with
nobody flooding in the same round. `attacker` and `server` are shares of one core; `memory` is how far the server's rose
above what it was before. The longest answer of all rounds counts for /health, and the most memory. `worst` is the worst
of all floods. With --tls the server speaks TLS, to the live sessions and /health too, and the floods are those of
handshakes; with --haproxy the floods, and they alone, come through HAProxy. On a machine that does other things
meanwhile, run all of it at a higher priority than those.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.flooder import FLOODS, FLOODS_OF_TLS, STRANGER
from benchmarks.fronts import balanced, tls_options
from benchmarks.results import Figure, Result, add_json, asked, median
from benchmarks.serve import cpu_s, running_server, speech_of
from benchmarks.speed.live_clients import run

ASK_S = 0.05
LONGEST_S = 30.0  # that an answer is waited for
NOBODY, SPIN = "none", "spin"
PLACES = 200  # of the server: sessions of floods keep theirs for a while
FLOODER = Path(__file__).with_name("flooder.py")
LONGEST = ("health_max", "health_lost", "memory")  # of all rounds the worst counts


@dataclass(frozen=True, slots=True)
class Row:
    """One flood in one round: milliseconds, answers that did not come, shares of a core, MiB, a ratio."""

    health_p95: float
    health_max: float
    health_lost: float
    live_p50: float
    live_p95: float
    attacker: float
    server: float
    memory: float
    live_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server, its address, and the port that floods come to."""

    process: subprocess.Popen[str]
    url: str
    port: int


UNITS = {"health_lost": "answers", "attacker": "cores", "server": "cores", "memory": "MiB", "live_ratio": "ratio"}


@contextlib.contextmanager
def meanwhile(step: Callable[[], None]) -> Iterator[None]:
    """Takes the step again and again, in a thread of its own."""
    over = Event()

    def go_on() -> None:
        while not over.wait(ASK_S):
            step()

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def asking(url: str, answers_ms: list[float]) -> Iterator[None]:
    """Asks for /health all the while, in a thread of its own, every other time from the address of the flood."""
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "wss" else http.client.HTTPConnection

    def ask(source: str) -> float:
        begun_s = time.monotonic()
        connection = kind(place.hostname or "", place.port, timeout=LONGEST_S, source_address=(source, 0))
        try:
            connection.request("GET", "/health")
            return 1e3 * (time.monotonic() - begun_s) if connection.getresponse().read() else np.nan
        except (OSError, http.client.HTTPException):
            return np.nan
        finally:
            connection.close()

    with meanwhile(lambda: answers_ms.append(ask((STRANGER, "127.0.0.1")[len(answers_ms) % 2]))):
        yield


@contextlib.contextmanager
def flooding(name: str, port: int, seconds: float, share: float, taken_s: list[float]) -> Iterator[None]:
    """The flood meanwhile; the processor seconds that it took."""
    if name == NOBODY:
        yield
        taken_s.append(0.0)
        return
    command = [sys.executable, "-S", str(FLOODER), name, str(port), str(seconds), str(share)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield
    taken_s.append(float(process.communicate(timeout=60)[0]))


@contextlib.contextmanager
def weighing(process: subprocess.Popen[str], grown_mib: list[float]) -> Iterator[None]:
    """How far the process's memory rises above what it is now, in the meantime."""
    server = psutil.Process(process.pid)
    before = server.memory_info().rss
    most = [before]

    try:
        with meanwhile(lambda: most.append(server.memory_info().rss)):
            yield
    finally:
        grown_mib.append((max(most) - before) / 2**20)


def measure(name: str, target: Target, sessions: int, seconds: float, speech: np.ndarray, share: float = 0.0) -> Row:
    """One flood, of `seconds`."""
    answers_ms: list[float] = []
    taken_s: list[float] = []
    grown_mib: list[float] = []
    before_s, begun_s = cpu_s(target.process), time.monotonic()
    with (
        weighing(target.process, grown_mib),
        flooding(name, target.port, seconds, share, taken_s),
        asking(target.url, answers_ms),
    ):
        measured = asyncio.run(run(target.url, sessions, seconds, speech))
    lasted_s = time.monotonic() - begun_s
    assert measured.finals == sessions, f"expected {sessions} final results, got {measured.finals}"
    health, lags = np.array(answers_ms), 1e3 * np.array(measured.lags_s)
    return Row(
        float(np.nanpercentile(health, 95)),
        float(np.nanmax(health)),
        float(np.isnan(health).sum()),
        *map(float, np.percentile(lags, [50, 95])),
        taken_s[0] / seconds,
        (cpu_s(target.process) - before_s) / lasted_s,
        grown_mib[0],
    )


def measure_round(
    floods: Sequence[str], target: Target, sessions: int, seconds: float, speech: np.ndarray
) -> dict[str, Row]:
    """Nobody, each flood, and as much work beside the server as the busiest of them."""
    found: dict[str, Row] = {}
    for name in (NOBODY, *floods, SPIN):
        share = max(row.attacker for row in found.values()) if name == SPIN else 0.0
        row = measure(name, target, sessions, seconds, speech, share)
        alone = found.get(NOBODY, row)
        found[name] = Row(*(getattr(row, entry.name) for entry in fields(Row)[:-1]), row.live_p95 / alone.live_p95)
        print(line(name, found[name]), flush=True)
    return found


def line(name: str, row: Row) -> str:
    """As a row of the table."""
    return (
        f"{name:12} {row.health_p95:8.0f} {row.health_max:6.0f} {row.health_lost:5.0f} {row.live_p50:9.0f}"
        f" {row.live_p95:6.0f} {row.live_ratio:6.2f} {row.attacker:9.2f} {row.server:7.2f} {row.memory:7.1f}"
    )


def figures(rounds: Sequence[Mapping[str, Row]]) -> dict[str, Figure]:
    """Of every flood and column, over the rounds."""
    found = {}
    for name in rounds[0]:
        for entry in fields(Row):
            values = [getattr(one[name], entry.name) for one in rounds]
            unit = UNITS.get(entry.name, "ms")
            worst = Figure(max(values), unit, "time", spread=(min(values), max(values)))
            found[f"{name}.{entry.name}"] = worst if entry.name in LONGEST else median(values, unit, "time")
    floods = [name for name in rounds[0] if name not in (NOBODY, SPIN)]
    for column in ("health_max", "health_lost", "live_ratio", "memory"):
        figure = max((found[f"{name}.{column}"] for name in floods), key=lambda figure: figure.value)
        found[f"worst.{column}"] = figure
    return {**found, "kinds": Figure(len(floods), "floods", "count", "neither")}


def main() -> None:
    """See the head of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each flood (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of all floods (default: 3)")
    parser.add_argument("--sessions", type=int, default=2, help="live ones beside it (default: 2)")
    front = parser.add_mutually_exclusive_group()
    front.add_argument("--tls", action="store_true", help="a server with TLS, and the floods of it")
    front.add_argument("--haproxy", action="store_true", help="floods come through HAProxy")
    parser.add_argument("--only", nargs="+", metavar="FLOOD", help="(default: all)")
    parser.add_argument("--name", default="floods", help="of the result")
    add_json(parser)
    args, load = parser.parse_args(), os.getloadavg()[0]
    there_are = FLOODS_OF_TLS if args.tls else FLOODS
    floods = args.only or list(there_are)
    if not set(floods) <= set(there_are):
        parser.error(f"--only: expected some of {', '.join(there_are)}, got {' '.join(floods)}")
    print(f"{os.cpu_count()} cores, load average {load:.1f}; milliseconds, shares of a core")
    print("flood          health: p95   max  lost  live: p50    p95  ratio  attacker  server  MiB up")
    speech = speech_of([])
    with contextlib.ExitStack() as stack:
        options = stack.enter_context(tls_options(args.tls))
        process, url = stack.enter_context(running_server(PLACES, *options))
        port = urlsplit(url).port or 0
        target = Target(process, url, stack.enter_context(balanced(port)) if args.haproxy else port)
        rounds = [measure_round(floods, target, args.sessions, args.seconds, speech) for _ in range(args.rounds)]
    found = figures(rounds)
    print("\nmedians of the rounds")
    for name in rounds[0]:
        print(line(name, Row(*(found[f"{name}.{entry.name}"].value for entry in fields(Row)))))
    if args.json:
        parameters = {
            "seconds": args.seconds,
            "rounds": args.rounds,
            "sessions": args.sessions,
            "floods": floods,
            "tls": args.tls,
            "haproxy": args.haproxy,
        }
        Result(args.name, asked("benchmarks.floods"), found, parameters, load=load).write(args.json)


if __name__ == "__main__":
    main()
