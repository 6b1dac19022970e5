"""RingBuffer: the newest samples of a stream in fixed memory, addressed by absolute sample number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class RingBuffer:
    """The newest `capacity_samples` float32 mono samples; sample 0 is the first of the stream.

    Memory is allocated once. When it is full, appending drops the oldest samples. Reading returns a copy, which does
    not change as the stream continues.
    """

    def __init__(self, capacity_samples: int):
        if capacity_samples < 1:
            raise ValueError(f"expected a capacity of 1 sample or more, got {capacity_samples}")
        self._data = np.zeros(capacity_samples, np.float32)
        self._start = 0
        self._end = 0

    @property
    def capacity_samples(self) -> int:
        return len(self._data)

    @property
    def start(self) -> int:
        """The oldest sample that can be read (samples before 0 always can: they are silence)."""
        return self._start

    @property
    def end(self) -> int:
        """One past the newest sample: the number of samples ever appended."""
        return self._end

    def append(self, samples: npt.NDArray[np.float32]) -> None:
        """Add samples at `end`.

        Shapes: samples (N,) float32. Raises ValueError for another shape or type.
        """
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise ValueError(f"expected (N,) float32 samples, got {samples.shape} {samples.dtype}")
        kept = samples[-self.capacity_samples :]
        self._end += len(samples)
        self._start = max(self._start, self._end - self.capacity_samples)
        at = (self._end - len(kept)) % self.capacity_samples
        first = min(len(kept), self.capacity_samples - at)
        self._data[at : at + first] = kept[:first]
        self._data[: len(kept) - first] = kept[first:]

    def read(self, start: int, end: int) -> npt.NDArray[np.float32]:
        """Samples [start, end) as a new contiguous array; samples before 0 are zeros.

        Shapes: -> (end - start,) float32. Raises IndexError for samples that were dropped or do not exist yet.
        """
        self._check(start, end)
        out = np.zeros(end - start, np.float32)
        begin = max(start, 0)
        if end <= begin:
            return out
        at = begin % self.capacity_samples
        first = min(end - begin, self.capacity_samples - at)
        out[begin - start : begin - start + first] = self._data[at : at + first]
        out[begin - start + first :] = self._data[: end - begin - first]
        return out

    def drop_before(self, sample: int) -> None:
        """Drop all samples before `sample`; does nothing if they are already gone."""
        self._start = max(self._start, min(sample, self._end))

    def _check(self, start: int, end: int) -> None:
        if start > end:
            raise IndexError(f"expected start <= end, got {start} and {end}")
        if end > self._end:
            raise IndexError(f"expected samples before {self._end}, the end so far, got {end - 1}")
        if max(start, 0) < min(self._start, end):
            raise IndexError(f"expected samples from {self._start} on, older ones were dropped, got {max(start, 0)}")
