"""Duration-weighted average linkage of speaker embeddings, and stable names for its clusters. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .linear_assignment import best_pairs

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """`a @ b` of finite numbers, without spurious warnings.

    OpenBLAS's kernels for a few rows compute whole registers. Unrelated memory next to the data may then raise the
    processor's flag for invalid operations, and NumPy checks the flag, not the result (numpy/numpy#24067).
    """
    with np.errstate(invalid="ignore"):
        result: NDArray[Any] = a @ b
    return result


def average_linkage(cosines: NDArray[np.floating], weights: Floats, distance: float) -> Ints:
    """Clusters of average linkage with cosine distance, cut at `distance`; every vector counts by its weight.

    The distance of two clusters is 1 - the weighted mean cosine over all pairs, so a vector of weight 2 is the same
    as two equal vectors of weight 1. All mutually nearest pairs merge at once: average linkage is reducible, so no
    merge brings a third cluster nearer, and the result equals merging the nearest pair each time (Murtagh 1983).

    Shapes:
        cosines: (n, n), symmetric; weights: (n,) > 0
        returns: (n,) cluster numbers from 0, in order of first member
    """
    weight = weights.astype(np.float64)
    mean = cosines.astype(np.float64)
    np.fill_diagonal(mean, -np.inf)
    clusters = here = np.arange(len(weight))
    while len(weight) > 1:
        nearest = mean.argmax(axis=1)
        mutual = (nearest[nearest] == here) & (mean[here, nearest] >= 1 - distance)
        if not mutual.any():
            break
        target = np.where(mutual, np.minimum(here, nearest), here)
        kept = target == here
        into, gone = target[~kept], here[~kept]
        share = (weight[gone] / (weight[into] + weight[gone]))[:, None]
        mean[into] = (1 - share) * mean[into] + share * mean[gone]
        mean[:, into] = (1 - share.T) * mean[:, into] + share.T * mean[:, gone]
        weight[into] += weight[gone]
        mean, weight, here = mean[np.ix_(kept, kept)], weight[kept], here[: kept.sum()]
        clusters = (np.cumsum(kept) - 1)[target][clusters]
    return clusters


class CosineTable:
    """Products of vectors with each other, each computed once, when the vector is first seen.

    They are computed in blocks small enough for BLAS to stay on the calling thread: waking its other threads costs
    more than the work itself while the cores are busy with the models.
    """

    BLOCK_ROWS = 32
    MOST_ROWS = 4096  # that a written state may ask memory for; ten times what the stitcher's bound needs

    def __init__(self) -> None:
        self._slot_of: dict[int, int] = {}  # id of a vector -> its row
        self._free: list[int] = []
        self._held: list[Floats] = []  # by row; holding the vectors keeps their ids unique
        self._rows: Floats = np.zeros((0, 0), np.float32)
        self._cosines: Floats = np.zeros((0, 0), np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Without the products, which are the same when they are computed again, and the ids, which are not."""
        slots = list(self._slot_of.values())
        return {"slots": slots, "held": [self._held[slot] for slot in slots], "free": self._free}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises ValueError for a state that never was."""
        self.__init__()  # type: ignore[misc]
        held, free = dict(zip(state["slots"], state["held"], strict=True)), state["free"]
        count = len(held) + len(free)
        if count > self.MOST_ROWS or sorted([*held, *free]) != list(range(count)):
            raise ValueError(f"expected different slots, at most {self.MOST_ROWS}, got {count}")
        for slot in range(count):
            self._put(slot, held[slot] if slot in held else np.zeros_like(state["held"][0]))
        self._slot_of = {id(held[slot]): slot for slot in state["slots"]}
        self._free = free

    def among(self, vectors: Sequence[Floats]) -> Floats:
        """Products of these n vectors of shape (D,): (n, n). Vectors of earlier calls that are missing are dropped."""
        wanted = {id(vector) for vector in vectors}
        self._free += [self._slot_of.pop(key) for key in list(self._slot_of) if key not in wanted]
        for vector in vectors:
            if id(vector) not in self._slot_of:
                self._put(self._free.pop() if self._free else len(self._held), vector)
        slots = [self._slot_of[id(vector)] for vector in vectors]
        return self._cosines[np.ix_(slots, slots)]

    def _put(self, slot: int, vector: Floats) -> None:
        if slot == len(self._held):
            self._held.append(vector)
        if slot == len(self._rows):
            more = max(self.BLOCK_ROWS, slot)
            self._rows = np.pad(self._rows.reshape(slot, len(vector)), ((0, more), (0, 0)))
            self._cosines = np.pad(self._cosines, (0, more))
        self._slot_of[id(vector)] = slot
        self._held[slot] = self._rows[slot] = vector
        blocks = self._rows.reshape(-1, self.BLOCK_ROWS, len(vector))
        self._cosines[slot] = self._cosines[:, slot] = np.concatenate([product(block, vector) for block in blocks])


def centroids(vectors: Floats, weights: Floats, clusters: Ints) -> Floats:
    """Weighted means of each cluster's vectors, (clusters, D), unit norm."""
    count = int(clusters.max(initial=-1)) + 1
    sums = [(vectors * weights[:, None])[clusters == cluster].sum(axis=0) for cluster in range(count)]
    return unit(np.array(sums, np.float32).reshape(count, vectors.shape[1]))


def noise_gain(seconds: Any, noise_s: float) -> Any:
    """The factor that corrects the cosine of a mean of `seconds` of speech for the noise in it, in expectation.

    An embedding of w seconds is voice plus noise: its cosine with the voice's own direction is sqrt(w / (w + noise_s)),
    and for a mean of several the same holds with the sum of their seconds. So two means of w and v seconds of one
    voice have the cosine sqrt(w / (w + noise_s) * v / (v + noise_s)). Multiplied by both gains it is 1, however short
    the speech or noisy the room. (The mean cosine over all pairs, which average linkage uses, drops with both.)
    """
    return np.sqrt((seconds + noise_s) / seconds)


def join_clusters(vectors: Floats, weights: Floats, clusters: Ints, cosine: float, noise_s: float) -> Ints:
    """Join clusters, the most alike first, while the noise-corrected cosine of their means is at least `cosine`.

    Shapes:
        vectors: (n, D), weights: (n,) seconds, clusters: (n,) numbers from 0
        returns: (n,) cluster numbers from 0 in order of first member
    """
    count = int(clusters.max(initial=-1)) + 1
    held = np.arange(count)[:, None] == clusters  # (K, n)
    sums, mass = product(held, vectors * weights[:, None]), product(held, weights)
    name = np.arange(count)
    while len(mass) > 1:
        means = unit(sums) * noise_gain(mass, noise_s)[:, None]
        alike = product(means, means.T)
        np.fill_diagonal(alike, -np.inf)
        into, gone = sorted(np.unravel_index(int(alike.argmax()), alike.shape))
        if alike[into, gone] < cosine:
            break
        sums[into] += sums[gone]
        mass[into] += mass[gone]
        sums, mass = np.delete(sums, gone, axis=0), np.delete(mass, gone)
        name = np.where(name == gone, into, name - (name > gone))
    return name[clusters]


def unit(vectors: Floats) -> Floats:
    """The same directions, (..., D), with unit norm; zeros stay zeros."""
    norms: Floats = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))
    return vectors / norms


def name_clusters(
    votes: Sequence[dict[int, float]], weights: Floats, clusters: Ints, kept: Sequence[int]
) -> dict[int, int]:
    """Ids for the clusters `kept`, by linear assignment on the weighted shares of their members' votes.

    A member with votes {3: 8, 5: 2} gives 0.8 of its weight to id 3 and 0.2 to id 5. When merged clusters separate
    again, an id therefore returns to the cluster with most of its speech. Clusters that no id claims are left out.
    """
    ids = sorted({name for vote in votes for name in vote})
    column = {name: n for n, name in enumerate(ids)}
    score = np.zeros((len(kept), len(ids)))
    row = {cluster: n for n, cluster in enumerate(kept)}
    for vote, weight, cluster in zip(votes, weights.tolist(), clusters.tolist(), strict=True):
        if cluster in row:
            total = sum(vote.values())
            for name, times in vote.items():
                score[row[cluster], column[name]] += weight * times / total
    return {kept[r]: ids[c] for r, c in best_pairs(score)}
