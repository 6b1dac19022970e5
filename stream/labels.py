"""Who talks in which frames: the value the stitcher hands to the timeline, and operations on runs of frames."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterable
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


def joined(blocks: Iterable[Labels], speakers: tuple[int | None, ...], end_frame: int) -> Labels:
    """Labels of blocks in order of time as one, from frame 0 to `end_frame`; nobody talks between them.

    `speakers` are all those of the blocks. Blocks may be made as they are taken: together, those of hours are large.
    """
    active = _silence(end_frame, len(speakers))
    for block in blocks:
        for speaker, talks in zip(block.speakers, block.active.T, strict=True):
            if talks.any():
                active[block.first_frame : block.end_frame, speakers.index(speaker)] = talks
    return Labels(0, active, speakers)


def _silence(frames: int, speakers: int) -> Bools:
    """Zeros (frames, speakers) that take memory only near what is written: in hours most people are mostly silent."""
    if not frames * speakers:
        return np.zeros((frames, speakers), bool)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # shared memory is taken by reading, too
    memory = mmap.mmap(-1, frames * speakers, flags=private)
    if no_huge_pages := getattr(mmap, "MADV_NOHUGEPAGE", None):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(no_huge_pages)
    return np.frombuffer(memory, bool).reshape(speakers, frames).T


def runs_of(mask: Bools) -> list[tuple[int, int]]:
    """(start, end) of every maximal stretch of True, end exclusive."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
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
