"""The two halves of CAM++ on the CPU: phases of register tiles (`kernels/cpu/tile.py`), shared by a team of threads.

Offsets, steps and sizes count floats, addresses bytes. Tiles may compute rows past the last one; these are never read.
"""

# mypy: allow-untyped-defs, disable-error-code="call-arg,misc"
from __future__ import annotations

import numpy as np

from ..sizes import MASK_STEPS
from .jit import compiled
from .simd import LANES, add, fma, load, maximum, splat, store, sub
from .team import claim, finish, wait
from .tile import COLUMNS, ROWS, tile
from .winograd import PRODUCTS, transform_inputs

CHUNK_TIMES = 8  # a multiple of BLOCK_TIMES
BLOCK_TIMES = 4  # outputs that `kernels/cpu/winograd.py` computes from 6 inputs
_jit = compiled(fastmath={"contract", "nnan", "nsz"})


# A convolution inside one workspace: the offsets of its operands and their strides in time and over rows. Each of
# `times` time steps has `rows` outputs (a multiple of ROWS) of `panels` * COLUMNS channels; an output sums `taps` runs
# of `depth` inputs, `tap_step` apart. `beside` is the offset of an array to add, or negative. `fast`: three taps
# `x_time` apart with weights from `winograd.transform_taps`; the input must be followed by zeros after the last time.
_SIZES = ("times", "rows", "panels", "taps", "tap_step", "depth", "weight", "bias", "relu", "fast")
_OPERANDS = ("x", "x_time", "x_row", "beside", "beside_time", "beside_row", "out", "out_time", "out_row")
CONV = np.dtype([(name, np.int64) for name in _SIZES + _OPERANDS])


@_jit
def convolve(plan, workspace, weights, nothing, counters):
    """Run the convolutions of `plan` one after another; weights: all panels and biases in one array."""
    most = 0
    for conv in plan:
        most = max(most, conv.x_time if conv.fast else 0)
    sums, products = np.empty(PRODUCTS * most + 16, np.float32), np.empty(PRODUCTS * ROWS * COLUMNS + 16, np.float32)
    sums, products = sums[_skip(sums) :], products[_skip(products) :]
    for phase in range(len(plan)):
        conv = plan[phase]
        chunks = (conv.times + CHUNK_TIMES - 1) // CHUNK_TIMES
        chunk = claim(counters, phase)
        while chunk < chunks:
            first, last = chunk * CHUNK_TIMES, min(conv.times, (chunk + 1) * CHUNK_TIMES)
            if conv.fast:
                for t in range(first, last, BLOCK_TIMES):
                    _four_times(conv, t, workspace, weights, sums, products, nothing)
            else:
                for t in range(first, last):
                    _one_time(conv, t, workspace.ctypes.data, weights.ctypes.data, nothing.ctypes.data)
            finish(counters, phase)
            chunk = claim(counters, phase)
        wait(counters, phase, chunks)


@_jit
def _one_time(conv, t, workspace, weights, nothing):
    floor = np.float32(0) if conv.relu else np.float32(-np.inf)
    for first in range(0, conv.rows, ROWS):
        x = workspace + 4 * (conv.x + t * conv.x_time + first * conv.x_row)
        out = workspace + 4 * (conv.out + t * conv.out_time + first * conv.out_row)
        for panel in range(conv.panels):
            beside, beside_row = nothing, 0
            if conv.beside >= 0:
                beside = workspace + 4 * (
                    conv.beside + t * conv.beside_time + first * conv.beside_row + panel * COLUMNS
                )
                beside_row = conv.beside_row
            tile(
                x, conv.x_row, conv.taps, conv.tap_step, conv.depth,
                weights + 4 * (conv.weight + panel * conv.taps * conv.depth * COLUMNS),
                weights + 4 * (conv.bias + panel * COLUMNS),
                beside, beside_row, out + 4 * panel * COLUMNS, conv.out_row, floor,
            )  # fmt: skip


@_jit
def _skip(values):
    """Number of floats to the next cache line."""
    return (-values.ctypes.data % 64) // 4


@_jit
def _four_times(conv, t, workspace, weights, sums, products, nothing):
    """Outputs at times t to t + 3; sums and products are scratch arrays."""
    none, panel_size = np.float32(-np.inf), PRODUCTS * conv.depth * COLUMNS
    transform_inputs(workspace, conv.x + t * conv.x_time, conv.x_time, conv.x_time, sums, 0, conv.x_time)
    for first in range(0, conv.rows, ROWS):
        for panel in range(conv.panels):
            for j in range(PRODUCTS):
                tile(
                    sums.ctypes.data + 4 * (j * conv.x_time + first * conv.x_row), conv.x_row, 1, 0, conv.depth,
                    weights.ctypes.data + 4 * (conv.weight + panel * panel_size + j * conv.depth * COLUMNS),
                    nothing.ctypes.data, nothing.ctypes.data, 0,
                    products.ctypes.data + 4 * j * ROWS * COLUMNS, COLUMNS, none,
                )  # fmt: skip
            for c in range(0, COLUMNS, LANES):
                _add_products(conv, t, first, panel * COLUMNS + c, products, c, workspace, weights)


@_jit
def _add_products(conv, t, first, channel, products, c, workspace, weights):
    """Combine the six products of LANES channels and ROWS rows into outputs at four times."""
    size, count = ROWS * COLUMNS, min(BLOCK_TIMES, conv.times - t)
    two, four, eight = splat(np.float32(2)), splat(np.float32(4)), splat(np.float32(8))
    bias, floor = load(weights, conv.bias + channel), splat(np.float32(0) if conv.relu else np.float32(-np.inf))
    for row in range(ROWS):
        i = row * COLUMNS + c
        m1, m2 = load(products, i + size), load(products, i + 2 * size)
        m3, m4 = load(products, i + 3 * size), load(products, i + 4 * size)
        even, odd, even2, odd2 = add(m1, m2), sub(m1, m2), add(m3, m4), sub(m3, m4)
        y0 = add(load(products, i), add(even, even2))
        y1, y2 = fma(two, odd2, odd), fma(four, even2, even)
        y3 = add(fma(eight, odd2, odd), load(products, i + 5 * size))
        to = conv.out + t * conv.out_time + (first + row) * conv.out_row + channel
        beside = conv.beside + t * conv.beside_time + (first + row) * conv.beside_row + channel
        for n, y in enumerate((y0, y1, y2, y3)):
            if n < count:
                y = add(y, bias)
                if conv.beside >= 0:
                    y = add(y, load(workspace, beside + n * conv.beside_time))
                store(workspace, to + n * conv.out_time, maximum(y, floor))


@_jit
def dense_block(
    x,
    steps,
    dilation,
    relu,
    scales,
    shifts,
    squeeze,
    biases,
    local,
    w1,
    b1,
    w2,
    b2,
    transit,
    transit_bias,
    h,
    out,
    nothing,
    counters,
):
    """One dense block and its transit layer; a phase is one layer's local convolution and the start of the next layer.

    x (R, C + 32 L): C input channels per row, the others are filled here; R is a multiple of ROWS and at least `steps`;
    scales, shifts: of all layers and the transit layer, concatenated; squeeze: the panels of all layers, concatenated;
    biases (L, 128); local (L, panels, 384, COLUMNS); w1 (L, 128, 64), b1, w2 (L, 64, 32), b2; out (R, C');
    h (2, R + 2 dilation, 128) zeros.
    """
    layers, hidden = biases.shape
    growth, blocks = w2.shape[2], x.shape[0] // ROWS
    mask = np.zeros(((steps + MASK_STEPS - 1) // MASK_STEPS, growth), np.float32)
    normed = np.empty((ROWS, x.shape[1] + 16), np.float32)  # 16 more, so that the rows do not all map to one cache set
    norm_at, squeeze_at, depth = 0, 0, x.shape[1] - growth * layers
    for layer in range(layers + 1):
        before, now = h[(layer + 1) % 2], h[layer % 2]
        scale, shift = scales[norm_at : norm_at + depth], shifts[norm_at : norm_at + depth]
        block = claim(counters, layer)
        if layer > 0 and block < blocks:
            last = layer - 1
            _context_mask(before, dilation, steps, w1[last], b1[last], w2[last], b2[last], mask)
        while block < blocks:
            first = block * ROWS
            if layer > 0:
                _masked_local(before, dilation, first, local[layer - 1], mask, x, depth - growth, nothing)
            _norm_relu(x, first, depth, scale, shift, normed)
            if layer < layers:
                weight, bias = squeeze.ctypes.data + 4 * squeeze_at, biases.ctypes.data + 4 * layer * hidden
                _product(normed, depth, weight, bias, now, dilation + first, np.float32(0), nothing)
                now[dilation + max(first, min(steps, first + ROWS)) : dilation + first + ROWS] = 0
            else:
                floor = np.float32(0) if relu else np.float32(-np.inf)
                _product(normed, depth, transit.ctypes.data, transit_bias.ctypes.data, out, first, floor, nothing)
            finish(counters, layer)
            block = claim(counters, layer)
        wait(counters, layer, blocks)
        norm_at += depth
        squeeze_at += depth * hidden
        depth += growth


@_jit
def _norm_relu(x, first, channels, scale, shift, out):
    for i in range(ROWS):
        for c in range(channels):
            value = x[first + i, c] * scale[c] + shift[c]
            out[i, c] = value if value > 0 else np.float32(0)


@_jit
def _product(x, depth, weight, bias, out, first, floor, nothing):
    """out[first : first + ROWS] = max(x[:, :depth] @ weight + bias, floor)."""
    columns = out.shape[1]
    for panel in range(columns // COLUMNS):
        tile(
            x.ctypes.data, x.shape[1], 1, 0, depth,
            weight + 4 * panel * depth * COLUMNS, bias + 4 * panel * COLUMNS,
            nothing.ctypes.data, 0, out.ctypes.data + 4 * (first * columns + panel * COLUMNS), columns, floor,
        )  # fmt: skip


@_jit
def _masked_local(h, dilation, first, weight, mask, x, to, nothing):
    """x[first : first + ROWS, to : to + 32] = dilated convolution of h times the mask of the rows' segment."""
    channels, columns = h.shape[1], x.shape[1]
    for panel in range(weight.shape[0]):
        tile(
            h.ctypes.data + 4 * first * channels, channels, 3, dilation * channels, channels,
            weight.ctypes.data + 4 * panel * weight.shape[1] * COLUMNS, nothing.ctypes.data,
            nothing.ctypes.data, 0, x.ctypes.data + 4 * (first * columns + to + panel * COLUMNS), columns,
            np.float32(-np.inf),
        )  # fmt: skip
    for i in range(ROWS):
        segment = mask[(first + i) // MASK_STEPS] if first + i < mask.shape[0] * MASK_STEPS else mask[-1]
        for c in range(segment.shape[0]):
            x[first + i, to + c] *= segment[c]


@_jit
def _context_mask(h, border, steps, w1, b1, w2, b2, mask):
    """mask (segments, 32) from the means of h's rows [border, border + steps), overall and per segment."""
    segments = mask.shape[0]
    sums = np.zeros((segments, h.shape[1]), np.float32)
    everything = np.zeros(h.shape[1], np.float32)
    for s in range(segments):
        for t in range(s * MASK_STEPS, min(steps, (s + 1) * MASK_STEPS)):
            for c in range(h.shape[1]):
                sums[s, c] += h[border + t, c]
        for c in range(h.shape[1]):
            everything[c] += sums[s, c] / np.float32(steps)
    hidden, logits = np.empty_like(b1), np.empty_like(b2)
    for s in range(segments):
        length = np.float32(min(MASK_STEPS, steps - s * MASK_STEPS))
        hidden[:] = b1
        for k in range(h.shape[1]):
            context = sums[s, k] / length + everything[k]
            for c in range(hidden.shape[0]):
                hidden[c] += context * w1[k, c]
        logits[:] = b2
        for k in range(hidden.shape[0]):
            for c in range(logits.shape[0]):
                logits[c] += max(hidden[k], np.float32(0)) * w2[k, c]
        for c in range(logits.shape[0]):
            mask[s, c] = np.float32(1) / (np.float32(1) + np.exp(-logits[c]))
