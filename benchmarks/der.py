"""Diarization error and stability on annotated recordings: the engine, the floor under it, and other algorithms.

    python -m benchmarks.der RECORDING_OR_FOLDER... [--latency 0.5 1 2 5] [--jobs N] [--json FOLDER]

Each recording needs its reference beside it (`.rttm`; `.uem` where only a part is annotated). Printed per row: DER and
its parts (false alarm, missed, confusion), overlap scored, without a collar and with 0.25 s on either side, pooled over
the recordings, by pyannote.metrics. Rows:

    oracle   what the windows give when each local speaker is one reference speaker, the one with whom he shares most
             frames; only taking local speakers apart, as the stitcher does where the model changes speakers inside
             one, can go below it
    voices   the engine's final result with the true speakers' own segments in place of clustering: what is above it is
             for better clustering, what is below for better windows
    first    what is said of every frame when it is first in reach, before anything is committed
    live     what was committed at that latency, unrevised
    revised  the same with every revision of the stream applied
    final    the result at the end
    diart    the algorithm of Coria et al. 2021 (benchmarks/diart_baseline.py)
    ahc      offline clustering (benchmarks/ahc_baseline.py)

Then how steady the labels are, at each latency; benchmarks/README.md defines every number. What the models say is kept
in the cache folder by the recording's hash, so the second run takes seconds; name another folder when the models have
changed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.accuracy.engine import Outcome, run
from benchmarks.accuracy.figures import figures, series
from benchmarks.accuracy.locals import locals_of
from benchmarks.accuracy.oracle import known_voices, oracle
from benchmarks.accuracy.recordings import add_recordings, annotated, cache_folder, simulated_seed
from benchmarks.accuracy.report import Report, print_report
from benchmarks.accuracy.stability import Stability, stability
from benchmarks.ahc_baseline import AVERAGE, CENTROID, ahc
from benchmarks.diart_baseline import DiartConfig, diart
from benchmarks.results import Result, add_json, asked
from turnstream.clients.evaluation.recordings import LazyModels, Recording, Turns
from turnstream.clients.evaluation.scoring import Errors, score
from turnstream.errors import TurnstreamError
from turnstream.stitching.config import StitcherConfig

__all__ = ["LazyModels", "Outcome", "Recording", "run"]


@dataclass(frozen=True, slots=True)
class Job:
    """One recording to measure; what a process is sent."""

    path: Path
    folder: Path
    latencies_s: tuple[float, ...]
    baselines: bool
    config: StitcherConfig


@dataclass(frozen=True, slots=True)
class Measured:
    """One recording: errors by row and collar, stability by latency."""

    name: str
    digest: str
    seed: int | None
    duration_s: float
    speakers_true: int
    speakers_found: int
    embeddings_per_s: float
    errors: dict[str, tuple[Errors, ...]]
    stability: dict[float, Stability]
    stitch_s: list[float]


def measure(job: Job, models: LazyModels | None = None) -> Measured:
    """Every row over one recording."""
    recording = Recording(job.path, job.folder, models or LazyModels())
    latencies = list(job.latencies_s)
    outcome = run(recording, latencies, job.config)
    embedded = recording.embedded
    rows = {**outcome.turns, **oracle(recording, latencies, job.config), **known_voices(recording, job.config)}
    if job.baselines:
        rows |= baseline_rows(recording, latencies)
    return Measured(
        name=recording.name,
        digest=recording.digest,
        seed=simulated_seed(job.path),
        duration_s=recording.duration_s,
        speakers_true=len(recording.speakers),
        speakers_found=outcome.speakers,
        embeddings_per_s=embedded / recording.duration_s,
        errors={row: score(recording, turns) for row, turns in rows.items()},
        stability={latency: stability(recording, heard) for latency, heard in outcome.listeners.items()},
        stitch_s=outcome.stitch_s,
    )


def baseline_rows(recording: Recording, latencies_s: list[float]) -> dict[str, Turns]:
    """Other algorithms on the same windows and embedding model."""
    seen = locals_of(recording)
    offline = {f"ahc {config.method}": ahc(seen, recording.end_frame, config) for config in (AVERAGE, CENTROID)}
    return {**diart(seen, recording.end_frame, latencies_s, DiartConfig()), **offline}


def measure_all(jobs: list[Job], processes: int) -> Iterator[Measured]:
    """In order, one process after another recording where there are several."""
    if processes == 1:
        models = LazyModels()
        yield from (measure(job, models) for job in jobs)
        return
    # A forked process would share the threads of BLAS with its parent, and hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(measure, jobs)


def main() -> None:
    """Run over the recordings and print the tables."""
    arguments, load = _arguments(), os.getloadavg()[0]
    try:
        folder, latencies = cache_folder(arguments.cache), tuple(arguments.latency)
        config = StitcherConfig.from_json(arguments.stitcher) if arguments.stitcher else StitcherConfig()
        paths = annotated(arguments.recordings)
        jobs = [Job(path, folder, latencies, not arguments.engine_only, config) for path in paths]
        report = Report(config)
        for measured in measure_all(jobs, arguments.jobs):
            report.add(measured)
        print_report(report)
        if arguments.json:
            result(report, arguments, load).write(arguments.json)
    except TurnstreamError as error:
        sys.exit(f"der: {error}")


def result(report: Report, arguments: argparse.Namespace, load: float) -> Result:
    """What is written with --json. A conversation that was made anew has its seed beside its hash."""
    data = [
        {"name": m.name, "sha256": m.digest, "duration_s": round(m.duration_s, 3), "seed": m.seed}
        for m in report.recordings
    ]
    parameters = {
        "latency_s": arguments.latency,
        "engine_only": arguments.engine_only,
        "stitcher": asdict(report.config),
    }
    command = asked("benchmarks.der")
    return Result(arguments.name, command, figures(report), parameters, series(report), data, load=load)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_recordings(parser)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.5, 1.0, 2.0, 5.0])
    parser.add_argument(
        "--stitcher", type=Path, metavar="PATH", help="constants in JSON, as turnstream tune writes them"
    )
    parser.add_argument("--engine-only", action="store_true", help="without the other algorithms")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="recordings measured at once")
    parser.add_argument("--name", default="der", help="of the result written with --json (default: der)")
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error(f"--jobs: expected 1 or more, got {arguments.jobs}")
    return arguments


if __name__ == "__main__":
    main()
