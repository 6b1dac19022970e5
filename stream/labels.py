"""Who talks in which frames: the value the stitcher hands to the timeline, and operations on runs of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .limits import Reason

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """A re-decision about frames too old for `Labels.active`: where `old` was said to talk, it was `new`."""

    start_frame: int
    end_frame: int
    old: int | None
    new: int | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Labels:
    """What is now believed about the frames from `first_frame` on; earlier beliefs stand except for `changes`.

    Shapes:
        active: (T, K) bool, frame by speaker; several speakers may talk at once
        speakers: K distinct ids of the stitcher (None: somebody unknown), one a column
    """

    first_frame: int
    active: Bools
    speakers: tuple[int | None, ...]
    changes: tuple[Change, ...] = ()

    @property
    def end_frame(self) -> int:
        """One past the last frame decided."""
        return self.first_frame + len(self.active)


def joined(blocks: Sequence[Labels]) -> Labels:
    """Labels of blocks in order of time, as one; nobody talks between them. Those of no blocks begin at frame 0."""
    speakers = sorted({s for block in blocks for s in block.speakers}, key=lambda s: (s is None, s or 0))
    first = blocks[0].first_frame if blocks else 0
    end = blocks[-1].end_frame if blocks else 0
    active = np.zeros((end - first, len(speakers)), bool)
    for block in blocks:
        place = slice(block.first_frame - first, block.end_frame - first)
        for n, speaker in enumerate(block.speakers):
            active[place, speakers.index(speaker)] = block.active[:, n]
    return Labels(first, active, tuple(speakers))


def runs_of(mask: Bools) -> list[tuple[int, int]]:
    """(start, end) of every maximal stretch of True, end exclusive."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def smooth_runs(runs: list[tuple[int, int]], fill_frames: int, drop_frames: int) -> list[tuple[int, int]]:
    """Runs with gaps shorter than `fill_frames` closed, then those shorter than `drop_frames` left out."""
    joined: list[tuple[int, int]] = []
    for start, end in runs:
        if joined and start - joined[-1][1] < fill_frames:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= drop_frames]
