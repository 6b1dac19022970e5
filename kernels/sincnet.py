"""SincNet's first layer as one operation: waveform -> filterbank -> |.| -> max over 3 -> sums for the norm.

Ravanelli & Bengio, "Speaker recognition from raw waveform with SincNet" (2018), with the sine halves of
Pariente et al., "Filterbank design for end-to-end speech separation" (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .backend import like, mx, on_cpu
from .gpu import sincnet as gpu
from .sizes import POOL, SINC_STRIDE, SINC_TAPS
from .sums import time_sum

try:
    from .cpu import sincnet as cpu
except ImportError:  # without numba
    cpu = None  # type: ignore[assignment]

MIN_LOW_HZ = 50.0
MIN_BAND_HZ = 50.0


def sinc_filters(low_hz: np.ndarray, band_hz: np.ndarray, rate_hz: int = 16_000) -> np.ndarray:
    """The filterbank of learned cutoff frequencies: Hamming-windowed band-pass filters, cosine (even), then sine (odd).

    Shapes: low_hz and band_hz (F, 1) float32 -> (2F, 251) float32. Computed in float32 as asteroid-filterbanks does.
    """
    low = np.float32(MIN_LOW_HZ) + np.abs(low_hz)
    high = np.clip(low + np.float32(MIN_BAND_HZ) + np.abs(band_hz), MIN_LOW_HZ, rate_hz / 2).astype(np.float32)
    half = SINC_TAPS // 2
    angle = np.arange(-half, 0, dtype=np.float32) / np.float32(rate_hz) * np.float32(2 * np.pi)  # (125,)
    window = np.hamming(SINC_TAPS)[:half].astype(np.float32)
    even = (np.sin(high * angle) - np.sin(low * angle)) / (angle / 2) * window  # (F, 125)
    odd = (np.cos(low * angle) - np.cos(high * angle)) / (angle / 2) * window
    band = high - low
    cosine = np.concatenate([even, 2 * band, even[:, ::-1]], axis=1)
    sine = np.concatenate([odd, np.zeros_like(band), -odd[:, ::-1]], axis=1)
    filters: np.ndarray = np.concatenate([cosine, sine]) / np.tile(2 * band, (2, 1))
    return filters.astype(np.float32)


@dataclass(frozen=True)
class SincFilters:
    """The filterbank (C, 251) float32, and the forms of it that the kernels use, computed once."""

    taps: Any

    @cached_property
    def packed(self) -> np.ndarray:
        """The filters in the CPU body's layout."""
        return cpu.pack_filters(np.asarray(self.taps))

    @cached_property
    def response(self) -> np.ndarray:
        """Response of each filter to a constant input of 1. Shapes: (C,) float64."""
        response: np.ndarray = np.asarray(self.taps).sum(axis=1, dtype=np.float64)
        return response

    @cached_property
    def gpu_packed(self) -> Any:
        """The filters in the GPU bodies' layout."""
        return gpu.pack(self.taps)


def sinc_pool_ops(x: Any, filters: Any) -> tuple[Any, Any, Any]:
    """The reference: convolution, absolute value, pooling and sums as plain array operations.

    The first sample is filtered apart, so that silence gives a constant (see `conv_pool_ops`).
    """
    first = x[:, :1, None]
    moving = mx.conv1d(x[:, :, None] - first, filters[:, :, None], stride=SINC_STRIDE)
    bank = mx.abs(moving + first * filters.sum(axis=1))  # (B, N/10, C)
    batch, steps, channels = bank.shape
    frames = steps // POOL
    pooled = bank[:, : frames * POOL].reshape(batch, frames, POOL, channels).max(axis=2)
    return pooled, time_sum(pooled), time_sum(mx.square(pooled))


def sinc_pool(
    x: Any, filters: Any, scale: Any = None, shift: Any = None, use_kernel: bool = True
) -> tuple[Any, Any, Any]:
    """|filterbank| of waveforms * scale + shift, its maxima over 3 steps, and the sums that the norm over time needs.

    Shapes:
        x: (B, N) float32 waveforms, N at least 271. A NumPy array (on the CPU) gives NumPy arrays, sums in float64.
        filters: (C, 251) float32, or SincFilters, which are prepared only once.
        scale, shift: (B,), by default 1 and 0.
        returns pooled (B, T, C), its sum over time (B, C), the sum of its squares (B, C), with
        T = ((N - 251) // 10 + 1) // 3.
    `use_kernel=False` uses the reference ops. Errors: ValueError if x is too short.
    """
    if x.ndim != 2 or x.shape[1] < SINC_TAPS + (POOL - 1) * SINC_STRIDE:
        raise ValueError(
            f"expected x (B, N) with N at least {SINC_TAPS + (POOL - 1) * SINC_STRIDE}, got {tuple(x.shape)}"
        )
    bank = filters if isinstance(filters, SincFilters) else SincFilters(filters)
    if use_kernel and on_cpu() and cpu is not None:
        ones, zeros = np.ones(x.shape[0]), np.zeros(x.shape[0])
        rescale = ones if scale is None else scale, zeros if shift is None else shift
        pooled, total, square = cpu.sinc_pool_cpu(x, bank, *rescale, SINC_STRIDE)
        return like(x, pooled), like(x, total), like(x, square)
    if scale is not None:
        x = x * scale[:, None] + shift[:, None]
    kernel = gpu.body(x, bank.taps.shape, SINC_STRIDE, POOL) if use_kernel else None
    if kernel is not None:
        return gpu.sinc_pool(kernel, x, bank, SINC_STRIDE, POOL)
    return sinc_pool_ops(x, bank.taps)
