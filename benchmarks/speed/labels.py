"""When a frame of speech gets its first label and the one that stays, in seconds of audio (benchmarks/README.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy.engine import run
from benchmarks.accuracy.recordings import cache_folder
from benchmarks.accuracy.stability import stability, summary
from benchmarks.results import Figure
from turnstream.clients.evaluation.recordings import LazyModels, Recording
from turnstream.stitching.config import StitcherConfig

WANTED = ("first_label_median_s", "first_label_p90_s", "stable_label_median_s", "stable_label_p90_s")


def figures(paths: Sequence[Path], latencies_s: Sequence[float]) -> dict[str, Figure]:
    """`labels.L.first_label_median_s` and so on, pooled over the recordings that have a reference beside them."""
    models, outcomes = LazyModels(), []
    for path in paths:
        recording = Recording(path, cache_folder(None), models)
        outcomes.append((recording, run(recording, list(latencies_s), StitcherConfig())))
    found = {}
    for latency_s in latencies_s:
        seen = summary([stability(recording, outcome.listeners[latency_s]) for recording, outcome in outcomes])
        for name in WANTED:
            assert math.isfinite(seen[name]), f"expected labels in {[path.name for path in paths]}, got none"
            found[f"labels.{latency_s:g}s.{name.removesuffix('_s')}"] = Figure(seen[name], "s", "error")
    return found
