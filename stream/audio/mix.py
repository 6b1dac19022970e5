"""Several channels to one: their mean, or the loudest of them for as long as they cancel each other out.

A plug wired the wrong way round, or a "wide" stereo effect, gives two channels in antiphase, and their mean is silence.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BLOCKS_PER_S = 100
KEEP = 0.99  # of the power of before, each block: about a second counts
ENTER, LEAVE = 0.1, 0.5  # of the power that the mean has where only one of the channels is not silent
FLOOR = 1e-8  # mean square below which nothing is decided: -80 dBFS
STEPS = 2.0**15  # power is summed over rounded values: whole numbers, so the sum does not depend on the cutting

Doubles = npt.NDArray[np.float64]


class Mixer:
    """The mean of `channels`, or one of them while `chosen` says which. What is decided depends on the past only."""

    def __init__(self, channels: int, rate_hz: int):
        self.chosen: int | None = None
        self.chosen_samples = 0
        self._single = 1 / channels**2
        self._block_samples = rate_hz // BLOCKS_PER_S
        self._left = self._block_samples
        self._sums = np.zeros(channels + 1)  # of this block, the mean's last
        self._powers = np.zeros(channels + 1)

    def mix(self, values: Doubles) -> Doubles:
        """Shapes: (C, N), full scale is 1 -> (N,)."""
        total = np.zeros(values.shape[1])
        for row in values:  # in a fixed order
            total += row
        mean, out, at = total / len(values), np.empty_like(total), 0
        while at < len(out):
            end = min(at + self._left, len(out))
            out[at:end] = mean[at:end] if self.chosen is None else values[self.chosen, at:end]
            self.chosen_samples += 0 if self.chosen is None else end - at
            self._count(values[:, at:end], mean[at:end])
            at = end
        return out

    def _count(self, values: Doubles, mean: Doubles) -> None:
        rounded = np.rint(np.vstack([values, mean]) * STEPS)
        self._sums += np.einsum("cn,cn->c", rounded, rounded)
        self._left -= len(mean)
        if self._left == 0:
            self._decide()

    def _decide(self) -> None:
        self._powers = KEEP * self._powers + (1 - KEEP) * self._sums / self._block_samples / STEPS**2
        self._sums[:] = 0
        self._left = self._block_samples
        loudest = int(self._powers[:-1].argmax())
        share = self._powers[-1] / self._single
        if share > LEAVE * self._powers[loudest]:
            self.chosen = None
        elif self.chosen is None and self._powers[loudest] > FLOOR and share < ENTER * self._powers[loudest]:
            self.chosen = loudest
