"""Decides whether a cluster is one voice or two, from its best halves and how windows group them. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from .clustering import noise_gain, product
from .config import StitcherConfig

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
AXES = 2  # of greatest spread to halve a cluster along: the first may be noise, a third never found another voice
POWER_ROUNDS = 10  # of the power method; 2-means corrects the remaining error
MEANS_ROUNDS = 10  # of 2-means at most; it usually converges after three or four


class Splitter:
    """Splits clusters, and remembers the result for clusters that have not changed since the last time.

    In a long stream most have not, and examining them again would cost more than the rest of the clustering.
    """

    def __init__(self, config: StitcherConfig) -> None:
        self._config = config
        self._found: dict[bytes, Bools | None] = {}  # by the cluster's own numbers

    def split(self, cosines: Floats, weights: Floats, clusters: Ints, together: Floats, apart: Floats) -> Ints:
        """Split clusters in two, and the halves again, as long as the halves are two voices.

        Linkage compares small clusters, whose means are noisy. This compares two large ones, and also uses how the
        windows group their segments.

        Shapes:
            cosines: (n, n) products of the vectors; weights: (n,) seconds; clusters: (n,) numbers from 0
            together, apart: (n, n) windows in which two segments were one local speaker's, and two local speakers'
            returns: (n,) cluster numbers from 0 in order of first member
        """
        waiting = [np.flatnonzero(clusters == cluster) for cluster in range(int(clusters.max(initial=-1)) + 1)]
        whole: list[Ints] = []
        found: dict[bytes, Bools | None] = {}
        while waiting:
            members = waiting.pop()
            here = np.ix_(members, members)
            numbers = cosines[here], weights[members], together[here], apart[here]
            key = blake2b(b"".join(part.tobytes() for part in numbers), digest_size=16).digest()
            half = self._found[key] if key in self._found else two_voices(*numbers, self._config)
            found[key] = half
            if half is None:
                whole.append(members)
            else:
                waiting += [members[half], members[~half]]
        self._found = found
        split = np.empty(len(weights), np.int64)
        for number, members in enumerate(sorted(whole, key=lambda members: int(members[0]))):
            split[members] = number
        return split


def two_voices(
    cosines: Floats, weights: Floats, together: Floats, apart: Floats, config: StitcherConfig
) -> Bools | None:
    """One half of a cluster that is two voices, (n,) bool; None if it is one voice.

    The halves are two voices if the cosine of their means, noise-corrected as in `join_clusters`, is below a bar.
    The bar is `split_cosine` for halves that windows hold together like those of one voice, and rises by up to
    `split_apart_cosine` the less they do. Halves are the most unlike parts of a cluster, so halves with little speech
    differ more by chance: the bar is lower for them.
    """
    found, lowest = None, 0.0
    if weights.sum() < 2 * config.split_least_s:
        return None
    for half in halves(cosines, weights):
        light_s = min(float(weights[half].sum()), float(weights[~half].sum()))
        if light_s < config.split_least_s:
            continue
        held = held_together(together, apart, half, config.split_doubt_windows)
        bar = config.split_cosine + config.split_apart_cosine * (1 - min(1.0, held))
        bar += config.split_light_cosine * float(np.log(min(1.0, light_s / config.split_light_s)))
        above = alike(cosines, weights, half, config.join_noise_s) - bar
        if above < lowest:
            found, lowest = half, above
    return found


def held_together(together: Floats, apart: Floats, half: Bools, doubt_windows: float) -> float:
    """How often windows give both halves to one local speaker, relative to halves drawn at random.

    Segments of one local speaker are neighbors in time and mostly one voice. The halves of one voice are interleaved,
    so neighbors often belong to different halves; two voices take turns. Windows that give the halves to two local
    speakers count as expected but missing neighbors. `doubt_windows` is added to both sides of the ratio.
    """
    degrees = together.sum(axis=1)
    first, second = float(degrees[half].sum()), float(degrees[~half].sum())
    expected = first * second / max(first + second, 1.0)
    across = np.ix_(half, ~half)
    return (float(together[across].sum()) + doubt_windows) / (expected + float(apart[across].sum()) + doubt_windows)


def alike(cosines: Floats, weights: Floats, half: Bools, noise_s: float) -> float:
    """Noise-corrected cosine of the means of both halves."""
    shares, sums = _sums(cosines, weights, half)
    noise = float(np.prod([noise_gain(weights[side].sum(), noise_s) for side in (half, ~half)]))
    return noise * float(shares[:, 0] @ sums[:, 1]) / float(np.prod(_norms(shares, sums)))


def halves(cosines: Floats, weights: Floats) -> Iterator[Bools]:
    """Halves of a cluster by 2-means, (n,) bool, started along each of its axes of greatest spread."""
    for axis in axes(cosines, weights):
        half, before = axis > 0, None
        for _ in range(MEANS_ROUNDS):
            if half.all() or not half.any() or (before is not None and (half == before).all()):
                break
            shares, sums = _sums(cosines, weights, half)
            first, second = (sums / _norms(shares, sums)).T
            before, half = half, first > second
        if half.any() and not half.all():
            yield half


def axes(cosines: Floats, weights: Floats) -> Iterator[Floats]:
    """Coordinates of the vectors along the cluster's axes of greatest spread, (n,), by the power method."""
    shares = weights / weights.sum()
    rows = product(cosines, shares)
    spread = (cosines - rows - rows[:, None] + float(shares @ rows)) * np.sqrt(np.outer(shares, shares))
    for _ in range(AXES):
        axis = spread[:, int(spread.diagonal().argmax())]
        for _ in range(POWER_ROUNDS):
            axis = product(spread, axis / max(float(np.linalg.norm(axis)), 1e-12))
        length = max(float(np.linalg.norm(axis)), 1e-12)
        yield axis
        spread = spread - np.outer(axis, axis / length)


def _sums(cosines: Floats, weights: Floats, half: Bools) -> tuple[Floats, Floats]:
    """Weights of both halves, (n, 2), and the product of every vector with each half's weighted sum, (n, 2)."""
    shares = np.stack([weights * half, weights * ~half], axis=1)
    return shares, product(cosines, shares)


def _norms(shares: Floats, sums: Floats) -> Floats:
    """Norms of the weighted sums of both halves, (2,)."""
    norms: Floats = np.sqrt(np.maximum((shares * sums).sum(axis=0), np.float32(1e-12)))
    return norms
