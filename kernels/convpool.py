"""The layers after the filterbank in SincNet: norm and leaky ReLU, convolution and pooling; and the linear layers.

A pooled array comes with its sums over time, so that the norm needs no separate pass. NumPy arrays in give NumPy arrays
out, so that on the CPU nothing is copied between two operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .backend import like, mx, on_cpu
from .sizes import CONV_TAPS, POOL
from .sums import time_sum

try:
    from .cpu import convpool as cpu
except ImportError:  # without numba
    cpu = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Conv:
    """A convolution over time; a linear layer if it has one tap. Shapes: weight (C', taps, C), bias (C',), float32."""

    weight: Any
    bias: Any

    @cached_property
    def packed(self) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = np.asarray(self.weight), np.asarray(self.bias)
        return cpu.pack_linear(weight[:, 0], bias) if weight.shape[1] == 1 else cpu.pack_conv(weight, bias)


def instance_norm_leaky(
    x: Any, total: Any, total_square: Any, weight: Any, bias: Any, eps: float, slope: float, own_sums: bool = True
) -> Any:
    """Normalize each channel over time to mean `bias` and deviation `weight`, then apply leaky ReLU.

    Shapes: x (B, T, C), the sums over time of x and of its squares (B, C), weight and bias (C,) -> (B, T, C).
    `own_sums`: whether the sums are those of this x and not of what a stream has heard. Then MLX, whose sums are
    float32, takes mean and variance from x in two passes: such sums keep nothing of a channel that hardly changes.
    """
    if isinstance(x, np.ndarray):
        mean = total / x.shape[1]
        variance = np.maximum(total_square / x.shape[1] - mean * mean, 0.0)
        scale = np.asarray(weight) / np.sqrt(variance + eps)
        return cpu.norm_leaky_cpu(x, mean, scale, np.asarray(bias), slope)
    if own_sums:
        centered = x - x[:, :1]  # exactly zero in a constant channel
        centered = centered - (time_sum(centered) / x.shape[1])[:, None]
        variance = time_sum(mx.square(centered)) / x.shape[1]
    else:
        mean = total / x.shape[1]
        centered = x - mean[:, None]
        variance = mx.maximum(total_square / x.shape[1] - mean * mean, 0.0)
    y = centered * (weight / mx.sqrt(variance + eps))[:, None] + bias
    return mx.maximum(y, slope * y)


def conv_pool_ops(x: Any, conv: Conv) -> tuple[Any, Any, Any]:
    """The reference: convolution, pooling and sums as plain array operations.

    The first frame is taken off and added after the convolution: what does not change over time then gives outputs that
    do not, in whatever order a device adds. The norm would divide their rounding by a deviation of zero.
    """
    first = x[:, :1]
    y = mx.conv1d(x - first, conv.weight) + (first @ conv.weight.sum(axis=1).T + conv.bias)
    batch, frames, channels = y.shape
    frames //= POOL
    y = y[:, : frames * POOL].reshape(batch, frames, POOL, channels).max(axis=2)
    return y, time_sum(y), time_sum(mx.square(y))


def conv_pool(x: Any, conv: Conv, use_kernel: bool = True) -> tuple[Any, Any, Any]:
    """A convolution over frames, the maxima over 3 frames, and the sums over time of them and of their squares.

    Shapes: x (B, T, C) float32 -> (B, T', C'), (B, C'), (B, C') with T' = (T - taps + 1) // 3, T at least taps + 2.
    `use_kernel=False` uses the reference ops. Errors: ValueError if x is too short.
    """
    channels, taps, depth = conv.weight.shape
    if x.ndim != 3 or x.shape[1] < taps + POOL - 1 or x.shape[2] != depth:
        raise ValueError(f"expected x (B, T, {depth}) with T at least {taps + POOL - 1}, got {tuple(x.shape)}")
    if use_kernel and on_cpu() and cpu is not None and taps == CONV_TAPS:
        pooled, total, square = cpu.conv_pool_cpu(x, conv.packed, channels)
        return like(x, pooled), like(x, total), like(x, square)
    return conv_pool_ops(x, conv)


def linear_leaky(x: Any, layer: Conv, slope: float) -> Any:
    """A linear layer, then leaky ReLU; slope 1 is no activation. Shapes: x (B, T, C) -> (B, T, C')."""
    if isinstance(x, np.ndarray):
        return cpu.linear_cpu(x, layer.packed, layer.weight.shape[0], slope)
    y = x @ layer.weight[:, 0].T + layer.bias
    return mx.maximum(y, slope * y)


def log_softmax(x: Any) -> Any:
    """Logarithm of the softmax over the last axis."""
    x = x - x.max(axis=-1, keepdims=True)
    if isinstance(x, np.ndarray):
        return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return x - mx.logsumexp(x, axis=-1, keepdims=True)


def normal_scale(waves: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any]:
    """Scale and shift that give each waveform mean `bias` and deviation `weight`. Shapes: (B, N) -> (B,), (B,)."""
    if isinstance(waves, np.ndarray):
        mean, variance = cpu.moments(waves)
        scale = float(weight.item()) / np.sqrt(variance + eps)
        return scale, float(bias.item()) - mean * scale
    mean = time_sum(waves) / waves.shape[1]
    variance = time_sum(mx.square(waves - mean[:, None])) / waves.shape[1]
    scale = weight / mx.sqrt(variance + eps)
    return scale, bias - mean * scale
