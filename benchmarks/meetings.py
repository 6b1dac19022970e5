"""Long meetings: how many people the engine tells of, and how wrong it is, live and at the end.

    python -m benchmarks.meetings FOLDER --data DATA [--half 1/2] [--only lecture pair ...] [--cache FOLDER]

DATA holds `long_speakers` (minutes of each voice), `speakers` (a minute of each), `rir` and `noise`. Meetings that
FOLDER lacks are made first (benchmarks/sim/meeting.py): a lecture, two, four and six people, a guest who speaks 20 s
once, somebody who only says yes, one who leaves and returns, a telephone line, music in between, voices from several
sittings; `day` is eight hours and has to be named. Speakers, rooms and noises are halved: choose on `--half 1/2`,
report on `--half 2/2`.

Printed for each meeting: true people; ids told at any time; ids alive before the end, of them those that are nobody's
(`stray`) and their talk; speakers in the final result; DER in % (overlap scored, no collar) as committed, as revised
and at the end, with `--oracle` also of the best mapping of each window's local speakers; flips and revised seconds an
hour; cost of a hop without the models; then the DER of each ten minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.accuracy.engine import run
from benchmarks.accuracy.oracle import oracle
from benchmarks.accuracy.people import People, people
from benchmarks.accuracy.recordings import cache_folder
from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.sim.meeting import make, plans
from benchmarks.sim.speech import part, speaker_names
from benchmarks.simulate import split_of
from turnstream.clients.evaluation.recordings import LazyModels, Recording
from turnstream.errors import TurnstreamError
from turnstream.stitching.config import StitcherConfig

LATENCY_S = 1.0
LONG = "day"  # made and played only by name
COLUMNS = "true told alive stray stray_s final   live revised final oracle  flips/h revised_s/h hop_ms"


@dataclass(frozen=True, slots=True)
class Job:
    """One meeting to measure; what a process is sent."""

    path: Path
    cache: Path
    config: StitcherConfig
    oracle: bool


def measure(job: Job) -> People:
    """Play one meeting."""
    meeting = Recording(job.path, job.cache, LazyModels())
    outcome = run(meeting, [LATENCY_S], job.config)
    rows = oracle(meeting, [LATENCY_S], job.config) if job.oracle else {}
    return people(meeting, outcome, LATENCY_S, rows)


def measure_all(jobs: list[Job], processes: int) -> Iterator[People]:
    """In order, `processes` at once."""
    if processes == 1:
        yield from map(measure, jobs)
        return
    # A forked process would share the threads of BLAS with its parent, and hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(measure, jobs)


def meetings(folder: Path, data: Path, half: tuple[int, int], only: list[str] | None) -> list[Path]:
    """The recordings asked for, made where they are missing. Raises TurnstreamError for unknown names."""
    voices = (part(speaker_names(data / kind), *half) for kind in ("long_speakers", "speakers"))
    known = plans(*voices)
    wanted = only or [name for name in known if name != LONG]
    if unknown := sorted({*wanted} - {*known}):
        raise TurnstreamError(f"expected meetings among {', '.join(known)}, got {', '.join(unknown)}")
    paths = {name: folder / f"{name}.flac" for name in wanted}
    return [path if path.exists() else make(known[name], data, half, folder) for name, path in paths.items()]


def line(found: People) -> str:
    """One row of the table."""
    ders = [found.der.get(kind) for kind in ("live", "revised", "final", "oracle final")]
    cells = "  ".join("    -" if share is None else f"{share:5.1f}" for share in ders)
    return (
        f"{found.name:10} {found.true:4d} {found.told:4d} {found.alive:5d} {found.stray:5d} {found.stray_s:7.1f}"
        f" {found.final:5d}   {cells}  {found.flips['live']:6.1f} {found.revised_s:8.0f}     {found.hop_ms:5.2f}"
    )


def print_table(measured: list[People]) -> None:
    """What is said of all of them together, and the DER of each ten minutes."""
    exact = sum(found.true == found.final for found in measured)
    print(f"\nexact number at the end: {exact} of {len(measured)}; by ten minutes:")
    for found in measured:
        for kind in ("live", "final"):
            print(f"{found.name:10} {kind:6}", " ".join(f"{share:5.1f}" for share in found.parts[kind]))
        if len(found.flips) > 1:
            print(f"{found.name:10} flips an hour:", ", ".join(f"{kind} {n:.1f}" for kind, n in found.flips.items()))


def result(measured: list[People], arguments: argparse.Namespace, config: StitcherConfig, paths: list[Path]) -> Result:
    """What is written with --json."""
    figures = {}
    for found in measured:
        for kind in ("told", "alive", "stray", "final", "true"):
            figures[f"{found.name}.{kind}"] = Figure(getattr(found, kind), "speakers", "error", "neither")
        for kind, share in found.der.items():
            figures[f"{found.name}.der.{kind.replace(' ', '_')}"] = Figure(share, "%", "error")
        for kind, count in found.flips.items():
            suffix = "" if kind == "live" else f".{kind.replace(' ', '_')}"
            figures[f"{found.name}.flips{suffix}"] = Figure(count, "an hour", "error")
        figures[f"{found.name}.revised"] = Figure(found.revised_s, "s/h", "error")
        figures[f"{found.name}.hop"] = Figure(found.hop_ms, "ms", "time")
    parameters = {"half": arguments.half, "latency_s": LATENCY_S, "stitcher": asdict(config)}
    series = {"parts": {found.name: found.parts for found in measured}}
    return Result("meetings", asked("benchmarks.meetings"), figures, parameters, series, list(map(recording, paths)))


def main() -> None:
    """Make what is missing, play, print."""
    arguments = _arguments()
    try:
        config = StitcherConfig.from_json(arguments.stitcher) if arguments.stitcher else StitcherConfig()
        paths = meetings(arguments.folder, arguments.data, arguments.half, arguments.only)
        jobs = [Job(path, cache_folder(arguments.cache), config, arguments.oracle) for path in paths]
        print(f"{'':10} {COLUMNS}")
        measured = []
        for found in measure_all(jobs, arguments.jobs):
            measured.append(found)
            print(line(found), flush=True)
        print_table(measured)
        if arguments.json:
            result(measured, arguments, config, paths).write(arguments.json)
    except TurnstreamError as error:
        sys.exit(f"meetings: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the meetings; missing ones are made")
    parser.add_argument("--data", type=Path, required=True, help="voices, rooms and noises")
    parser.add_argument("--half", type=split_of, default=(1, 2), metavar="N/M", help="part of the speakers")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these meetings")
    parser.add_argument("--cache", type=Path, help="where model outputs are kept (default: in the user's cache)")
    parser.add_argument("--stitcher", type=Path, metavar="PATH", help="constants in JSON")
    parser.add_argument("--oracle", action="store_true", help="also the best mapping of each window (slow)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="meetings measured at once")
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
