"""Two arrays that should be one: how far apart, and whether a decision would notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Figure

Floats = NDArray[np.float32]


@dataclass
class Difference:
    """Pairs of arrays; `add` all, then `figures`. Classes, of log-probabilities (T, C), are the largest of a row."""

    classes: bool = True
    _ours: list[Floats] = field(default_factory=list)
    _theirs: list[Floats] = field(default_factory=list)

    def add(self, ours: Floats, theirs: Floats) -> None:
        """Arrays of one shape, (T, C). Raises ValueError for others."""
        if ours.shape != theirs.shape:
            raise ValueError(f"expected two arrays of one shape, got {ours.shape} and {theirs.shape}")
        self._ours.append(np.atleast_2d(ours))
        self._theirs.append(np.atleast_2d(theirs))

    def values(self) -> dict[str, float]:
        """max, p50, p99 of the absolute differences, 1 - correlation, and the share of rows of one class in percent."""
        ours, theirs = (np.concatenate(parts).astype(np.float64) for parts in (self._ours, self._theirs))
        apart = np.abs(ours - theirs)
        found = {"max": float(apart.max())}
        found |= {f"p{p}": float(np.percentile(apart, p)) for p in (50, 99)}
        found["decorrelation"] = decorrelation(ours.ravel(), theirs.ravel())
        if self.classes:
            found["other_class"] = 100 * float((ours.argmax(axis=1) != theirs.argmax(axis=1)).mean())
        return found

    def figures(self, name: str) -> dict[str, Figure]:
        """Under `NAME.`."""
        units = {"decorrelation": "1 - r", "other_class": "%"}
        return {f"{name}.{key}": Figure(v, units.get(key, "nat"), "error") for key, v in self.values().items()}


def decorrelation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """1 - Pearson's r, exact near 0: half the squared distance of the two, centered and of unit norm."""
    a, b = x - x.mean(), y - y.mean()
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if min(norms) == 0:
        return 0.0 if np.array_equal(x, y) else 1.0
    return float(np.square(a / norms[0] - b / norms[1]).sum() / 2)


def cosine_distances(ours: Sequence[Floats], theirs: Sequence[Floats]) -> list[float]:
    """1 - cosine of each pair of vectors."""
    units = [(v.astype(np.float64) / np.linalg.norm(v.astype(np.float64))) for v in [*ours, *theirs]]
    return [float(np.square(a - b).sum() / 2) for a, b in zip(units[: len(ours)], units[len(ours) :], strict=True)]
