"""RingBuffer: the newest samples of a stream in a fixed amount of memory, addressed by absolute sample number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class RingBuffer:
    """Float32 mono samples, the newest `capacity_samples` of them; sample 0 is the first of the stream.

    Memory is taken once and never grows. When it is full, appending drops the oldest samples. What is read is a
    copy: it stays as it is while the stream goes on.
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
        """Oldest sample that can be read (those before 0 always can: they are silence)."""
        return self._start

    @property
    def end(self) -> int:
        """One past the newest sample: the number of samples ever appended."""
        return self._end

    def append(self, samples: npt.NDArray[np.float32]) -> None:
        """Add samples at `end`.

        Shapes: samples (N,) float32. ValueError for another shape or type.
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

        Shapes: -> (end - start,) float32. IndexError for samples that were dropped or are not there yet.
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
        """Give up all samples before `sample`; nothing happens where they are gone already."""
        self._start = max(self._start, min(sample, self._end))

    def _check(self, start: int, end: int) -> None:
        if start > end:
            raise IndexError(f"expected start <= end, got {start} and {end}")
        if end > self._end:
            raise IndexError(f"sample {end - 1} was asked for, only {self._end} samples were written so far")
        if max(start, 0) < min(self._start, end):
            raise IndexError(f"sample {max(start, 0)} was asked for, samples before {self._start} were dropped")
