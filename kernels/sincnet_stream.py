"""Reuses the filterbank's output from hop to hop: a stream's windows overlap by 95 %, and so does the first layer.

A window reaches the filterbank as (x - mean) a + b, with its own scale a. Filtering is linear, so the filterbank F of
the raw samples can be kept and rescaled for each new window:

    F[(x - mean) a + b] = a F[x] + (b - a mean) sum(filter)

The absolute value and the maximum over 3 steps follow. The maximum of |a v + d| is reached at the largest or the
smallest v. So if windows move by whole groups of 3 steps (the hop is a multiple of 30 samples), it is enough to keep
the two extremes of each group, and pooling is not repeated either. Later layers cannot be reused: the norm after the
pooling subtracts the mean of the window's |.|, which differs at each hop, and the leaky ReLU after it has its kink at
that mean, so a later layer's output for older samples cannot be rescaled linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .cpu.frames import empty, totals
from .cpu.sincnet import CHUNK_FRAMES, centers, filter_extremes, rescale
from .sincnet import SincFilters
from .sizes import POOL, SINC_STRIDE, SINC_TAPS


@dataclass
class BankState:
    """One stream's state: extremes of the raw filterbank over the newest window. Updated in place."""

    high: np.ndarray  # (room, C): rows at, at + 1, ... are the window's groups of `group` steps
    low: np.ndarray  # the same array where a group is one step
    group: int
    window_samples: int
    at: int = 0
    start_sample: int | None = None  # of the window that the rows belong to; None before the first
    center: float = 0.0  # the constant subtracted from its samples

    @property
    def groups(self) -> int:
        """Number of groups in one window, without those left over by pooling."""
        return ((self.window_samples - SINC_TAPS) // SINC_STRIDE + 1) // POOL * (POOL // self.group)


def initial_state(filters: SincFilters, window_samples: int, hop_samples: int) -> BankState:
    """The state of a stream before its first window; windows may start on any multiple of the hop.

    Errors: ValueError for a hop that is not a multiple of the filterbank's stride.
    """
    if hop_samples < SINC_STRIDE or hop_samples % SINC_STRIDE:
        raise ValueError(f"expected a hop that is a multiple of {SINC_STRIDE} samples, got {hop_samples}")
    group = POOL if hop_samples % (SINC_STRIDE * POOL) == 0 else 1
    state = BankState(np.empty((0, 0)), np.empty((0, 0)), group, window_samples)
    room = (state.groups * 3 // 2, filters.taps.shape[0])
    state.high = np.empty(room, np.float32)
    state.low = np.empty(room, np.float32) if group > 1 else state.high
    return state


def sinc_pool_step(
    windows: np.ndarray,
    starts: Sequence[int],
    scales: np.ndarray,
    shifts: np.ndarray,
    filters: SincFilters,
    states: Sequence[BankState],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`sinc_pool` of windows * scale + shift, each the next window of another stream; the states move on.

    Shapes:
        windows: (B, N) raw samples, N the states' window_samples; starts: their first samples, counted in the stream.
        scales, shifts: (B,) float64.
        returns pooled (B, T, C), its sums over time (B, C) and those of its squares (B, C).
    The result is bit-identical to that of `sinc_pool`, which also filters raw samples.
    """
    batch, channels = len(windows), filters.taps.shape[0]
    frames = states[0].groups * states[0].group // POOL
    pooled = empty(batch, frames, channels)
    sums = np.empty((batch, -(-frames // CHUNK_FRAMES), 3, channels), np.float32)
    for row, (window, start, state) in enumerate(zip(windows, starts, states, strict=True)):
        _advance(window, start, float(centers(window[None])[0]), filters, state)
        offset = (shifts[row] + state.center * scales[row]) * filters.response
        extremes = state.high, state.low, state.at, POOL // state.group
        rescale(*extremes, float(scales[row]), offset, pooled[row], sums[row])
    return pooled, *totals(sums, frames, CHUNK_FRAMES)


def _advance(window: np.ndarray, start: int, center: float, filters: SincFilters, state: BankState) -> None:
    """Move the state to the window that starts at sample `start`; only new samples are filtered."""
    if len(window) != state.window_samples:
        raise ValueError(f"expected a window of {state.window_samples} samples, got {len(window)}")
    unit = SINC_STRIDE * state.group
    step = 0 if state.start_sample is None else start - state.start_sample
    if step % unit:
        raise ValueError(f"expected windows a multiple of {unit} samples apart, got {step}")
    moved = step // unit
    same = state.start_sample is not None and 0 <= moved < state.groups and center == state.center
    kept = state.groups - moved if same else 0
    state.at = _make_room(state, state.at + moved, kept)
    state.start_sample, state.center = start, center
    rows = state.high, state.low, state.at + kept, state.groups - kept
    filter_extremes(window[kept * unit :], center, filters, SINC_STRIDE, state.group, *rows)


def _make_room(state: BankState, first: int, kept: int) -> int:
    """The index of the window's first row: `first`, or 0 if they would not fit, after moving the `kept` rows there."""
    if kept and first + state.groups <= len(state.high):
        return first
    for rows in (state.high, state.low)[: 2 if state.group > 1 else 1]:
        rows[:kept] = rows[first : first + kept].copy()
    return 0
