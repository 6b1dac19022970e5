"""Finds audio that was lost between the sound card and us, so that silence of the same length can take its place.

Two clocks are compared with the samples received so far: the arrival of each block on the monotonic clock, and the ADC
time that PortAudio states where it has one. Neither is to be trusted alone: arrivals are late when the machine is busy,
and ADC times were seen to jump by 0.2 s with no sample missing. Where both say that samples are missing, blocks are
held back for 0.3 s; a loss is what is still missing then, for late blocks catch up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIRM_S = 0.3
PAUSE_S = 0.1  # between two arrivals: more late blocks may follow, so that the confirmation starts anew
CATCH_UP_S = 0.01  # blocks that come faster than they were spoken: late ones still follow
MOST_HELD_S = 2.0
UNFLAGGED_LOSS_S = 0.06  # arrivals through PulseAudio wander by 0.03 s with nothing lost
FLAGGED_LOSS_S = 0.02
CLOCK_DRIFT = 200e-6  # how much slower than the monotonic clock a sound card may run before it counts as losing


@dataclass(frozen=True, eq=False)
class Block:
    """What one callback got. samples (N, C) float32; times in seconds, adc_s <= 0 where it is not known."""

    samples: npt.NDArray[np.float32]
    arrived_s: float
    adc_s: float = 0.0
    overflow: bool = False
    lost_samples: int = 0  # known to be lost just before this block


class LossWatch:
    """Blocks in; the same blocks out, in order, with the number of lost samples in front of where they were lost."""

    def __init__(self, rate_hz: int):
        self._rate_hz = rate_hz
        self._position = 0  # samples received or known to be lost
        self._arrival = _Clock(rate_hz)
        self._adc = _Clock(rate_hz)
        self._held: list[Block] = []
        self._held_missing_s = math.inf
        self._regular_since_s = 0.0
        self._regular_missing_s = math.inf

    def push(self, block: Block) -> Iterator[Block | int]:
        """Blocks and losses that are certain now."""
        missing_s = self._missing(block)
        if not self._held and missing_s <= _smallest_loss(block):
            yield from self._accept(block)
            return
        self._hold(block, missing_s)
        first = self._held[0]
        if missing_s <= _smallest_loss(first):  # on time again: the others were late, not lost
            yield from self.flush()
        elif block.arrived_s >= min(self._regular_since_s + CONFIRM_S, first.arrived_s + MOST_HELD_S):
            yield from self._confirm(round(self._held_missing_s * self._rate_hz))

    def flush(self) -> Iterator[Block | int]:
        """What was held back, with no loss but those that are known; also to be called at the end."""
        held, self._held = self._held, []
        for block in held:
            yield from self._accept(block)

    def _confirm(self, lost_samples: int) -> Iterator[Block | int]:
        """The loss is certain, and the block behind it; the others may hide another loss."""
        held, self._held = self._held, []
        self._position += lost_samples
        yield lost_samples
        yield from self._accept(held[0])
        for block in held[1:]:
            yield from self.push(block)

    def _hold(self, block: Block, missing_s: float) -> None:
        paused = not self._held or block.arrived_s - self._held[-1].arrived_s > PAUSE_S
        if paused or missing_s < self._regular_missing_s - CATCH_UP_S:
            self._regular_since_s, self._regular_missing_s = block.arrived_s, missing_s
        self._held_missing_s = min(missing_s, self._held_missing_s if self._held else math.inf)
        self._held.append(block)

    def _missing(self, block: Block) -> float:
        """Seconds by which both clocks are ahead of the samples; not counted before the first block."""
        waiting = sum(held.lost_samples + len(held.samples) for held in [*self._held, block])
        end = self._position + waiting
        arrival_s = self._arrival.ahead(block.arrived_s, end)
        if block.adc_s <= 0:
            return arrival_s
        return min(arrival_s, self._adc.ahead(block.adc_s, end))

    def _accept(self, block: Block) -> Iterator[Block | int]:
        self._position += block.lost_samples + len(block.samples)
        self._arrival.accept(block.arrived_s, self._position)
        if block.adc_s > 0:
            self._adc.accept(block.adc_s, self._position)
        if block.lost_samples:
            yield block.lost_samples
        yield block


def _smallest_loss(block: Block) -> float:
    return FLAGGED_LOSS_S if block.overflow else UNFLAGGED_LOSS_S


class _Clock:
    """The smallest lead of one clock over the samples, allowed to rise by CLOCK_DRIFT."""

    def __init__(self, rate_hz: int):
        self._rate_hz = rate_hz
        self._lead_s = math.inf
        self._time_s = 0.0

    def ahead(self, time_s: float, position: int) -> float:
        """Seconds by which the clock runs ahead of what it should be at `position`; 0 before anything was accepted."""
        if math.isinf(self._lead_s):
            return 0.0
        return time_s - position / self._rate_hz - self._lead_s

    def accept(self, time_s: float, position: int) -> None:
        drifted_s = self._lead_s + CLOCK_DRIFT * max(0.0, time_s - self._time_s)
        self._lead_s = min(drifted_s, time_s - position / self._rate_hz)
        self._time_s = time_s
