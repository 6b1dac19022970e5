"""Whether other constants are better, from recordings that they were not chosen on: the gain and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .scoring import Errors, pooled

LEAST_RECORDINGS, LEAST_MINUTES = 4, 10.0  # held out: with less, one odd recording decides
DRAWS, CONFIDENCE = 2000, 0.95


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors over a part, without a collar: as committed at the latency, and at the end."""

    live: Errors
    final: Errors

    @property
    def goal(self) -> float:
        """What the search makes small: the mean of both DER."""
        return (self.live.der + self.final.der) / 2


@dataclass(frozen=True, slots=True)
class Gain:
    """Points of the mean DER by which it fell, and the interval of confidence (bootstrap over recordings)."""

    points: float
    low: float
    high: float


def together(each: Sequence[Accuracy]) -> Accuracy:
    """Of several recordings, pooled."""
    return Accuracy(pooled(one.live for one in each), pooled(one.final for one in each))


def gain_of(before: Sequence[Accuracy], after: Sequence[Accuracy], seed: int) -> Gain:
    """The same recordings before and after, in the same order."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(before), size=(DRAWS, len(before)))
    gains = [_points([before[n] for n in draw], [after[n] for n in draw]) for draw in drawn]
    low, high = np.quantile(gains, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Gain(_points(before, after), float(low), float(high))


def too_little(recordings: int, minutes: float) -> str | None:
    """A sentence where nothing can be said about what is held out."""
    if recordings >= LEAST_RECORDINGS and minutes >= LEAST_MINUTES:
        return None
    return (
        f"{recordings} recordings of {minutes:.1f} minutes held out are too little to say whether constants are "
        f"better: expected {LEAST_RECORDINGS} or more with {LEAST_MINUTES:g} minutes or more in all"
    )


def _points(before: Sequence[Accuracy], after: Sequence[Accuracy]) -> float:
    return 100 * (together(before).goal - together(after).goal)
