"""The CPU body of `kernels/lstm.py`: Numba loops over frames; directions and blocks of batch rows use several cores."""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from ..backend import team_threads
from .frames import empty, flat, panels, roomy
from .jit import compiled
from .simd import LANES, add, broadcast, div, floor, fma, load, maximum, minimum, mul, power_of_two, splat, store
from .team import claim, finish, run, wait
from .tile import COLUMNS, NOTHING, aligned_copy, pack, tile
from .tile import ROWS as TILE_ROWS

BLOCK = 8 * LANES  # gates whose sums are in registers at once
ROWS = 4  # batch rows that share one read of the weights
CHUNK = 40  # frames projected at a time, so that the recurrence reads its inputs from the cache

_f = np.float32
_jit: Any = compiled(error_model="numpy")
_inline: Any = numba.njit(inline="always", error_model="numpy")


def pack_layer(w_ih: np.ndarray, bias: np.ndarray, w_hh: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights in reading order: panels of w_ih, the bias, and w_hh (2, 4H / BLOCK, H, BLOCK) flat.

    Shapes: w_ih (2, 4H, I), bias (2, 4H), w_hh (2, 4H, H).
    """
    directions, gates, hidden = w_hh.shape
    blocks = w_hh.reshape(directions, gates // BLOCK, BLOCK, hidden).transpose(0, 1, 3, 2)
    project = pack(panels(w_ih.reshape(directions * gates, -1).T))
    return project, aligned_copy(bias.reshape(-1)), aligned_copy(blocks).reshape(-1)


def fits(hidden: int) -> bool:
    """Whether a layer of this size fills whole vectors."""
    return 4 * hidden % BLOCK == 0 and hidden % LANES == 0


@_inline
def _sigmoid(x):
    """1 / (1 + exp(-x)) to 2e-7: exp as 2^n times its Taylor polynomial on [-ln 2 / 2, ln 2 / 2]."""
    x = maximum(minimum(x, splat(_f(80.0))), splat(_f(-80.0)))
    n = floor(fma(x, splat(_f(-1.4426950408889634)), splat(_f(0.5))))
    r = fma(n, splat(_f(-0.693359375)), mul(x, splat(_f(-1.0))))  # ln 2 in two parts, the first exact
    r = fma(n, splat(_f(2.12194440e-4)), r)
    p = fma(fma(splat(_f(1 / 720)), r, splat(_f(1 / 120))), r, splat(_f(1 / 24)))
    p = fma(fma(p, r, splat(_f(1 / 6))), r, splat(_f(0.5)))
    p = fma(fma(p, r, splat(_f(1.0))), r, splat(_f(1.0)))
    return div(splat(_f(1.0)), fma(p, power_of_two(n), splat(_f(1.0))))


@_inline
def _tanh(x):
    return fma(splat(_f(2.0)), _sigmoid(add(x, x)), splat(_f(-1.0)))


@_jit
def _gates_of_one(gates, inputs, i0, h, h0, w, w0, hidden):
    """gates = inputs + W_hh h for one batch row, 8 vectors of gates at a time."""
    for block in range(4 * hidden // BLOCK):
        i = i0 + block * BLOCK
        a, b, c, d = load(inputs, i), load(inputs, i + LANES), load(inputs, i + 2 * LANES), load(inputs, i + 3 * LANES)
        i += 4 * LANES
        e, f, g, o = load(inputs, i), load(inputs, i + LANES), load(inputs, i + 2 * LANES), load(inputs, i + 3 * LANES)
        k = w0 + block * BLOCK * hidden
        for unit in range(hidden):
            s = broadcast(h, h0 + unit)
            a, b = fma(s, load(w, k), a), fma(s, load(w, k + LANES), b)
            c, d = fma(s, load(w, k + 2 * LANES), c), fma(s, load(w, k + 3 * LANES), d)
            e, f = fma(s, load(w, k + 4 * LANES), e), fma(s, load(w, k + 5 * LANES), f)
            g, o = fma(s, load(w, k + 6 * LANES), g), fma(s, load(w, k + 7 * LANES), o)
            k += BLOCK
        j = block * BLOCK
        for value in (a, b, c, d, e, f, g, o):
            store(gates, j, value)
            j += LANES


@_inline
def _load_four(x, i):
    return load(x, i), load(x, i + LANES), load(x, i + 2 * LANES), load(x, i + 3 * LANES)


@_inline
def _store_four(x, i, values):
    for n, value in enumerate(values):
        store(x, i + n * LANES, value)


@_inline
def _fma_four(s, w, x):
    return fma(s, w[0], x[0]), fma(s, w[1], x[1]), fma(s, w[2], x[2]), fma(s, w[3], x[3])


@_jit
def _gates_of_two(gates, inputs, i0, row, h, h0, h_row, w, w0, hidden):
    """The same for 2 batch rows (`row`, `h_row` elements apart), 4 vectors of gates at a time."""
    for j in range(0, 4 * hidden, 4 * LANES):
        a, b = _load_four(inputs, i0 + j), _load_four(inputs, i0 + j + row)
        k = w0 + j // BLOCK * BLOCK * hidden + j % BLOCK
        for unit in range(h0, h0 + hidden):
            weights = _load_four(w, k)
            a = _fma_four(broadcast(h, unit), weights, a)
            b = _fma_four(broadcast(h, unit + h_row), weights, b)
            k += BLOCK
        _store_four(gates, j, a)
        _store_four(gates, j + 4 * hidden, b)


@_jit
def _gates_of_three(gates, inputs, i0, row, h, h0, h_row, w, w0, hidden):
    """The same for 3 batch rows, 4 vectors of gates at a time."""
    for j in range(0, 4 * hidden, 4 * LANES):
        a, b, c = _load_four(inputs, i0 + j), _load_four(inputs, i0 + j + row), _load_four(inputs, i0 + j + 2 * row)
        k = w0 + j // BLOCK * BLOCK * hidden + j % BLOCK
        for unit in range(h0, h0 + hidden):
            weights = _load_four(w, k)
            a = _fma_four(broadcast(h, unit), weights, a)
            b = _fma_four(broadcast(h, unit + h_row), weights, b)
            c = _fma_four(broadcast(h, unit + 2 * h_row), weights, c)
            k += BLOCK
        for n, sums in enumerate((a, b, c)):
            _store_four(gates, j + n * 4 * hidden, sums)


@_jit
def _gates_of_four(gates, inputs, i0, row, h, h0, h_row, w, w0, hidden):
    """The same for 4 batch rows (`row`, `h_row` elements apart), 2 vectors of gates at a time."""
    width = 4 * hidden
    for j in range(0, width, 2 * LANES):
        i = i0 + j
        a, b = load(inputs, i), load(inputs, i + LANES)
        c, d = load(inputs, i + row), load(inputs, i + row + LANES)
        e, f = load(inputs, i + 2 * row), load(inputs, i + 2 * row + LANES)
        g, o = load(inputs, i + 3 * row), load(inputs, i + 3 * row + LANES)
        k = w0 + j // BLOCK * BLOCK * hidden + j % BLOCK
        for unit in range(h0, h0 + hidden):
            left, right = load(w, k), load(w, k + LANES)
            s = broadcast(h, unit)
            a, b = fma(s, left, a), fma(s, right, b)
            s = broadcast(h, unit + h_row)
            c, d = fma(s, left, c), fma(s, right, d)
            s = broadcast(h, unit + 2 * h_row)
            e, f = fma(s, left, e), fma(s, right, f)
            s = broadcast(h, unit + 3 * h_row)
            g, o = fma(s, left, g), fma(s, right, o)
            k += BLOCK
        r = j
        for left, right in ((a, b), (c, d), (e, f), (g, o)):
            store(gates, r, left)
            store(gates, r + LANES, right)
            r += width


@_jit
def _cell(gates, g0, c, h, s0, y, y0, hidden):
    """New c and h of one batch row from its gates; h is also written to y."""
    for j in range(0, hidden, LANES):
        i, f = _sigmoid(load(gates, g0 + j)), _sigmoid(load(gates, g0 + hidden + j))
        g, o = _tanh(load(gates, g0 + 2 * hidden + j)), _sigmoid(load(gates, g0 + 3 * hidden + j))
        cell = fma(f, load(c, s0 + j), mul(i, g))
        out = mul(o, _tanh(cell))
        store(c, s0 + j, cell)
        store(h, s0 + j, out)
        store(y, y0 + j, out)


@_jit
def _project(x, x0, x_row, depth, w, bias, direction, frames, hidden, out, out0, nothing):
    """out (frames, 4H) = W_ih x + b of one direction, from element x0 of x on; x and out flat."""
    width = 4 * hidden
    for column in range(0, width, COLUMNS):
        k = direction * width + column
        for t in range(0, frames, TILE_ROWS):
            tile(  # type: ignore[call-arg]
                x.ctypes.data + 4 * (x0 + t * x_row), x_row, 1, 0, depth,
                w.ctypes.data + 4 * k * depth, bias.ctypes.data + 4 * k, nothing.ctypes.data, 0,
                out.ctypes.data + 4 * (out0 + t * width + column), width, _f(-np.inf),
            )  # fmt: skip


@_jit
def _steps(direction, rows, first, count, hidden, inputs, w, h, c, y, y_batch):
    """One direction over frames first to first + count, for at most ROWS batch rows, rows[0] to rows[1].

    Shapes: inputs (ROWS, CHUNK, 4H) of these frames; w as packed; h and c (B, 2, H), y (B, ..., 2, H): all flat.
    """
    width, span, w0 = 4 * hidden, 2 * hidden, direction * 4 * hidden * hidden
    s0, many = rows[0] * span + direction * hidden, rows[1] - rows[0]
    gates = np.empty(ROWS * width, np.float32)
    for step in range(count):
        t = step if direction == 0 else count - 1 - step
        if many == 1:
            _gates_of_one(gates, inputs, t * width, h, s0, w, w0, hidden)
        elif many == 2:
            _gates_of_two(gates, inputs, t * width, CHUNK * width, h, s0, span, w, w0, hidden)
        elif many == 3:
            _gates_of_three(gates, inputs, t * width, CHUNK * width, h, s0, span, w, w0, hidden)
        else:
            _gates_of_four(gates, inputs, t * width, CHUNK * width, h, s0, span, w, w0, hidden)
        for r in range(many):
            y0 = (rows[0] + r) * y_batch + (first + t) * span + direction * hidden
            _cell(gates, r * width, c, h, s0 + r * span, y, y0, hidden)


@_jit
def _layer(x, x_row, x_batch, depth, w_ih, bias, w_hh, h, c, y, y_batch, sizes, nothing, counters):
    """Each direction over blocks of batch rows, the frames projected CHUNK at a time; all arrays flat.

    sizes = (B, T, H, batch rows per block).
    """
    batch, frames, hidden, block = sizes
    inputs = np.empty(ROWS * CHUNK * 4 * hidden, np.float32)
    runs = 2 * ((batch + block - 1) // block)
    work = claim(counters, 0)
    while work < runs:
        direction, low = work % 2, work // 2 * block
        rows = (low, min(low + block, batch))
        for begin in range(0, frames, CHUNK):
            count = min(CHUNK, frames - begin)
            first = begin if direction == 0 else frames - begin - count
            for r in range(rows[1] - rows[0]):
                x0, to = (low + r) * x_batch + first * x_row, r * CHUNK * 4 * hidden
                _project(x, x0, x_row, depth, w_ih, bias, direction, count, hidden, inputs, to, nothing)
            _steps(direction, rows, first, count, hidden, inputs, w_hh, h, c, y, y_batch)
        finish(counters, 0)
        work = claim(counters, 0)
    wait(counters, 0, runs)


def bilstm_cpu(x: Any, weights: Any, state: Any) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """`bilstm` of frames (B, T, I): y (B, T, 2H) and the end state, as new arrays."""
    x = roomy(x)
    batch, frames, depth = x.shape
    h, c = (np.zeros((batch, 2, weights.hidden), np.float32) for _ in range(2))
    if state is not None:
        h[...], c[...] = state
    y = empty(batch, frames, 2 * weights.hidden)
    rows = max(1, min(ROWS, -(-2 * batch // team_threads())))
    blocks = -(-batch // rows)
    sizes = (batch, frames, weights.hidden, -(-batch // blocks))  # as even as possible: one row costs as much as two
    source = flat(x), x.strides[1] // 4, x.strides[0] // 4, depth
    target = h.reshape(-1), c.reshape(-1), flat(y), y.strides[0] // 4
    run(_layer, 1, *source, *weights.cpu_packed, *target, sizes, NOTHING)
    return y, (h, c)
