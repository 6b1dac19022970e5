"""What the activity path keeps of one stream from chunk to chunk, beside the weights of `models/segmentation.py`.

The network was trained on whole windows: its norms are over the window and its LSTM starts from zero. Here the norms'
sums fade with time instead, the convolutions keep what their next frames will read, and the forward direction of each
LSTM layer goes on from where it stood. The backward direction starts anew behind each chunk and its look-ahead
(latency-controlled BLSTM: Zhang et al., "Highway long short-term memory RNNs for distant speech recognition", 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from turnstream.kernels.backend import mx

from ..windows import LAYERS, SAMPLE_RATE_HZ

# Found on simulated conversations and AMI excerpts (python -m benchmarks.activity drift).
NORM_MEMORY_S = 30.0
CELL_MEMORY_S = 3.0  # without it the cells of the upper layers run away within minutes, and speech is missed


@dataclass(frozen=True, slots=True)
class Sums:
    """What a norm over time needs: the values' number, their sum and that of their squares, older ones faded.

    Shapes: count a number, total and square (C,) or, before anything was heard, 0.
    """

    memory_s: float = NORM_MEMORY_S  # after which a value counts 1/e; infinite: every value counts for ever
    count: float = 0.0
    total: Any = 0.0
    square: Any = 0.0

    def add(self, count: int, total: Any, square: Any, samples: int) -> Sums:
        """With `count` more values, after `samples` more samples of audio."""
        fade = math.exp(-samples / (self.memory_s * SAMPLE_RATE_HZ))
        return Sums(self.memory_s, fade * self.count + count, fade * self.total + total, fade * self.square + square)

    def scaled(self, count: int) -> tuple[Any, Any]:
        """Sums that `count` values of the same mean and variance would have."""
        share = count / self.count
        return self.total * share, self.square * share


@dataclass(frozen=True)
class CarriedState:
    """One stream, after its last chunk. Nothing in it is ever changed: to restore a state is to use it again.

    Shapes, all float32:
        samples: (n,) not yet consumed by the filterbank
        frames: (m, 80) and (m, 60) not yet consumed by the two convolutions, (L, 60) the look-ahead, not yet given
        sums: of the waveform and of the three norms
        h, c: (layers, H), where the forward directions stand behind the last frame that was given
    """

    samples: Any
    frames: tuple[Any, ...]
    sums: tuple[Any, ...]
    h: Any
    c: Any

    def faded(self, samples: int, memory_s: float = CELL_MEMORY_S) -> CarriedState:
        """With the cells of the forward directions nearer to zero, as `samples` of audio have gone by.

        The network was trained on 10 s from zero: cells that count up and never down go where it never was.
        """
        return replace(self, c=self.c * math.exp(-samples / (memory_s * SAMPLE_RATE_HZ)))

    def frames_ready(self, samples: int) -> int:
        """Frames to give, look-ahead included, once `samples` more are there; 0 if a layer in between gets none."""
        ready = len(self.samples) + samples
        for (kernel, stride), (pool, _), kept in zip(LAYERS[::2], LAYERS[1::2], self.frames, strict=True):
            fresh = ((ready - kernel) // stride + 1) // pool
            if fresh < 1:
                return 0
            ready = len(kept) + fresh
        return ready


def stack(rows: list[Any]) -> Any:
    """One array of the streams' arrays. Errors: ValueError where they differ in length: the streams stand unequally."""
    shapes = {tuple(row.shape) for row in rows}
    if len(shapes) > 1:
        raise ValueError(f"expected streams that stand equally, got kept parts of {sorted(shapes)}")
    return np.stack(rows) if isinstance(rows[0], np.ndarray) else mx.stack(rows)


def join(kept: list[Any], new: Any) -> Any:
    """What each stream kept, then what is new. Shapes: (n, ...) a stream, (B, m, ...) -> (B, n + m, ...)."""
    parts = [stack(kept), new]
    return np.concatenate(parts, axis=1) if isinstance(new, np.ndarray) else mx.concatenate(parts, axis=1)


def rows_of(x: Any, start: int = 0) -> list[Any]:
    """Each stream's part from `start` on, as an array of its own."""
    return [row[start:].copy() if isinstance(x, np.ndarray) else row[start:] for row in x]


def add_all(sums: Sequence[Any], frames: int, total: Any, square: Any, samples: int) -> tuple[list[Any], Any, Any]:
    """Every stream's sums with the new frames, and as the sums that the norm of `frames` frames wants, (B, C) each."""
    added = [kept.add(frames, total[b], square[b], samples) for b, kept in enumerate(sums)]
    scaled = [kept.scaled(frames) for kept in added]
    return added, stack([total for total, _ in scaled]), stack([square for _, square in scaled])


def wave_scale(sums: Sequence[Any], chunks: Any, weight: Any, bias: Any, eps: float) -> tuple[list[Any], Any, Any]:
    """Every stream's sums with the new samples, and the scale and shift (B,) that bring it to the wanted deviation."""
    wide = np.asarray(chunks, np.float64)
    size = wide.shape[1]
    added = [kept.add(size, row.sum(), row @ row, size) for kept, row in zip(sums, wide, strict=True)]
    mean = np.array([kept.total / kept.count for kept in added])
    variance = np.maximum(np.array([kept.square / kept.count for kept in added]) - mean**2, 0.0)
    scale = float(weight.item()) / np.sqrt(variance + eps)
    shift = float(bias.item()) - mean * scale
    if isinstance(chunks, np.ndarray):
        return added, scale, shift
    return added, mx.array(scale.astype(np.float32)), mx.array(shift.astype(np.float32))
