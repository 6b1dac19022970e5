"""The state of one stream that the activity path carries from chunk to chunk through `models/segmentation.py`.

The network was trained on whole windows: its norms are over the window and its LSTM starts from zero. Here the norms'
sums decay over time instead, the convolutions keep the inputs of their next frames, and the forward direction of each
LSTM layer continues from its last state. The backward direction starts fresh behind each chunk and its look-ahead
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

# Found on simulated conversations and AMI excerpts (docs/experiments.md, How a carried state stays fresh).
NORM_MEMORY_S = 30.0
CELL_MEMORY_S = 3.0  # without this decay the cells of the upper layers diverge within minutes, and speech is missed


@dataclass(frozen=True, slots=True)
class Sums:
    """Statistics for a norm over time: the number of values, their sum and the sum of their squares, decaying with age.

    Shapes: count is a number, total and square are (C,), or 0 before any audio.
    """

    memory_s: float = NORM_MEMORY_S  # after which a value counts 1/e; infinite: no decay
    count: float = 0.0
    total: Any = 0.0
    square: Any = 0.0

    def add(self, count: int, total: Any, square: Any, samples: int) -> Sums:
        """The sums after `count` more values, which took `samples` samples of audio."""
        fade = math.exp(-samples / (self.memory_s * SAMPLE_RATE_HZ))
        return Sums(self.memory_s, fade * self.count + count, fade * self.total + total, fade * self.square + square)

    def scaled(self, count: int) -> tuple[Any, Any]:
        """The sums that `count` values with the same mean and variance would have."""
        share = count / self.count
        return self.total * share, self.square * share


@dataclass(frozen=True)
class CarriedState:
    """One stream's state after its last chunk. Never modified, so restoring an earlier state is just reusing it.

    Shapes, all float32:
        samples: (n,) not yet consumed by the filterbank
        frames: (m, 80) and (m, 60) not yet consumed by the two convolutions, (L, 60) the look-ahead, not yet returned
        sums: of the waveform and of the three norms
        h, c: (layers, H), the forward directions' states after the last frame that was returned
    """

    samples: Any
    frames: tuple[Any, ...]
    sums: tuple[Any, ...]
    h: Any
    c: Any

    def faded(self, samples: int, memory_s: float = CELL_MEMORY_S) -> CarriedState:
        """The state with the forward directions' cells decayed toward zero for `samples` samples of audio.

        The network was trained on 10 s from zero: cells that only ever grow leave the range it was trained on.
        """
        return replace(self, c=self.c * math.exp(-samples / (memory_s * SAMPLE_RATE_HZ)))

    def frames_ready(self, samples: int) -> int:
        """Frames available, look-ahead included, after `samples` more samples; 0 if a layer in between gets none."""
        ready = len(self.samples) + samples
        for (kernel, stride), (pool, _), kept in zip(LAYERS[::2], LAYERS[1::2], self.frames, strict=True):
            fresh = ((ready - kernel) // stride + 1) // pool
            if fresh < 1:
                return 0
            ready = len(kept) + fresh
        return ready


def stack(rows: list[Any]) -> Any:
    """One array of all streams' arrays. Errors: ValueError if their lengths differ, so the streams are out of step."""
    shapes = {tuple(row.shape) for row in rows}
    if len(shapes) > 1:
        raise ValueError(f"expected streams in step, got kept parts of {sorted(shapes)}")
    return np.stack(rows) if isinstance(rows[0], np.ndarray) else mx.stack(rows)


def join(kept: list[Any], new: Any) -> Any:
    """Each stream's kept part followed by the new one. Shapes: (n, ...) per stream, (B, m, ...) -> (B, n + m, ...)."""
    parts = [stack(kept), new]
    return np.concatenate(parts, axis=1) if isinstance(new, np.ndarray) else mx.concatenate(parts, axis=1)


def rows_of(x: Any, start: int = 0) -> list[Any]:
    """Each stream's part from `start` on, as a separate array."""
    return [row[start:].copy() if isinstance(x, np.ndarray) else row[start:] for row in x]


def add_all(sums: Sequence[Any], frames: int, total: Any, square: Any, samples: int) -> tuple[list[Any], Any, Any]:
    """Every stream's sums with the new frames added, and both rescaled to `frames` frames for the norm, (B, C) each."""
    added = [kept.add(frames, total[b], square[b], samples) for b, kept in enumerate(sums)]
    scaled = [kept.scaled(frames) for kept in added]
    return added, stack([total for total, _ in scaled]), stack([square for _, square in scaled])


def wave_scale(sums: Sequence[Any], chunks: Any, weight: Any, bias: Any, eps: float) -> tuple[list[Any], Any, Any]:
    """Every stream's sums with the new samples added, and the scale and shift (B,) that normalize its waveform."""
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
