"""All windows of a stream in order, the old ones packed into plain numbers.

Windows, runs and lists of runs are ten or more objects per hop. Python's garbage collector would occasionally walk
through all of them in the middle of a hop, a pause that grows with the stream (see the longest hop that
`python -m benchmarks.long_stream` prints). It does not traverse numbers, arrays and tuples of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assignment import Window
from .segments import NOTHING, Run, Segment

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
PackedWindow = tuple[
    int, NDArray[np.uint8], int, Ints
]  # first frame, activity in bits, local speakers, (runs, 5) numbers

Extent = tuple[int, int]  # packed windows, vectors of their segments
RUN_NUMBERS = 5  # of a packed run


@dataclass(frozen=True, slots=True)
class Past:
    """Packed windows and the vectors of their segments, in few arrays.

    Shapes:
        windows: (N, 4) int64: first frame, bytes of bits, local speakers, runs; bits: (...,) uint8, all windows'
        runs: (R, 5) int64, all windows'; known: (K,) bool, which vectors there are, vectors: those; mixed: (K,) bool
    """

    windows: Ints
    bits: NDArray[np.uint8]
    runs: Ints
    known: NDArray[np.bool_]
    vectors: Floats
    mixed: NDArray[np.bool_]

    def check(self) -> None:
        """Raises ValueError where the arrays do not fit each other."""
        _, bits, _, runs = self.windows.reshape(-1, 4).T
        whole = int(bits.sum()) == len(self.bits) and int(runs.sum()) == len(self.runs)
        sizes = self.runs.shape[1:] == (RUN_NUMBERS,) and len(self.mixed) == len(self.known)
        if not whole or not sizes or self.vectors.ndim != 2 or int(self.known.sum()) != len(self.vectors):
            raise ValueError("expected packed windows and their vectors, got arrays that do not fit each other")


class WindowHistory:
    """Every window of a stream; a window is packed once no later window can change any of its segments."""

    def __init__(self) -> None:
        self._packed: list[PackedWindow] = []
        self._vectors: list[Floats | None] = []  # of their segments, in order of first use
        self._mixed: list[bool] = []
        self._open: list[Window] = []
        self._missing: Extent = (0, 0)  # what was packed when its state was written

    def __getstate__(self) -> dict[str, Any]:
        """Without the packed windows, which never change: `past` has those."""
        return {"open": self._open, "windows": len(self._packed), "vectors": len(self._vectors)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Without its past, which `recall` brings."""
        self.__init__()  # type: ignore[misc]
        self._open, self._missing = state["open"], (state["windows"], state["vectors"])

    @property
    def extent(self) -> Extent:
        """How much of it is packed."""
        return len(self._packed), len(self._vectors)

    def past(self, since: Extent) -> Past:
        """What was packed since its extent was that."""
        packed, vectors = self._packed[since[0] :], self._vectors[since[1] :]
        runs = [window[3] for window in packed]
        known = [vector for vector in vectors if vector is not None]
        return Past(
            np.array([(first, len(bits), locals_, len(found)) for first, bits, locals_, found in packed], np.int64),
            np.concatenate([np.zeros(0, np.uint8), *(window[1] for window in packed)]),
            np.concatenate([np.zeros((0, RUN_NUMBERS), np.int64), *runs]),
            np.array([vector is not None for vector in vectors], bool),
            np.stack(known) if known else np.zeros((0, 0), np.float32),
            np.array(self._mixed[since[1] :], bool),
        )

    def recall(self, past: Past) -> None:
        """Adds the next part of its past, up to its extent when its state was written.

        Raises ValueError for one that never was.
        """
        past.check()
        most_windows, most_vectors = self._missing
        first, bit_counts, locals_, run_counts = past.windows.reshape(-1, 4).T
        bits = np.split(past.bits, np.cumsum(bit_counts)[:-1]) if len(first) else []
        runs = np.split(past.runs, np.cumsum(run_counts)[:-1]) if len(first) else []
        packed = list(zip(first.tolist(), bits, locals_.tolist(), runs, strict=True))
        rows = iter(past.vectors)
        vectors = [next(rows) if known else None for known in past.known.tolist()]
        self._packed += packed[: most_windows - len(self._packed)]
        self._mixed += past.mixed.tolist()[: most_vectors - len(self._vectors)]
        self._vectors += vectors[: most_vectors - len(self._vectors)]

    @property
    def whole(self) -> bool:
        """Whether all of its past is there."""
        return self.extent == self._missing and len(self._mixed) == len(self._vectors)

    def __len__(self) -> int:
        return len(self._packed) + len(self._open)

    def append(self, window: Window) -> None:
        """Add the newest window."""
        self._open.append(window)

    def pack(self, near: Collection[Segment]) -> None:
        """Pack the oldest windows, up to the first one with a segment in `near`, and never the newest."""
        wanted = {id(segment) for segment in near}
        count = 0
        for window in self._open[:-1]:
            if any(id(run.segment) in wanted for runs in window.runs for run in runs):
                break
            self._packed.append(self._pack(window))
            count += 1
        del self._open[:count]

    def between(self, start: int, stop: int) -> list[Window]:
        """Windows [start, stop), counted from 0, clipped to those that exist; packed ones are rebuilt."""
        packed = len(self._packed)
        segments: dict[int, Segment] = {}
        old = [self._unpack(*self._packed[number], segments) for number in range(max(0, start), min(stop, packed))]
        return old + self._open[max(0, start - packed) : max(0, stop - packed)]

    @property
    def newest_frame(self) -> int:
        """The first frame of the newest window; 0 where there is none."""
        return self._open[-1].first_frame if self._open else 0

    @property
    def end_frame(self) -> int:
        """One past the last frame of the newest window; 0 where there is none."""
        return self._open[-1].end_frame if self._open else 0

    def _pack(self, window: Window) -> PackedWindow:
        runs = [
            (local, run.start, run.end, run.clean_frames, self._packed_index(run.segment))
            for local, found in enumerate(window.runs)
            for run in found
        ]
        return window.first_frame, window.bits, len(window.runs), np.array(runs, np.int64).reshape(-1, 5)

    def _packed_index(self, segment: Segment) -> int:
        if segment.packed_index is None:
            segment.packed_index = len(self._vectors)
            self._vectors.append(segment.vector)
            self._mixed.append(segment.mixed)
        return segment.packed_index

    def _unpack(
        self, first_frame: int, bits: NDArray[np.uint8], locals_: int, packed: Ints, segments: dict[int, Segment]
    ) -> Window:
        """A packed window; its segments have only the fields that deciding needs, and are shared through `segments`."""
        runs: list[list[Run]] = [[] for _ in range(locals_)]
        for local, start, end, clean_frames, index in packed.tolist():
            if index not in segments:
                vector, mixed = self._vectors[index], self._mixed[index]
                segments[index] = Segment(start, end, NOTHING, vector=vector, mixed=mixed, packed_index=index)
            runs[local].append(Run(start, end, clean_frames, segments[index]))
        return Window(first_frame, bits, runs)
