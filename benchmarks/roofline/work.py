"""What a stage computes and moves, counted from the shapes of its own weights and activations.

Products and the sums that they go into are counted, a multiply-add as 2 FLOP; norms, activations and the cells of the
LSTM are not, so a stage that is full of them stays below its floor's share for that reason. `textbook` is what the
layer's formula asks for; `executed` is what the kernels do instead, from the weights as they are packed: fewer products
(filters folded around their middle, minimal filters) and the padding of whole tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from turnstream.audio.fbank import MEL_BINS, ROW_SAMPLES, ROW_STEP_SAMPLES
from turnstream.kernels.conv_head import Affine, ConvHead
from turnstream.kernels.convpool import Conv
from turnstream.kernels.cpu.camplusplus import BLOCK_TIMES
from turnstream.kernels.cpu.convpool import PAIRED
from turnstream.kernels.cpu.team import MAX_THREADS
from turnstream.kernels.cpu.tile import COLUMNS
from turnstream.kernels.cpu.winograd import PRODUCTS
from turnstream.kernels.dense_tdnn import DenseBlock
from turnstream.kernels.lstm import LSTMWeights
from turnstream.kernels.sincnet import SincFilters
from turnstream.kernels.sizes import MASK_STEPS, POOL

FLOAT = np.dtype(np.float32).itemsize
FFT_SIZE = 1 << (ROW_SAMPLES - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Work:
    """FLOP of one call, and bytes that must be read or written at least once.

    `resident`: bytes that these are among, which decides from which cache they come; all threads share them unless each
    has so many of its `own`. `threads`: the most that can share a call.
    """

    textbook: float
    executed: float
    moved: float
    resident: float
    own: bool = False
    threads: int = MAX_THREADS

    def __add__(self, other: Work) -> Work:
        """One after the other."""
        return replace(
            self,
            textbook=self.textbook + other.textbook,
            executed=self.executed + other.executed,
            moved=self.moved + other.moved,
            resident=self.resident + other.resident,
        )

    def times(self, calls: float) -> Work:
        """So many calls; what they touch is the same."""
        parts = (self.textbook * calls, self.executed * calls, self.moved * calls)
        return Work(*parts, self.resident, self.own, self.threads)

    def resident_of(self, threads: int) -> float:
        """Bytes of each of so many threads."""
        return self.resident if self.own else self.resident / threads


def sinc_hop(filters: SincFilters, new_samples: int, window_rows: int, stride: int) -> Work:
    """A hop of a stream's filterbank: the new samples are filtered, the window's kept extremes rescaled and pooled.

    `window_rows`: pooled rows of a window; each has a largest and a smallest value, which are read, and a result.
    """
    steps, channels = new_samples // stride, filters.taps.shape[0]
    row = FLOAT * channels
    moved = filters.packed.nbytes + FLOAT * new_samples + 2 * row * (steps // POOL) + 3 * row * window_rows
    return Work(2 * steps * filters.taps.size, 2 * steps * filters.packed.size, moved, moved)


def norm(rows: int, channels: int) -> Work:
    """A norm with its activation: read and written once."""
    moved = 2 * FLOAT * rows * channels
    return Work(0, 0, moved, moved)


def conv_pool(conv: Conv, rows: int) -> Work:
    """A convolution over time and its pooling, of so many rows of input."""
    channels, taps, depth = conv.weight.shape
    steps, packed = rows - taps + 1, conv.packed[0]
    moved = packed.nbytes + FLOAT * (rows * depth + steps // POOL * channels)
    return Work(2 * steps * conv.weight.size, 2 * steps * packed.size / PAIRED, moved, moved)


def linear(conv: Conv, rows: int) -> Work:
    """A linear layer with its activation."""
    channels, _, depth = conv.weight.shape
    packed = conv.packed[0]
    moved = packed.nbytes + FLOAT * rows * (depth + channels)
    return Work(2 * rows * conv.weight.size, 2 * rows * packed.size, moved, moved)


def lstm_input(weights: LSTMWeights, frames: int) -> Work:
    """The projection of a layer's input, both directions."""
    packed, depth = weights.cpu_packed[0], weights.w_ih.shape[2]
    moved = packed.nbytes + FLOAT * frames * depth
    return Work(2 * frames * weights.w_ih.size, 2 * frames * packed.size, moved, moved, threads=2)


def lstm_recurrence(weights: LSTMWeights, frames: int) -> Work:
    """The steps of a layer: each reads its direction's recurrent weights again, for it needs the step before."""
    recurrent = weights.cpu_packed[2]
    directions, _, hidden = weights.w_hh.shape
    moved = frames * (recurrent.nbytes + FLOAT * directions * hidden)
    one = recurrent.nbytes / directions
    return Work(2 * frames * weights.w_hh.size, 2 * frames * recurrent.size, moved, one, own=True, threads=2)


def fbank(rows: int) -> Work:
    """Feature rows: a real transform by the usual count, 5/2 N log2 N, and the triangles, each bin in two of them."""
    bins = FFT_SIZE // 2
    flop = rows * (2.5 * FFT_SIZE * np.log2(FFT_SIZE) + 3 * bins + 4 * bins)
    moved = FLOAT * rows * (ROW_STEP_SAMPLES + MEL_BINS)
    return Work(flop, flop, moved, moved, threads=1)


def conv_head(head: ConvHead, steps: int, frequencies: int) -> Work:
    """The front of CAM++: its plan says what is executed, the shapes of its weights what the formula asks for."""
    plan, _ = head.plan(steps, frequencies)
    executed = sum(2 * _products(conv) for conv in plan._records)
    moved = plan._packed.weights.nbytes + FLOAT * sum(
        2 * grid.times * grid.rows * grid.channels for grid in plan._grids
    )
    textbook = _front_products(head, steps, frequencies) * 2
    return Work(textbook, executed, moved, moved)


def _products(conv: np.void) -> float:
    """Of one planned convolution."""
    columns, sums = conv["rows"] * conv["panels"] * COLUMNS, conv["taps"] * conv["depth"]
    if conv["fast"]:
        return float(-(-conv["times"] // BLOCK_TIMES) * PRODUCTS * columns * conv["depth"])
    return float(conv["times"] * columns * sums)


def _front_products(head: ConvHead, steps: int, frequencies: int) -> float:
    """Each 3x3 layer and shortcut at the frequencies that are left, then the taps over time at half the rate."""
    total, left = _size(head.stem) * frequencies, frequencies
    for block in head.blocks:
        if block.shortcut is not None:
            left //= 2
            total += _size(block.shortcut) * left
        total += (_size(block.conv1) + _size(block.conv2)) * left
    left //= 2
    return float((total + _size(head.squash) * left) * steps + _size(head.tdnn) * ((steps + 1) // 2))


def dense_blocks(blocks: Sequence[DenseBlock], last: Affine, steps: int) -> Work:
    """The dense blocks, the statistics and the last layer, of so many steps of 20 ms."""
    products, size, activations = float(_size(last)), _size(last), 0
    for block in blocks:
        segments = -(-steps // MASK_STEPS)
        for layer in block.layers:
            masks = _size(layer.context) + _size(layer.mask)
            products += steps * (_size(layer.squeeze) + layer.local.size) + segments * masks
            size += _size(layer.squeeze) + layer.local.size + masks
            activations += steps * (
                layer.squeeze.weight.shape[0] + len(layer.local) + 2 * layer.squeeze.weight.shape[1]
            )
        products, size = products + steps * _size(block.transit), size + _size(block.transit)
        activations += steps * sum(block.transit.weight.shape)
    moved = FLOAT * (size + activations)
    return Work(2 * products, 2 * products, moved, moved)


def _size(layer: Affine) -> int:
    return prod(layer.weight.shape)
