"""How far does the live result drift from the offline one, in numbers, decisions, time and identities, over hours?

    python -m benchmarks.drift all RECORDING_OR_FOLDER... [--json FOLDER]
    python -m benchmarks.drift numeric     against PyTorch; increments, batches, positions, carried state
    python -m benchmarks.drift decisions   live as hypothesis, offline as reference, by latency and place in the stream
    python -m benchmarks.drift clock       told times against true times: chunks, rates, a sound card that is off
    python -m benchmarks.drift identity    flips, splits, merges, returns after 1, 10 and 60 minutes

Recordings need their reference beside them (`.rttm`); without any, the demo recording is used. Speakers of one name in
several recordings are one person. `--quick` does less of everything, in under a minute on one recording. What the words
mean: benchmarks/README.md. What the models say of recordings is kept in the cache of `benchmarks.der`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import results
from benchmarks.accuracy.recordings import annotated, cache_folder
from benchmarks.drifts import clock, decisions, identity, numeric
from benchmarks.drifts.streams import Source
from benchmarks.results import Figure, Result
from turnstream.clients.evaluation.recordings import LazyModels, Recording
from turnstream.errors import TurnstreamError
from turnstream.weights.store import demo_recording

Measured = tuple[dict[str, Figure], dict[str, str]]  # figures, what was not run and why
CARRIED_HOURS = 0.1
QUICK_HOURS = 0.05
LONG = "one recording is no long stream: name several"


class Parts:
    """The four parts on the same recordings."""

    def __init__(self, arguments: argparse.Namespace):
        self.hours = QUICK_HOURS if arguments.quick else arguments.hours
        self.quick, self.seed = arguments.quick, arguments.seed
        self.paths = annotated(arguments.recordings or [demo_recording()[0]])
        if self.quick:
            self.paths = self.paths[:1]
        self.models = LazyModels()
        folder = cache_folder(arguments.cache)
        self.sources = [Source(Recording(path, folder, self.models), self.models) for path in self.paths]

    def numeric(self) -> Measured:
        """See `benchmarks.drifts.numeric`."""
        return numeric.measure(self.paths[0], self.hours, 0.0 if self.quick else CARRIED_HOURS)

    def decisions(self) -> Measured:
        """See `benchmarks.drifts.decisions`."""
        long = len(self.sources) > 1
        figures = decisions.measure(self.sources, self.models, self.hours if long else 0.0, self.seed)
        return figures, {} if long else {"stream": LONG}

    def clock(self) -> Measured:
        """See `benchmarks.drifts.clock`."""
        return clock.measure(self.hours, self.quick), {}

    def identity(self) -> Measured:
        """See `benchmarks.drifts.identity`."""
        missing = {} if len(self.sources) > 1 else {"returns after 10 and 60 minutes": LONG}
        return identity.measure(self.sources, self.seed), missing


TABLES: Mapping[str, Callable[[dict[str, Figure]], str]] = {
    "numeric": numeric.table,
    "decisions": decisions.table,
    "clock": clock.table,
    "identity": identity.table,
}


def main() -> None:
    """Measure, print, write."""
    arguments = _arguments()
    try:
        parts = Parts(arguments)
        for part in TABLES if arguments.part == "all" else (arguments.part,):
            load, began, busy = os.getloadavg()[0], time.perf_counter(), time.process_time()
            figures, not_run = getattr(parts, part)()
            took_s, busy_s = time.perf_counter() - began, time.process_time() - busy
            print(f"== {part} ({took_s:.0f} s, of processors {busy_s:.0f} s, load {load:.1f})\n{TABLES[part](figures)}")
            for what, why in not_run.items():
                print(f"not run: {what}: {why}")
            print(flush=True)
            if arguments.json:
                _result(arguments, parts, part, (figures, not_run), load).write(arguments.json)
    except TurnstreamError as error:
        sys.exit(f"drift: {error}")


def _result(arguments: argparse.Namespace, parts: Parts, part: str, measured: Measured, load: float) -> Result:
    figures, not_run = measured
    used = {"numeric": parts.paths[:1], "clock": []}.get(part, parts.paths)
    words = [part, *(["--quick"] if parts.quick else [f"--hours {parts.hours:g}"]), f"--seed {parts.seed}"]
    return Result(
        name=f"drift_{part}",
        command=f"python -m benchmarks.drift {' '.join(words)}{' RECORDING...' if used else ''}",
        figures=figures,
        parameters={"hours": parts.hours, "quick": parts.quick, "not_run": not_run},
        data=[results.recording(path) for path in used],
        seed=arguments.seed,
        load=load,
        libraries=("pyannote.core", "kaldi-native-fbank"),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("all", *TABLES))
    parser.add_argument("recordings", type=Path, nargs="*", metavar="RECORDING", help="with .rttm beside, or a folder")
    parser.add_argument("--hours", type=float, default=2.0, help="of stream time, for what is measured over hours")
    parser.add_argument("--quick", action="store_true", help="the first recording alone, minutes for hours")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="where model outputs are kept (default: in the user's cache)")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write the results, one file a part")
    arguments = parser.parse_args()
    if not 0 < arguments.hours < 100:
        parser.error(f"--hours: expected above 0 and below 100, got {arguments.hours}")
    return arguments


if __name__ == "__main__":
    main()
