"""Online clustering of local speakers as published by Coria et al. (2021), on the same windows as the engine.

    python -m benchmarks.diart_baseline FOLDER_OR_RECORDING... [--cache FOLDER]     search the three thresholds

"Overlap-aware low-latency online speaker diarization based on end-to-end local segmentation", arXiv 2109.06483,
written from the paper. At every step the local speakers of the newest window whose activity reaches tau_active are
given to the speakers known so far: the assignment with the least total cosine distance in which no two local speakers
share one (cannot-link). One that is further than delta_new from his speaker becomes a new one. One who talks for
rho_update of the window or more adds his embedding to his speaker's centroid. Windows that overlap are averaged with
Hamming weights, as many as the latency allows, and a speaker talks where the average reaches tau_active.

Two things differ from the paper, in favour of the comparison: the windows are 10 s long (the engine's), and in place
of its overlap-aware pooling the embedding is that of the frames in which nobody else talks. Where the paper leaves it
open, a local speaker too short for an update opens no new speaker but takes the nearest free one.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.accuracy.locals import FRAME_S, Locals, locals_of
from benchmarks.accuracy.oracle import Live, turns_from
from benchmarks.accuracy.recordings import add_recordings, annotated, cache_folder
from turnstream.clients.evaluation.recordings import LazyModels, Recording, Turns
from turnstream.clients.evaluation.scoring import pooled, score
from turnstream.stitching.clustering import unit

GRID = {
    "tau_active": (0.4, 0.5, 0.6),
    "rho_update": (0.02, 0.05, 0.1, 0.15, 0.2),
    "delta_new": (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9),
}
TUNED_AT_S = [1.0, 5.0]


@dataclass(frozen=True, slots=True)
class DiartConfig:
    """The paper's three thresholds; those that `python -m benchmarks.diart_baseline` found on simulated speech."""

    tau_active: float = 0.5  # probability from which a local speaker talks
    rho_update: float = 0.15  # share of the window that must be speech of him alone to change a centroid
    delta_new: float = 0.55  # cosine distance beyond which he is somebody new


@dataclass
class Centroids:
    """Sums of the embeddings of every speaker so far."""

    config: DiartConfig
    sums: list[NDArray[np.float32]] = field(default_factory=list)

    def take(self, vectors: NDArray[np.float32], long: NDArray[np.bool_]) -> list[int | None]:
        """The speakers of a window's active local speakers, (L, D) unit norm; `long` ones may move centroids."""
        owners = self._nearest(vectors, long)
        for n, vector in enumerate(vectors):
            owner = owners[n]
            if owner is not None and long[n]:
                self.sums[owner] = self.sums[owner] + vector
            elif owner is None and long[n]:
                self.sums.append(vector)
                owners[n] = len(self.sums) - 1
        return owners

    def _nearest(self, vectors: NDArray[np.float32], long: NDArray[np.bool_]) -> list[int | None]:
        owners: list[int | None] = [None] * len(vectors)
        if self.sums and len(vectors):
            distance = 1 - vectors @ unit(np.stack(self.sums)).T
            for n, column in zip(*linear_sum_assignment(distance), strict=True):
                if distance[n, column] <= self.config.delta_new or not long[n]:
                    owners[n] = int(column)
        return owners


def diart(seen: Locals, end_frame: int, latencies_s: list[float], config: DiartConfig) -> dict[str, Turns]:
    """Turns at each latency, and `diart final`: every window that ever saw a frame averaged."""
    rows = _frames(seen, end_frame, latencies_s, config)
    return {f"diart {row}": turns_from(active, end_frame) for row, active in rows.items()}


def _frames(
    seen: Locals, end_frame: int, latencies_s: list[float], config: DiartConfig
) -> dict[str, NDArray[np.bool_]]:
    count, length = seen.soft.shape[1], end_frame + seen.soft.shape[1]
    weight = np.hamming(count).astype(np.float32)
    centroids, live = Centroids(config), Live(latencies_s, (length, 1))
    total, votes = np.zeros(length, np.float32), np.zeros((length, 1), np.float32)
    talking = votes >= 1
    for n, first in enumerate(seen.first_frames.tolist()):
        owners = _owners(seen, n, centroids)
        votes = np.pad(votes, ((0, 0), (0, max(0, len(centroids.sums) - votes.shape[1]))))
        here, skip = slice(max(0, first), first + count), max(0, -first)
        total[here] += weight[skip:]
        for local, owner in owners.items():
            votes[here, owner] += weight[skip:] * seen.soft[n, skip:, local]
        talking = np.pad(talking, ((0, 0), (0, votes.shape[1] - talking.shape[1])))
        talking[here] = votes[here] >= config.tau_active * np.maximum(total[here], 1e-6)[:, None]
        live.update(talking, first + count)
    live.finish(talking)
    return {**{f"{latency:g} s": decided for latency, decided in live.decided.items()}, "final": talking}


def _owners(seen: Locals, n: int, centroids: Centroids) -> dict[int, int]:
    """Speaker of every local speaker of window `n` that is active and has an embedding."""
    heard = max(0, -int(seen.first_frames[n]))
    loud = seen.soft[n, heard:].max(axis=0, initial=0.0) >= centroids.config.tau_active
    locals_ = [int(k) for k in np.flatnonzero(loud & ~np.isnan(seen.vectors[n, :, 0]))]
    window_s = seen.soft.shape[1] * FRAME_S
    long = seen.clean_s[n, locals_] >= centroids.config.rho_update * window_s
    owners = centroids.take(seen.vectors[n, locals_], long)
    return {local: owner for local, owner in zip(locals_, owners, strict=True) if owner is not None}


def search(recordings: list[Recording]) -> list[tuple[float, DiartConfig]]:
    """Mean DER over the latencies that are tuned at, for every point of the grid, the best first."""
    seen, found = [locals_of(recording) for recording in recordings], []
    for values in itertools.product(*GRID.values()):
        config = DiartConfig(**dict(zip(GRID, values, strict=True)))
        turns = [diart(s, r.end_frame, TUNED_AT_S, config) for s, r in zip(seen, recordings, strict=True)]
        ders = [
            pooled(score(r, t[f"diart {at:g} s"], [0.0])[0] for r, t in zip(recordings, turns, strict=True)).der
            for at in TUNED_AT_S
        ]
        found.append((float(np.mean(ders)), config))
        print(f"{100 * found[-1][0]:5.2f}  {asdict(config)}", flush=True)
    return sorted(found, key=lambda pair: pair[0])


def main() -> None:
    """Search on the recordings given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_recordings(parser)
    arguments = parser.parse_args()
    models, folder = LazyModels(), cache_folder(arguments.cache)
    best = search([Recording(path, folder, models) for path in annotated(arguments.recordings)])
    print("\nbest (mean DER at 1 and 5 s, collar 0):")
    for der, config in best[:5]:
        print(f"{100 * der:5.2f}  {asdict(config)}")


if __name__ == "__main__":
    main()
