"""Which constants of the clustering would be chosen on these recordings alone?

    python -m benchmarks.clustering RECORDING_OR_FOLDER... [--out constants.json] [--json FOLDER]

For a report on speakers who had no part in a choice: run it on recordings of other speakers, and give what it writes to
`python -m benchmarks.der OTHERS --stitcher constants.json`. Every set of constants of a grid clusters the segments of
each whole recording; a segment is the true speaker's in whose speech most of it lies. Error: share of the segments'
clean speech that is not in the cluster matched with its speaker, one cluster to one speaker, mean over the recordings.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import results
from benchmarks.accuracy.recordings import add_recordings, cache_folder, labelled
from turnstream.clients.evaluation.recordings import LazyModels, Recording
from turnstream.errors import TurnstreamError
from turnstream.stitching.clustering import CosineTable, best_pairs
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.identity import find_speakers
from turnstream.stitching.pair_votes import PairVotes
from turnstream.stitching.segments import Segment
from turnstream.stitching.splitting import Splitter
from turnstream.stitching.stitcher import Stitcher

GRID = {
    "cluster_distance": (0.5, 0.55, 0.6, 0.65),
    "join_cosine": (0.6, 0.62, 0.64, 0.66, 0.68, 0.7, 0.72),
    "split_apart_cosine": (0.3, 0.34, 0.36, 0.38, 0.4, 0.42, 0.46),
}


@dataclass(frozen=True, slots=True)
class Heard:
    """The segments of one recording that are somebody's, and the number of the true speaker of each."""

    segments: list[Segment]
    pair_votes: PairVotes
    speakers: NDArray[np.int64]


def hear(recording: Recording) -> Heard:
    """Every window of a recording, nothing decided."""
    stitcher, truth = Stitcher(), recording.reference_frames()
    for first_frame, active in recording.windows():
        crops = stitcher.observe(first_frame, active)
        stitcher.remember(np.array([recording.embed(crop) for crop in crops], np.float32))
    recording.keep()
    config = stitcher.config
    found = [s for s in stitcher.store.segments if s.shapes_clusters(config) and truth[max(0, s.start) : s.end].any()]
    speakers = [int(truth[max(0, s.start) : s.end].sum(axis=0).argmax()) for s in found]
    return Heard(found, stitcher.store.pair_votes, np.array(speakers, np.int64))


def error(heard: Heard, config: StitcherConfig, table: CosineTable) -> float:
    """Share of the clean speech that is in another cluster than its speaker's; every segment goes to the nearest."""
    found = find_speakers(heard.segments, config, table, Splitter(config), heard.pair_votes)
    weights = np.array([s.clean_frames for s in found.members], np.float64)
    vectors = np.stack([s.vector for s in found.members if s.vector is not None])
    nearest = (vectors @ found.centroids.T).argmax(axis=1)
    shared = np.zeros((len(found.centroids), int(heard.speakers.max()) + 1))
    np.add.at(shared, (nearest, heard.speakers), weights)
    return 1 - sum(float(shared[pair]) for pair in best_pairs(shared)) / float(weights.sum())


def search(recordings: list[Heard]) -> dict[tuple[float, ...], list[float]]:
    """The error in each recording of every set of constants in the grid."""
    tables = [CosineTable() for _ in recordings]
    found = {}
    for values in itertools.product(*GRID.values()):
        config = replace(StitcherConfig(), **dict(zip(GRID, values, strict=True)))
        found[values] = [error(heard, config, table) for heard, table in zip(recordings, tables, strict=True)]
    return found


def main() -> None:
    """Search, print the best and what the engine has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_recordings(parser)
    parser.add_argument("--out", type=Path, metavar="PATH", help="write the best constants, for --stitcher")
    results.add_json(parser)
    arguments, load = parser.parse_args(), os.getloadavg()[0]
    try:
        paths, models = labelled(arguments.recordings), LazyModels()
        found = search([hear(Recording(path, cache_folder(arguments.cache), models)) for path in paths])
    except TurnstreamError as problem:
        sys.exit(f"clustering: {problem}")
    mean = {values: 100 * float(np.mean(errors)) for values, errors in found.items()}
    now = tuple(getattr(StitcherConfig(), name) for name in GRID)
    best = min(mean, key=lambda values: (mean[values], values))
    print(f"{len(paths)} recordings; mean error in % of clean speech, best first; the engine's own last")
    for values in [*sorted(mean, key=lambda values: mean[values])[:8], now]:
        print(f"{mean[values]:6.2f}  " + "  ".join(f"{n} {v:g}" for n, v in zip(GRID, values, strict=True)))
    if arguments.out:
        arguments.out.write_text(json.dumps(dict(zip(GRID, best, strict=True)), indent=1) + "\n")
    if arguments.json:
        figures = {
            **{f"chosen.{n}": results.Figure(v, "", "error", "neither") for n, v in zip(GRID, best, strict=True)},
            "chosen.error": results.Figure(mean[best], "%", "error"),
            "engine.error": results.Figure(mean[now], "%", "error"),
        }
        data = [results.recording(path) for path in paths]
        command = results.asked("benchmarks.clustering")
        results.Result("clustering", command, figures, data=data, load=load).write(arguments.json)


if __name__ == "__main__":
    main()
