"""The front of CAM++: a small 2-D residual network over time and frequency, then a strided convolution over time.

Batch norm is folded into the weights. Frequency is halved three times, 80 -> 10, time once at the end. On the CPU the
3x3 convolutions read their input in place (`kernels/cpu/conv_plan.py`), without the nine copies of im2col.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .backend import mx, on_cpu

try:
    from .cpu import conv_plan as cpu
except ImportError:  # without numba
    cpu = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Affine:
    """Weight and bias, float32: a linear map (in, out), a convolution (out, taps..., in), or a scale and shift (C,)."""

    weight: np.ndarray
    bias: np.ndarray

    @cached_property
    def mlx(self) -> tuple[Any, Any]:
        return mx.array(self.weight), mx.array(self.bias)

    @cached_property
    def matrix(self) -> np.ndarray:
        """(taps and inputs, out)."""
        return self.weight if self.weight.ndim == 2 else self.weight.reshape(len(self.weight), -1).T


@dataclass(frozen=True)
class ResidualBlock:
    """Two 3x3 convolutions and a shortcut; if the shortcut is a 1x1 convolution, frequency is halved."""

    conv1: Affine
    conv2: Affine
    shortcut: Affine | None


@dataclass(frozen=True)
class ConvHead:
    """Weights: stem and squash are 3x3 convolutions (squash halves frequency), tdnn has 5 taps and stride 2 in time."""

    stem: Affine
    blocks: tuple[ResidualBlock, ...]
    squash: Affine
    tdnn: Affine

    @cached_property
    def packed(self) -> Any:
        """All weights in one array for the CPU."""
        plain = [self.stem, self.tdnn, *(block.shortcut for block in self.blocks if block.shortcut is not None)]
        three_taps = [self.squash, *(conv for block in self.blocks for conv in (block.conv1, block.conv2))]
        layers = [(layer.matrix, layer.bias) for layer in plain]
        return cpu.Packed(layers + [(cpu.fast(layer.matrix), layer.bias) for layer in three_taps])

    @cached_property
    def plan(self) -> Callable[[int, int], tuple[Any, Any]]:
        """Maps (steps, frequencies) to a plan and its result; cached, because crops have few distinct lengths."""
        return lru_cache(maxsize=256)(self._plan)

    def _plan(self, steps: int, frequencies: int) -> tuple[Any, Any]:
        plan = cpu.Plan(self.packed, steps, frequencies)
        x = plan.conv3x3(plan.features, self.stem.bias)
        for block in self.blocks:
            y = plan.conv3x3(x, block.conv1.bias, stride=1 if block.shortcut is None else 2)
            beside = x if block.shortcut is None else plan.pointwise(x, block.shortcut.bias)
            x = plan.conv3x3(y, block.conv2.bias, beside=beside)
        squashed = plan.conv3x3(x, self.squash.bias, stride=2, border=(2, 0))
        return plan, plan.over_time(squashed, self.tdnn.bias)


def conv_head_ops(features: Any, head: ConvHead) -> Any:
    """The reference. Shapes: (B, T, 80) -> (B, (T + 1) // 2, 128)."""
    x = _conv3x3_ops(features[..., None], head.stem)
    for block in head.blocks:
        if block.shortcut is None:
            x = _conv3x3_ops(_conv3x3_ops(x, block.conv1), block.conv2, beside=x)
        else:
            weight, bias = block.shortcut.mlx
            beside = mx.addmm(bias, x[:, :, ::2], weight)
            x = _conv3x3_ops(_conv3x3_ops(x, block.conv1, stride=2), block.conv2, beside)
    x = _conv3x3_ops(x, head.squash, stride=2)  # (B, T, 10, 32)
    weight, bias = head.tdnn.mlx
    return mx.maximum(mx.conv1d(x.reshape(*x.shape[:2], -1), weight, stride=2, padding=2) + bias, 0)


def conv_head(features: Any, head: ConvHead, use_kernel: bool = True) -> Any:
    """From the features of crops to the input of the dense blocks.

    Shapes:
        features: (B, T, 80) float32.
        returns: (B, (T + 1) // 2, 128) float32.
    `use_kernel=False` uses the reference ops.
    """
    if use_kernel and on_cpu() and cpu is not None:
        return mx.array(np.stack([_conv_head_cpu(crop, head) for crop in np.array(features)]))
    return conv_head_ops(features, head)


def _conv3x3_ops(x: Any, layer: Affine, beside: Any = None, stride: int = 1) -> Any:
    weight, bias = layer.mlx
    y = mx.conv2d(x, weight, stride=(1, stride), padding=1) + bias
    return mx.maximum(y if beside is None else y + beside, 0)


def _conv_head_cpu(features: np.ndarray, head: ConvHead) -> np.ndarray:
    plan, out = head.plan(*features.shape)
    result: np.ndarray = plan.run(features, out)
    return result
