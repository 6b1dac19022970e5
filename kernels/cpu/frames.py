"""Arrays of frames in the CPU kernels' layout: rows of whole vectors, and spare room after the last row.

A register tile reads and writes a fixed number of rows and columns; values past the last frame or channel are computed
but never read. So every array passed between kernels is a view of a slightly larger one.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import mx
from .jit import compiled
from .simd import LANES
from .tile import COLUMNS, aligned_empty

SPARE_ROWS = 40


def whole(channels: int) -> int:
    """The number of channels rounded up to whole vectors."""
    return -(-channels // LANES) * LANES


def empty(batch: int, frames: int, channels: int) -> np.ndarray:
    """(B, T, C) float32, uninitialized, with spare room after each row and after the last frame."""
    shape = (batch, frames + SPARE_ROWS, whole(channels))
    room: np.ndarray = aligned_empty(int(np.prod(shape))).reshape(shape)
    return room[:, :frames, :channels]


def roomy(x: Any) -> Any:
    """x (B, T, C) itself if `empty` made it, else a copy with the spare room."""
    x = as_numpy(x)
    batch, frames, channels = x.shape
    row = whole(channels) * 4
    ours: bool = x.strides == ((frames + SPARE_ROWS) * row, row, 4)
    if ours and isinstance(x.base, np.ndarray) and _end(x.base) >= x.ctypes.data + batch * x.strides[0]:
        return x
    copy = empty(batch, frames, channels)
    copy[...] = x
    return copy


def flat(x: np.ndarray) -> Any:
    """All memory from the first element of an array that `empty` made, including its spare room."""
    owner = x.base.reshape(-1)  # type: ignore[union-attr]
    return owner[(x.ctypes.data - owner.ctypes.data) // 4 :]


def _end(owner: np.ndarray) -> int:
    return int(owner.ctypes.data) + int(owner.nbytes)


def as_numpy(x: Any) -> np.ndarray:
    """An MLX or NumPy array as NumPy float32, without a copy if it already is one."""
    if isinstance(x, mx.array) and x.dtype != mx.float32:
        x = x.astype(mx.float32)
    return np.asarray(x, np.float32)


@compiled()
def totals(sums, frames, per_chunk):
    """Sums over time of values and of their squares, in float64, from the sums of chunks of `per_chunk` frames.

    Shapes: sums (B, chunks, 3, C): a chunk's first value, then the sums of the differences from it and of their
    squares, which stay accurate for a channel that hardly changes -> (B, C), (B, C).
    """
    batch, chunks, _, channels = sums.shape
    total, square = np.zeros((batch, channels)), np.zeros((batch, channels))
    for b in range(batch):
        for chunk in range(chunks):
            count = min(per_chunk, frames - chunk * per_chunk)
            for c in range(channels):
                first, more = np.float64(sums[b, chunk, 0, c]), np.float64(sums[b, chunk, 1, c])
                total[b, c] += count * first + more
                square[b, c] += sums[b, chunk, 2, c] + first * (2 * more + count * first)
    return total, square


def panels(weight: np.ndarray) -> np.ndarray:
    """(K, C) weights, the columns padded to whole tiles with zeros."""
    depth, channels = weight.shape
    full = np.zeros((depth, -(-channels // COLUMNS) * COLUMNS), np.float32)
    full[:, :channels] = weight
    return full
