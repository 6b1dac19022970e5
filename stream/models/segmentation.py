"""PyanNet: 10 s of audio -> log-probabilities of which of three local speakers are talking, every 16.875 ms.

The network of pyannote segmentation-3.0 (Bredin & Laurent 2021; Plaquet & Bredin 2023 for the powerset classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from turnstream.kernels.backend import mx, on_cpu
from turnstream.kernels.convpool import (
    Conv,
    conv_pool,
    instance_norm_leaky,
    linear_leaky,
    log_softmax,
    normal_scale,
)
from turnstream.kernels.lstm import LSTMWeights, bilstm
from turnstream.kernels.sincnet import SincFilters, sinc_filters, sinc_pool
from turnstream.kernels.sizes import POOL, SINC_STRIDE

from ..weights.manifest import LSTM_LAYERS
from ..windows import FRAME_SAMPLES, HOP_SAMPLES, RECEPTIVE_FIELD_SAMPLES, WINDOW_SAMPLES
from .carried_state import CarriedState, Sums, add_all, join, rows_of, stack, wave_scale

try:
    from turnstream.kernels import sincnet_stream
except ImportError:  # without numba
    sincnet_stream = None  # type: ignore[assignment]

LEAKY_SLOPE = 0.01
NORM_EPS = 1e-5
BANK_STEP_SAMPLES = SINC_STRIDE * POOL  # between two rows of the pooled filterbank
MIN_SAMPLES = RECEPTIVE_FIELD_SAMPLES + FRAME_SAMPLES  # two frames: a single one has no variance for the norms

# Class -> which of the three local speakers are active: silence, {1}, {2}, {3}, {1,2}, {1,3}, {2,3}.
POWERSET = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool)


def activity(log_probabilities: np.ndarray) -> np.ndarray:
    """Who is active in each frame: the most probable class, as speakers. Shapes: (T, 7) float -> (T, 3) bool."""
    active: np.ndarray = POWERSET[log_probabilities.argmax(axis=-1)]
    return active


def on_cpu_kernels() -> bool:
    """Whether the network runs on NumPy arrays, which any thread may read; MLX arrays belong to their own thread."""
    return on_cpu() and sincnet_stream is not None


class PyanNet:
    """The segmentation network; holds weights only."""

    def __init__(self, weights: dict[str, np.ndarray]):
        """From tensors under their PyTorch names. Errors: KeyError naming a missing tensor."""

        def pair(name: str) -> tuple[Any, Any]:
            return mx.array(weights[f"{name}.weight"]), mx.array(weights[f"{name}.bias"])

        bank = "sincnet.conv1d.0.filterbank."
        self.filters = SincFilters(mx.array(sinc_filters(weights[bank + "low_hz_"], weights[bank + "band_hz_"])))
        self.wave_norm = pair("sincnet.wav_norm1d")
        self.norms = [pair(f"sincnet.norm1d.{i}") for i in range(3)]
        # PyTorch stores convolutions as (out, in, taps) and linear layers as (out, in)
        self.convs = [Conv(mx.swapaxes(w, 1, 2), b) for w, b in (pair(f"sincnet.conv1d.{i}") for i in (1, 2))]
        self.lstm = [LSTMWeights.from_torch(weights, layer) for layer in range(LSTM_LAYERS)]
        self.linears = [Conv(w[:, None], b) for w, b in map(pair, ("linear.0", "linear.1", "classifier"))]
        mx.eval([[conv.weight, conv.bias] for conv in self.convs + self.linears])

    def __call__(self, windows: Any) -> Any:
        """Log-probabilities of the 7 classes for each frame of each window.

        Shapes: (B, N) float32 samples, N at least 1261 -> (B, T, 7) float32; T = 589 for N = 160,000.
        """
        if windows.ndim != 2 or windows.shape[1] < MIN_SAMPLES:
            raise ValueError(f"expected windows (B, N) with N at least {MIN_SAMPLES}, got {tuple(windows.shape)}")
        # NumPy in, NumPy out: nothing is copied between the CPU kernels
        windows = np.asarray(windows, np.float32) if on_cpu_kernels() else mx.array(windows)
        scale, shift = normal_scale(windows, *self.wave_norm, NORM_EPS)
        return mx.array(self.classify(*sinc_pool(windows, self.filters, scale, shift)))

    def initial_window_state(self, hop_samples: int = HOP_SAMPLES, window_samples: int = WINDOW_SAMPLES) -> Any:
        """The state one stream keeps between windows for `window_step`; None on GPUs, where each is computed in full.

        Errors: ValueError for a hop that is not a multiple of 10 samples.
        """
        return sincnet_stream.initial_state(self.filters, window_samples, hop_samples) if on_cpu_kernels() else None

    def window_step(self, windows: Any, starts: Sequence[int], states: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        """`self(windows)` for the next window of each stream; the filterbank runs over the new samples only.

        Shapes: windows (B, N) float32; starts: each window's first sample, counted in its stream (negative before its
        beginning, where the window holds ordinary zeros); states: each stream's, from `initial_window_state`, updated
        in place -> log-probabilities (B, T, 7), states. A window may also jump elsewhere by a
        multiple of the hop.
        """
        if any(state is None for state in states):
            return self(windows), states
        raw = np.asarray(windows, np.float32)
        scales, shifts = normal_scale(raw, *self.wave_norm, NORM_EPS)
        bank = sincnet_stream.sinc_pool_step(raw, starts, scales, shifts, self.filters, states)
        return mx.array(self.classify(*bank)), states

    def initial_state(self, sums: Any = Sums()) -> CarriedState:  # noqa: B008  (never changed)
        """The state of a stream before its first sample, for `step`; `sums` sets how long the norms remember."""
        xp: Any = np if on_cpu_kernels() else mx
        widths = [*(conv.weight.shape[2] for conv in self.convs), self.lstm[0].w_ih.shape[2]]
        frames = tuple(xp.zeros((0, width), xp.float32) for width in widths)
        still = xp.zeros((LSTM_LAYERS, self.lstm[0].hidden), xp.float32)
        return CarriedState(xp.zeros(0, xp.float32), frames, (sums,) * 4, still, still)

    def expecting(self, wave: np.ndarray, sums: Any = Sums()) -> CarriedState:  # noqa: B008  (never changed)
        """`initial_state` with norms that have heard `wave`, (N,) at 16 kHz; nothing else is kept of it."""
        start = self.initial_state(sums)
        _, (heard,) = self.step(wave[None], [start])
        return replace(start, sums=heard.sums)

    def step(
        self, chunks: Any, states: Sequence[CarriedState], ahead_frames: int = 0
    ) -> tuple[Any, list[CarriedState]]:
        """Log-probabilities of every stream's next frames, except for the last `ahead_frames` of its audio.

        Those are held back as look-ahead for the backward direction and returned by the next step. A stream in one
        chunk without look-ahead equals `self(windows)`, whose norms have the same sums.

        Shapes: chunks (B, N) float32, each the next samples of its stream; states: each stream's, from
        `initial_state` or the last step -> (B, T, 7) float32, and the new states.
        Errors: ValueError for chunks too short for a frame, and for streams that kept parts of different lengths.
        """
        chunks = np.asarray(chunks, np.float32) if on_cpu_kernels() else mx.array(chunks)
        if chunks.ndim != 2 or states[0].frames_ready(chunks.shape[1]) <= ahead_frames:
            raise ValueError(
                f"expected chunks (B, N) that give frames beyond the look-ahead, got {tuple(chunks.shape)}"
            )
        new, samples = chunks.shape[1], join([state.samples for state in states], chunks)
        wave, scale, shift = wave_scale([state.sums[0] for state in states], chunks, *self.wave_norm, NORM_EPS)
        pooled, total, square = sinc_pool(samples, self.filters, scale, shift)
        sums, kept = [wave], [rows_of(samples, BANK_STEP_SAMPLES * pooled.shape[1])]
        for i in range(3):
            before = [state.sums[i + 1] for state in states]
            after, total, square = add_all(before, pooled.shape[1], total, square, new)
            sums.append(after)
            x = join([state.frames[i] for state in states], self.norm_leaky(pooled, total, square, i, own_sums=False))
            if i < 2:
                pooled, total, square = conv_pool(x, self.convs[i])
                kept.append(rows_of(x, POOL * pooled.shape[1]))
        y, h, c = self._carry(x, states, ahead_frames)
        kept.append(rows_of(x, x.shape[1] - ahead_frames))
        parts = zip(kept[0], zip(*kept[1:], strict=True), zip(*sums, strict=True), h, c, strict=True)
        return mx.array(self.head(y)), [CarriedState(*part) for part in parts]

    def _carry(self, x: Any, states: Sequence[CarriedState], ahead_frames: int) -> tuple[Any, list[Any], list[Any]]:
        """The LSTM layers over frames whose last ones are look-ahead: the others' outputs, and each stream's end state.

        Shapes: x (B, L + T, 60) -> (B, T, 256), h and c (layers, H) of each stream.
        """
        h, c = stack([state.h for state in states]), stack([state.c for state in states])
        xp: Any = np if isinstance(x, np.ndarray) else mx
        given, ends = x.shape[1] - ahead_frames, []
        for n, layer in enumerate(self.lstm):
            start = tuple(xp.stack([part[:, n], xp.zeros_like(part[:, n])], axis=1) for part in (h, c))
            y, end = bilstm(x, layer, start)
            if ahead_frames:  # the forward state is the one after the returned frames, not after the look-ahead
                _, end = bilstm(x[:, :given], layer, start)
            ends.append(end)
            x = y
        h, c = (xp.stack([end[part][:, 0] for end in ends], axis=1) for part in (0, 1))
        return x[:, :given], rows_of(h), rows_of(c)

    def classify(self, pooled: Any, total: Any, total_square: Any) -> Any:
        """The layers after the filterbank. Shapes: (B, T', 80), (B, 80), (B, 80) -> (B, T, 7) log-probabilities."""
        x = self.norm_leaky(pooled, total, total_square, 0)
        for i, conv in enumerate(self.convs):
            x = self.norm_leaky(*conv_pool(x, conv), i + 1)
        return self.head(self.recurrent(x))

    def norm_leaky(self, x: Any, total: Any, total_square: Any, i: int, own_sums: bool = True) -> Any:
        """The norm after pooling layer i, then leaky ReLU."""
        return instance_norm_leaky(x, total, total_square, *self.norms[i], NORM_EPS, LEAKY_SLOPE, own_sums)

    def recurrent(self, x: Any) -> Any:
        """The bidirectional LSTM layers. Shapes: (B, T, 60) -> (B, T, 256)."""
        for layer in self.lstm:
            x, _ = bilstm(x, layer)
        return x

    def head(self, x: Any) -> Any:
        """The linear layers. Shapes: (B, T, 256) -> (B, T, 7) log-probabilities."""
        for layer in self.linears[:-1]:
            x = linear_leaky(x, layer, LEAKY_SLOPE)
        return log_softmax(linear_leaky(x, self.linears[-1], 1.0))
