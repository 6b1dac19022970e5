"""Offline clustering of local speakers: the comparator for the final result, on the same windows as the engine.

    python -m benchmarks.ahc_baseline FOLDER_OR_RECORDING... [--cache FOLDER]     search the constants

All local speakers of a recording with enough speech of their own are clustered at once, by average linkage on cosine
distance or by centroid linkage on Euclidean distance of unit vectors. Clusters with less than a share of all such
speech are dropped. In every window the local speakers then go to the nearest clusters, no two of them to the same
one, and the windows are aggregated as the stitcher does it.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment

from benchmarks.accuracy.locals import Locals, locals_of
from benchmarks.accuracy.oracle import columns, turns_from
from benchmarks.accuracy.recordings import add_recordings, annotated, cache_folder
from turnstream.clients.evaluation.recordings import LazyModels, Recording, Turns
from turnstream.clients.evaluation.scoring import pooled, score
from turnstream.stitching.aggregation import Aggregator, edge_trust
from turnstream.stitching.clustering import centroids
from turnstream.stitching.config import StitcherConfig

GRID = {
    "average": {"stop": (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75), "keep_share": (0.0, 0.01, 0.02, 0.04)},
    "centroid": {"stop": (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9), "keep_share": (0.0, 0.01, 0.02, 0.04)},
}


@dataclass(frozen=True, slots=True)
class AhcConfig:
    """What `python -m benchmarks.ahc_baseline` found on simulated speech."""

    method: Literal["average", "centroid"] = "average"
    stop: float = 0.5  # where merging stops: cosine distance for average, Euclidean distance for centroid linkage
    keep_share: float = 0.02  # of all clustered speech that makes a cluster a speaker
    least_s: float = 0.5  # speech of his own that a local speaker needs to be clustered


AVERAGE, CENTROID = AhcConfig(), AhcConfig("centroid", stop=0.6)


def ahc(seen: Locals, end_frame: int, config: AhcConfig) -> Turns:
    """The turns of a whole recording."""
    speakers = _speakers(seen, config)
    votes = Aggregator(StitcherConfig(), 0)
    trust = edge_trust(seen.active.shape[1], StitcherConfig())
    for n, first in enumerate(seen.first_frames.tolist()):
        said = [(owner, seen.active[n, :, local]) for local, owner in _owners(seen.vectors[n], speakers)]
        votes.add(first, trust, said)
    labels = votes.labels()
    return turns_from(columns(labels, (len(labels.active), len(speakers))), end_frame)


def _speakers(seen: Locals, config: AhcConfig) -> NDArray[np.float32]:
    """Centroids of the clusters that are kept, (K, D) unit norm."""
    enough = (seen.clean_s >= config.least_s) & ~np.isnan(seen.vectors[..., 0])
    vectors, weights = seen.vectors[enough], seen.clean_s[enough]
    if len(vectors) < 2:
        return vectors
    metric = "cosine" if config.method == "average" else "euclidean"
    tree = linkage(vectors.astype(np.float64), config.method, metric)
    clusters = fcluster(tree, config.stop, "distance").astype(np.int64) - 1
    speech = np.bincount(clusters, weights)
    kept = np.flatnonzero((speech >= config.keep_share * speech.sum()) | (speech == speech.max()))
    return centroids(vectors, weights, clusters)[kept]


def _owners(vectors: NDArray[np.float32], speakers: NDArray[np.float32]) -> list[tuple[int, int]]:
    """(local speaker, speaker) of one window with the largest sum of cosines."""
    present = np.flatnonzero(~np.isnan(vectors[:, 0]))
    rows, owners = linear_sum_assignment(vectors[present] @ speakers.T, maximize=True)
    return [(int(present[row]), int(owner)) for row, owner in zip(rows, owners, strict=True)]


def search(recordings: list[Recording]) -> list[tuple[float, AhcConfig]]:
    """DER of every point of both grids, collar 0, the best first."""
    seen, found = [locals_of(recording) for recording in recordings], []
    for method, grid in GRID.items():
        for stop, keep_share in itertools.product(*grid.values()):
            config = AhcConfig(method, stop, keep_share)  # type: ignore[arg-type]
            turns = [ahc(s, r.end_frame, config) for s, r in zip(seen, recordings, strict=True)]
            errors = pooled(score(r, t, [0.0])[0] for r, t in zip(recordings, turns, strict=True))
            found.append((errors.der, config))
            print(f"{100 * errors.der:5.2f}  {asdict(config)}", flush=True)
    return sorted(found, key=lambda pair: pair[0])


def main() -> None:
    """Search on the recordings given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_recordings(parser)
    arguments = parser.parse_args()
    models, folder = LazyModels(), cache_folder(arguments.cache)
    found = search([Recording(path, folder, models) for path in annotated(arguments.recordings)])
    for method in GRID:
        der, config = next(pair for pair in found if pair[1].method == method)
        print(f"best {method} linkage: DER {100 * der:.2f}, collar 0  {asdict(config)}")


if __name__ == "__main__":
    main()
