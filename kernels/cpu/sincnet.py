"""The CPU body of `kernels/sincnet.py`: register tiles over the waveform, 30 steps at a time, so that the filterbank's
output stays in the cache until it is pooled. The filters are even or odd, so a step's samples are first folded around
the middle into sums and differences, which halves the multiplications.

There are two parts, because a stream keeps the result of the first: `filter_extremes` filters and keeps the largest and
the smallest value of every group of steps; `rescale` computes max |scale v + offset| from them, which is reached at one
of the two.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np

from ..sizes import POOL
from .frames import as_numpy, empty, flat, panels, totals, whole
from .jit import compiled
from .simd import LANES, absolute, add, fma, load, maximum, minimum, reverse, splat, store, sub
from .team import claim, finish, run, wait
from .tile import COLUMNS, NOTHING, ROWS, aligned_copy, pack, tile

CHUNK_FRAMES = 10  # 30 folded steps are 31 KB, a panel of filters 16 KB: both fit in the L1 cache
CHUNK_STEPS = CHUNK_FRAMES * POOL
_ZERO = np.float32(0)
_jit: Any = compiled(error_model="numpy")


def pack_filters(filters: np.ndarray) -> np.ndarray:
    """(C, K) filters in the layout of `_filter`: panels of the first half of the taps, even filters, then odd ones.

    Errors: ValueError unless the first C / 2 filters are even and the others odd.
    """
    side, taps = len(filters) // 2, filters.shape[1]
    if not np.array_equal(np.concatenate([filters[:side], -filters[side:]])[:, ::-1], filters):
        raise ValueError(f"expected {side} even filters and as many odd ones, got others")
    once = np.array(filters[:, : taps // 2 + 1])
    once[:, -1] /= 2  # the middle sample is added to itself
    return aligned_copy(np.concatenate([pack(panels(half.T)) for half in (once[:side], once[side:])]))


@_jit
def _fold(wave, start, stride, taps, folded, span):
    """folded (CHUNK_STEPS, 2, span) = sums and differences of samples k and taps - 1 - k of every step."""
    for step in range(CHUNK_STEPS):
        first, to = start + step * stride, step * 2 * span
        for k in range(0, span, LANES):
            ahead, back = load(wave, first + k), reverse(load(wave, first + taps - k - LANES))
            store(folded, to + k, add(ahead, back))
            store(folded, to + span + k, sub(ahead, back))


@_jit
def _space(filters, side):
    """Scratch for a chunk's folded samples and filterbank, and the latter's columns; `side`: number of even filters."""
    count, depth, _ = filters.shape
    span, columns = (depth + LANES - 1) // LANES * LANES, side + count // 2 * COLUMNS
    return np.empty(CHUNK_STEPS * 2 * span, np.float32), np.empty(CHUNK_STEPS * columns, np.float32), columns


@_jit
def _filter(wave, start, stride, taps, filters, side, folded, bank, columns, nothing):
    """bank (CHUNK_STEPS, columns) = filterbank of the steps that begin at sample `start` of the flat `wave`.

    Even panels are written first; odd ones overwrite their padding columns.
    """
    count, depth, span = filters.shape[0] // 2, filters.shape[1], len(folded) // (CHUNK_STEPS * 2)
    _fold(wave, start, stride, taps, folded, span)
    for half in range(2):
        for panel in range(count):
            column = half * side + panel * COLUMNS
            for row in range(0, CHUNK_STEPS, ROWS):
                tile(  # type: ignore[call-arg]
                    folded.ctypes.data + 4 * (row * 2 + half) * span, 2 * span, 1, 0, depth,
                    filters.ctypes.data + 4 * (half * count + panel) * depth * COLUMNS, nothing.ctypes.data,
                    nothing.ctypes.data, 0, bank.ctypes.data + 4 * (row * columns + column), columns,
                    np.float32(-np.inf),
                )  # fmt: skip


@_jit
def _extremes(bank, columns, group, groups, width, high, low, at):
    """high, low [at : at + groups, :width] = largest and smallest of every `group` rows of the bank (all flat)."""
    for i in range(groups):
        for c in range(0, width, LANES):
            top = load(bank, i * group * columns + c)
            bottom = top
            for k in range(i * group + 1, (i + 1) * group):
                value = load(bank, k * columns + c)
                top, bottom = maximum(top, value), minimum(bottom, value)
            store(high, (at + i) * width + c, top)
            if group > 1:
                store(low, (at + i) * width + c, bottom)


@_jit
def _rescale(high, low, at, per_frame, scale, offset, frames, width, pooled, p0, sums, s0):
    """pooled[p0 ...] = max |scale v + offset| over `per_frame` rows of high and low, and its sums (all flat).

    Shapes: offset (width,), pooled (frames, width), sums (3, width) in the layout of `totals`.
    """
    factor = splat(scale)
    for c in range(0, width, LANES):
        shift, total, squares, first = load(offset, c), splat(_ZERO), splat(_ZERO), splat(_ZERO)
        for t in range(frames):
            best = splat(_ZERO)
            for k in range((at + t * per_frame) * width + c, (at + (t + 1) * per_frame) * width + c, width):
                best = maximum(best, absolute(fma(factor, load(high, k), shift)))
                best = maximum(best, absolute(fma(factor, load(low, k), shift)))
            store(pooled, p0 + t * width + c, best)
            if t == 0:
                first = best
            more = sub(best, first)
            total, squares = add(total, more), fma(more, more, squares)
        store(sums, s0 + c, first)
        store(sums, s0 + width + c, total)
        store(sums, s0 + 2 * width + c, squares)


@_jit
def _pool_all(
    wave,
    wave_row,
    stride,
    taps,
    filters,
    side,
    scale,
    offset,
    frames,
    width,
    pooled,
    pooled_row,
    sums,
    nothing,
    counters,
):
    """Both parts together, for every row; wave and pooled flat.

    Shapes: scale (B,), offset (B, width), sums (B, chunks, 3, width).
    """
    batch, chunks = sums.shape[0], sums.shape[1]
    folded, bank, columns = _space(filters, side)
    high, low = np.empty(CHUNK_FRAMES * width, np.float32), np.empty(CHUNK_FRAMES * width, np.float32)
    sums_flat = sums.reshape(-1)
    work = claim(counters, 0)
    while work < batch * chunks:
        row, first = work // chunks, work % chunks * CHUNK_FRAMES
        count = min(CHUNK_FRAMES, frames - first)
        start = row * wave_row + first * POOL * stride
        _filter(wave, start, stride, taps, filters, side, folded, bank, columns, nothing)
        _extremes(bank, columns, POOL, count, width, high, low, 0)
        to = row * pooled_row + first * width
        _rescale(high, low, 0, 1, scale[row], offset[row], count, width, pooled, to, sums_flat, work * 3 * width)
        finish(counters, 0)
        work = claim(counters, 0)
    wait(counters, 0, batch * chunks)


@_jit
def _filter_extremes(wave, stride, taps, filters, side, group, width, high, low, at, groups, nothing, counters):
    """Compute high, low [at : at + groups]; the waveform begins with their first step."""
    folded, bank, columns = _space(filters, side)
    per_chunk = CHUNK_STEPS // group
    chunks = (groups + per_chunk - 1) // per_chunk
    work = claim(counters, 0)
    while work < chunks:
        first = work * per_chunk
        start = work * CHUNK_STEPS * stride
        _filter(wave, start, stride, taps, filters, side, folded, bank, columns, nothing)
        _extremes(bank, columns, group, min(per_chunk, groups - first), width, high, low, at + first)
        finish(counters, 0)
        work = claim(counters, 0)
    wait(counters, 0, chunks)


@_jit
def _rescale_all(high, low, at, per_frame, scale, offset, frames, width, pooled, sums, counters):
    """`_rescale` of one row, chunk by chunk; sums (chunks, 3, width)."""
    chunks, sums_flat = sums.shape[0], sums.reshape(-1)
    work = claim(counters, 0)
    while work < chunks:
        first = work * CHUNK_FRAMES
        count, start = min(CHUNK_FRAMES, frames - first), at + first * per_frame
        _rescale(
            high, low, start, per_frame, scale, offset, count, width, pooled, first * width, sums_flat, work * 3 * width
        )
        finish(counters, 0)
        work = claim(counters, 0)
    wait(counters, 0, chunks)


@compiled(fastmath=True)
def centers(waves):
    """The constant to subtract from each waveform before filtering: its mean rounded to 1/64, usually 0.

    Otherwise an offset far larger than the speech would cost precision. It is rounded so that a stream keeps the same
    constant, and leading silence stays zero. Shapes: (B, N) -> (B,) float32.
    """
    out = np.empty(len(waves), np.float32)
    for b in range(len(waves)):
        total = 0.0
        for i in range(waves.shape[1]):
            total += waves[b, i]
        out[b] = np.floor(total / waves.shape[1] * 64 + 0.5) / 64
    return out


def _with_room(waves: np.ndarray, center: np.ndarray, stride: int) -> np.ndarray:
    """(B, N) minus the centers (B,), padded to (B, more) so that the tiles of the last chunk stay inside."""
    batch, samples = waves.shape
    padded = np.empty((batch, samples + (CHUNK_STEPS + ROWS) * stride + COLUMNS), np.float32)
    np.subtract(waves, center[:, None], out=padded[:, :samples])
    padded[:, samples:] = 0
    return padded


def sinc_pool_cpu(x: Any, filters: Any, scale: Any, shift: Any, stride: int) -> tuple[Any, Any, Any]:
    """`sinc_pool` of waveforms (B, N) * scale + shift, (B,) each: pooled (B, T, C) float32, sums (B, C) float64."""
    waves = as_numpy(x)
    batch, samples = waves.shape
    channels, taps = filters.taps.shape
    frames, width = ((samples - taps) // stride + 1) // POOL, whole(channels)
    center = centers(waves)
    padded = _with_room(waves, center, stride)
    offset = np.zeros((batch, width), np.float32)
    offset[:, :channels] = (shift + np.float64(center) * scale)[:, None] * filters.response
    pooled = empty(batch, frames, channels)
    sums = np.empty((batch, -(-frames // CHUNK_FRAMES), 3, width), np.float32)
    source = padded.reshape(-1), padded.shape[1], stride, taps, filters.packed, channels // 2
    target = frames, width, flat(pooled), pooled.strides[0] // 4, sums
    run(_pool_all, 1, *source, np.asarray(scale, np.float32), offset, *target, NOTHING)
    return pooled, *totals(sums[..., :channels], frames, CHUNK_FRAMES)


def filter_extremes(
    wave: Any, center: float, filters: Any, stride: int, group: int, high: Any, low: Any, at: int, groups: int
) -> None:
    """high, low [at : at + groups] = extremes over `group` filterbank steps of a waveform (N,) minus its center.

    Shapes: high, low (room, C), contiguous, C a multiple of LANES.
    """
    source = _with_room(as_numpy(wave)[None], np.full(1, center, np.float32), stride).reshape(-1)
    channels, taps = filters.taps.shape
    target = channels, high.reshape(-1), low.reshape(-1), at, groups
    run(_filter_extremes, 1, source, stride, taps, filters.packed, channels // 2, group, *target, NOTHING)


def rescale(high: Any, low: Any, at: int, per_frame: int, scale: float, offset: Any, pooled: Any, sums: Any) -> None:
    """pooled (T, C) = max |scale v + offset| over `per_frame` rows from row `at` on; sums in the layout of `totals`."""
    frames, width = pooled.shape
    flat_pooled = np.lib.stride_tricks.as_strided(pooled, (frames * width,), (4,))
    source = high.reshape(-1), low.reshape(-1), at, per_frame, np.float32(scale), np.asarray(offset, np.float32)
    run(_rescale_all, 1, *source, frames, width, flat_pooled, sums)
