"""Counts, for every two segments, how many windows gave them to one local speaker and how many to two. NumPy only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .segments import Segment

Floats = NDArray[np.float32]
MOST_SLOTS = 4096  # that a written state may ask memory for; ten times what the stitcher's bound needs


class PairVotes:
    """For every two segments: the number of windows that put both in one local speaker, and that put them in two."""

    BLOCK_ROWS = 64

    def __init__(self) -> None:
        self._slot_of: dict[Segment, int] = {}
        self._free: list[int] = []
        self._counts: Floats = np.zeros((2, 0, 0), np.float32)  # together, apart

    def __getstate__(self) -> dict[str, Any]:
        """Its counts are mostly zero: where they are not, and what they are there."""
        where = np.flatnonzero(self._counts)
        counts = {"size": self._counts.shape[1], "where": where, "counts": self._counts.ravel()[where]}
        return {"slot_of": self._slot_of, "free": self._free, **counts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises ValueError for a state that never was."""
        self._slot_of, self._free, size = state["slot_of"], state["free"], state["size"]
        slots = [*self._slot_of.values(), *self._free]
        if len(slots) > MOST_SLOTS or size != len(slots) or sorted(slots) != list(range(size)):
            raise ValueError(f"expected {size} different slots, at most {MOST_SLOTS}, got {len(slots)}")
        self._counts = np.zeros((2, size, size), np.float32)
        self._counts.ravel()[state["where"]] = state["counts"]

    def count(self, locals_: Sequence[Sequence[Segment]]) -> None:
        """Count a window, given the segments of each of its local speakers; no segment may occur twice."""
        slots = [self._slot(segment) for found in locals_ for segment in found]
        local = np.repeat(np.arange(len(locals_)), [len(found) for found in locals_])
        same = local[:, None] == local
        here = np.ix_([0, 1], slots, slots)
        self._counts[here] += np.stack([same & ~np.eye(len(slots), dtype=bool), ~same])

    def among(self, segments: Sequence[Segment]) -> Floats:
        """Numbers of windows that held each pair of these segments together, and apart: (2, n, n), symmetric.

        The diagonal of a merged segment counts the windows for the pairs of its own parts, each pair twice.
        """
        slots = [self._slot(segment) for segment in segments]
        return self._counts[np.ix_([0, 1], slots, slots)]

    def merge(self, group: Sequence[Segment], into: Segment) -> None:
        """Replace the segments of the group by `into`, which gets the sum of their counts."""
        slots = [self._slot(segment) for segment in group]
        target = self._slot(into)
        self._counts[:, target] += self._counts[:, slots].sum(axis=1)
        self._counts[:, :, target] += self._counts[:, :, slots].sum(axis=2)
        self._drop(group)

    def keep(self, segments: Collection[Segment]) -> None:
        """Forget all segments except these."""
        if len(self._slot_of) > len(segments):
            kept = set(segments)
            self._drop([segment for segment in self._slot_of if segment not in kept])

    def _drop(self, segments: Collection[Segment]) -> None:
        slots = [self._slot_of.pop(segment) for segment in segments]
        self._counts[:, slots] = self._counts[:, :, slots] = 0
        self._free += slots

    def _slot(self, segment: Segment) -> int:
        if segment not in self._slot_of:
            if not self._free:
                size = self._counts.shape[1]
                more = max(self.BLOCK_ROWS, size // 2)
                self._counts = np.pad(self._counts, ((0, 0), (0, more), (0, more)))
                self._free = list(range(size + more - 1, size - 1, -1))
            self._slot_of[segment] = self._free.pop()
        return self._slot_of[segment]
