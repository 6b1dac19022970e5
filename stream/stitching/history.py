"""All windows of a stream in order, the old ones as plain numbers.

Windows, runs and lists of runs are ten objects and more a hop, through all of which Python's garbage collector would
walk now and then, in the middle of a hop: a pause that grows with the stream (the longest hop that
`python -m benchmarks.long_stream` prints). Into numbers, arrays and tuples of them it does not look.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from .assignment import Window
from .segments import NOTHING, Run, Segment

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
PackedWindow = tuple[
    int, NDArray[np.uint8], int, Ints
]  # first frame, activity in bits, local speakers, (runs, 5) numbers


class WindowHistory:
    """Every window of a stream; those of whose segments no window will say anything again are packed."""

    def __init__(self) -> None:
        self._packed: list[PackedWindow] = []
        self._vectors: list[Floats | None] = []  # of their segments, in order of first use
        self._mixed: list[bool] = []
        self._open: list[Window] = []

    def __len__(self) -> int:
        return len(self._packed) + len(self._open)

    def append(self, window: Window) -> None:
        """Add the newest."""
        self._open.append(window)

    def pack(self, keep: int, near: Collection[Segment]) -> None:
        """Pack from the oldest on, but not the newest `keep`, and none after the first with a segment in `near`."""
        wanted = {id(segment) for segment in near}
        count = 0
        for window in self._open[: max(0, len(self._open) - keep)]:
            if any(id(run.segment) in wanted for runs in window.runs for run in runs):
                break
            self._packed.append(self._pack(window))
            count += 1
        del self._open[:count]

    def between(self, start: int, stop: int) -> list[Window]:
        """Windows [start, stop), counted from 0, as far as there are so many; packed ones are made anew."""
        packed = len(self._packed)
        segments: dict[int, Segment] = {}
        old = [self._unpack(*self._packed[number], segments) for number in range(max(0, start), min(stop, packed))]
        return old + self._open[max(0, start - packed) : max(0, stop - packed)]

    def newest(self, count: int) -> list[Window]:
        """The newest so many in order, or all."""
        return self.between(len(self) - count, len(self))

    def _pack(self, window: Window) -> PackedWindow:
        runs = [
            (local, run.start, run.end, run.clean_frames, self._place(run.segment))
            for local, found in enumerate(window.runs)
            for run in found
        ]
        return window.first_frame, window.bits, len(window.runs), np.array(runs, np.int64).reshape(-1, 5)

    def _place(self, segment: Segment) -> int:
        if segment.place is None:
            segment.place = len(self._vectors)
            self._vectors.append(segment.vector)
            self._mixed.append(segment.mixed)
        return segment.place

    def _unpack(
        self, first_frame: int, bits: NDArray[np.uint8], locals_: int, packed: Ints, segments: dict[int, Segment]
    ) -> Window:
        """A packed window; of its segments, kept by place in `segments`, what deciding asks for."""
        runs: list[list[Run]] = [[] for _ in range(locals_)]
        for local, start, end, clean_frames, place in packed.tolist():
            if place not in segments:
                vector, mixed = self._vectors[place], self._mixed[place]
                segments[place] = Segment(start, end, NOTHING, vector=vector, mixed=mixed, place=place)
            runs[local].append(Run(start, end, clean_frames, segments[place]))
        return Window(first_frame, bits, runs)
