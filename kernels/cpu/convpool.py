"""The CPU bodies of `convpool`: register tiles, then the following steps while the tiles' output is still cached."""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np

from ..sizes import CONV_TAPS, POOL
from .frames import SPARE_ROWS, empty, flat, panels, roomy, totals, whole
from .jit import compiled
from .simd import LANES, add, fma, load, maximum, mul, splat, store, sub
from .team import claim, finish, run, wait
from .tile import COLUMNS, NOTHING, ROWS, aligned_copy, pack, tile
from .winograd import PRODUCTS, transform_inputs, transform_taps

PAIRED = 2  # outputs that `kernels/cpu/winograd.py` computes from 6 inputs
CHUNK_FRAMES = 20
CHUNK_STEPS = CHUNK_FRAMES * POOL  # a multiple of PAIRED * ROWS
LINEAR_STEPS = 40
_ZERO = np.float32(0)
_jit: Any = compiled(error_model="numpy")


def pack_conv(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C', CONV_TAPS, C) weights as panels over products and inputs, and the bias padded with zeros."""
    transformed = transform_taps(weight.transpose(1, 2, 0)).reshape(-1, len(weight))
    return pack(panels(transformed)), aligned_copy(panels(bias[None])[0])


def pack_linear(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C', C) weights as panels, and the bias padded with zeros."""
    return pack(panels(weight.T)), aligned_copy(panels(bias[None])[0])


@_jit
def _tiles(x, x0, x_row, depth, weight, bias, rows, out, columns, nothing):
    """out (rows, columns) = bias + x weight for one panel; weight, bias and out are byte addresses, x is flat."""
    for row in range(0, rows, ROWS):
        tile(  # type: ignore[call-arg]
            x.ctypes.data + 4 * (x0 + row * x_row), x_row, 1, 0, depth, weight, bias,
            nothing.ctypes.data, 0, out + 4 * row * columns, columns, np.float32(-np.inf),
        )  # fmt: skip


@_jit
def _convolve(x, x0, x_row, depth, weight, bias, steps, out, sums, products, nothing):
    """out (steps, columns) = convolution of CONV_TAPS rows of x, from element x0 on; x and out flat, with room.

    sums (PRODUCTS, ROWS, x_row) and products (PRODUCTS, ROWS, COLUMNS) are flat scratch arrays.
    """
    columns, size = weight.shape[0] * COLUMNS, ROWS * COLUMNS
    two = splat(np.float32(2))
    for first in range(0, steps, PAIRED * ROWS):
        for row in range(ROWS):
            start = x0 + (first + PAIRED * row) * x_row
            transform_inputs(x, start, x_row, depth, sums, row * x_row, ROWS * x_row)
        for panel in range(weight.shape[0]):
            for j in range(PRODUCTS):
                at = weight.ctypes.data + 4 * (panel * PRODUCTS + j) * depth * COLUMNS
                to = products.ctypes.data + 4 * j * size
                _tiles(sums, j * ROWS * x_row, x_row, depth, at, nothing.ctypes.data, ROWS, to, COLUMNS, nothing)
            for c in range(0, COLUMNS, LANES):
                shift = load(bias, panel * COLUMNS + c)
                for row in range(ROWS):
                    i = row * COLUMNS + c
                    m1, m2 = load(products, i + size), load(products, i + 2 * size)
                    m3, m4 = load(products, i + 3 * size), load(products, i + 4 * size)
                    even, odd = add(add(m1, m2), add(m3, m4)), fma(two, sub(m3, m4), sub(m1, m2))
                    to = (first + PAIRED * row) * columns + panel * COLUMNS + c
                    store(out, to, add(add(load(products, i), even), shift))
                    store(out, to + columns, add(add(load(products, i + 5 * size), odd), shift))


@_jit
def _conv_pool(x, x_row, x_batch, depth, weight, bias, frames, width, pooled, pooled_row, sums, nothing, counters):
    """x and pooled flat; weight (panels, PRODUCTS * depth, COLUMNS); sums (B, chunks, 3, width)."""
    batch, chunks = sums.shape[0], sums.shape[1]
    columns = weight.shape[0] * COLUMNS
    conv = np.empty(CHUNK_STEPS * columns, np.float32)
    transformed = np.empty(PRODUCTS * ROWS * x_row, np.float32)
    products = np.empty(PRODUCTS * ROWS * COLUMNS, np.float32)
    sums_flat = sums.reshape(-1)
    work = claim(counters, 0)
    while work < batch * chunks:
        row, first = work // chunks, work % chunks * CHUNK_FRAMES
        count = min(CHUNK_FRAMES, frames - first)
        start = row * x_batch + first * POOL * x_row
        _convolve(x, start, x_row, depth, weight, bias, count * POOL, conv, transformed, products, nothing)
        for c in range(0, width, LANES):
            total, squares, start_value = splat(_ZERO), splat(_ZERO), splat(_ZERO)
            for t in range(count):
                i = t * POOL * columns + c
                best = maximum(load(conv, i), maximum(load(conv, i + columns), load(conv, i + 2 * columns)))
                store(pooled, row * pooled_row + (first + t) * width + c, best)
                if t == 0:
                    start_value = best
                more = sub(best, start_value)
                total, squares = add(total, more), fma(more, more, squares)
            for part, value in enumerate((start_value, total, squares)):
                store(sums_flat, (work * 3 + part) * width + c, value)
        finish(counters, 0)
        work = claim(counters, 0)
    wait(counters, 0, batch * chunks)


@_jit
def _norm(x, row, affine, slope, frames, width, out, counters):
    """out = leaky ReLU of (x - mean) scale + bias; x, out and affine (B, 3, width: mean, scale, bias) flat.

    The mean is subtracted first, so that a channel that is constant over time becomes exactly the bias.
    """
    batch, chunks, leak = affine.size // (3 * width), (frames + 255) // 256, splat(slope)
    work = claim(counters, 0)
    while work < batch * chunks:
        b, first = work // chunks, work % chunks * 256
        for c in range(0, width, LANES):
            i = b * 3 * width + c
            mean, scale, bias = load(affine, i), load(affine, i + width), load(affine, i + 2 * width)
            for t in range(first, min(first + 256, frames)):
                y = fma(sub(load(x, b * row + t * width + c), mean), scale, bias)
                store(out, b * row + t * width + c, maximum(y, mul(y, leak)))
        finish(counters, 0)
        work = claim(counters, 0)
    wait(counters, 0, batch * chunks)


@_jit
def _linear(x, x_row, depth, weight, bias, slope, rows, out, nothing, counters):
    """out (rows, columns) = leaky ReLU of x times weight; both flat, with room for whole chunks."""
    columns = weight.shape[0] * COLUMNS
    chunks, leak = (rows + LINEAR_STEPS - 1) // LINEAR_STEPS, splat(slope)
    work = claim(counters, 0)
    while work < chunks:
        first = work * LINEAR_STEPS
        to = out[first * columns : (first + LINEAR_STEPS) * columns]
        for panel in range(weight.shape[0]):
            at, shift = weight.ctypes.data + 4 * panel * depth * COLUMNS, bias.ctypes.data + 4 * panel * COLUMNS
            panel_out = to.ctypes.data + 4 * panel * COLUMNS
            _tiles(x, first * x_row, x_row, depth, at, shift, LINEAR_STEPS, panel_out, columns, nothing)
        for i in range(0, LINEAR_STEPS * columns, LANES):
            y = load(to, i)
            store(to, i, maximum(y, mul(y, leak)))
        finish(counters, 0)
        work = claim(counters, 0)
    wait(counters, 0, chunks)


def conv_pool_cpu(x: Any, packed: tuple[np.ndarray, np.ndarray], channels: int) -> tuple[Any, Any, Any]:
    """`conv_pool` of (B, T, C): pooled (B, T', C') float32, and the sums of it and its squares (B, C') float64."""
    x = roomy(x)
    batch, frames, depth = x.shape
    frames, width = (frames - CONV_TAPS + 1) // POOL, whole(channels)
    pooled = empty(batch, frames, channels)
    sums = np.empty((batch, -(-frames // CHUNK_FRAMES), 3, width), np.float32)
    rows, weight, bias = (x.strides[1] // 4, x.strides[0] // 4), *packed
    to = (frames, width, flat(pooled), pooled.strides[0] // 4)
    run(_conv_pool, 1, flat(x), *rows, depth, weight, bias, *to, sums, NOTHING)
    return pooled, *totals(sums[..., :channels], frames, CHUNK_FRAMES)


def norm_leaky_cpu(x: Any, mean: np.ndarray, scale: np.ndarray, bias: np.ndarray, slope: float) -> np.ndarray:
    """Leaky ReLU of (x - mean) scale + bias. Shapes: x (B, T, C), mean and scale (B, C), bias (C,)."""
    x = roomy(x)
    batch, frames, channels = x.shape
    width, out = whole(channels), empty(batch, frames, channels)
    affine = np.zeros((batch, 3, width), np.float32)
    for part, values in enumerate((mean, scale, bias)):
        affine[:, part, :channels] = values
    run(_norm, 1, flat(x), x.strides[0] // 4, affine.reshape(-1), np.float32(slope), frames, width, flat(out))
    return out


def linear_cpu(x: Any, packed: tuple[np.ndarray, np.ndarray], channels: int, slope: float) -> np.ndarray:
    """Leaky ReLU of x weight + bias; slope 1 is no activation. Shapes: (B, T, C) -> (B, T, C')."""
    x = roomy(x)
    batch, frames, depth = x.shape
    weight, bias = packed
    out = empty(batch, frames, len(bias))
    rows = batch * (frames + SPARE_ROWS) - SPARE_ROWS  # includes the spare rows between batch rows
    run(_linear, 1, flat(x), x.strides[1] // 4, depth, weight, bias, np.float32(slope), rows, flat(out), NOTHING)
    return out[:, :, :channels]


@compiled(fastmath=True)
def moments(waves):
    """Mean and variance of every row, in float64. Shapes: (B, N) -> (B,), (B,)."""
    batch, samples = waves.shape
    mean, variance = np.empty(batch), np.empty(batch)
    for b in range(batch):
        total = 0.0
        for i in range(samples):
            total += waves[b, i]
        mean[b] = total / samples
        total = 0.0
        for i in range(samples):
            total += (waves[b, i] - mean[b]) ** 2
        variance[b] = total / samples
    return mean, variance
