"""A densely connected TDNN block with context-aware masking (D-TDNN, CAM++), and the transit layer after it.

Each layer sees the channels of all layers before it and adds 32: batch norm, ReLU, a linear map to 128, ReLU, then a
dilated convolution times a mask. The mask (Wang et al. 2023, section 2.3) is a small network over the mean of the whole
crop plus the mean of the segment of 100 steps, so it is computed once per segment, not at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .backend import mx, on_cpu
from .conv_head import Affine
from .sizes import MASK_STEPS

try:
    from .cpu import camplusplus as camplusplus_cpu
    from .cpu import team, tile
except ImportError:  # without numba
    tile = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Rectified:
    """Norm, ReLU and linear layer as a linear layer over x within [low, high]; None is no limit. MLX arrays."""

    low: Any
    high: Any
    weight: Any
    bias: Any

    def __call__(self, x: Any) -> Any:
        """Shapes: (..., C) -> (..., C')."""
        x = x if self.low is None else mx.maximum(x, self.low)
        x = x if self.high is None else mx.minimum(x, self.high)
        return mx.addmm(self.bias, x, self.weight)


def rectified(norm: Affine, layer: Affine) -> Rectified:
    """The norm folded into the layer: max(s x + b, 0) is s max(x, -b / s) + b, or with min for a negative s.

    A GPU pays for each operation it starts, and this leaves one of three before the product.
    """
    scale, shift, weight = (part.astype(np.float64) for part in (norm.weight, norm.bias, layer.weight))
    knee = -shift / np.where(scale == 0, 1, scale)
    low, high = np.where(scale > 0, knee, -np.inf), np.where(scale < 0, knee, np.inf)
    constant = np.where(scale == 0, np.maximum(shift, 0), shift)
    parts = scale[:, None] * weight, constant @ weight + layer.bias
    limits = [mx.array(limit.astype(np.float32)) if np.isfinite(limit).any() else None for limit in (low, high)]
    return Rectified(*limits, *(mx.array(part.astype(np.float32)) for part in parts))


@dataclass(frozen=True)
class DenseLayer:
    """norm: input scale and shift (C,); squeeze (C, 128); local (32, 3, 128); context (128, 64); mask (64, 32)."""

    norm: Affine
    squeeze: Affine
    local: np.ndarray
    context: Affine
    mask: Affine

    @cached_property
    def mlx_squeeze(self) -> Rectified:
        return rectified(self.norm, self.squeeze)

    @cached_property
    def mlx_local(self) -> Any:
        return mx.array(self.local)


@dataclass(frozen=True)
class DenseBlock:
    """The layers, then the transit layer: norm (C,), ReLU, a linear map (C, C'), and a ReLU if `rectified`."""

    layers: tuple[DenseLayer, ...]
    dilation: int
    transit_norm: Affine
    transit: Affine
    rectified: bool

    @cached_property
    def mlx_transit(self) -> Rectified:
        return rectified(self.transit_norm, self.transit)

    @cached_property
    def packed(self) -> tuple[np.ndarray, ...]:
        """All layers for the CPU: one array per kind of weight, as `camplusplus_cpu.dense_block` expects them."""
        layers = self.layers
        norms = [layer.norm for layer in layers] + [self.transit_norm]
        return (
            np.concatenate([norm.weight for norm in norms]),
            np.concatenate([norm.bias for norm in norms]),
            tile.aligned_copy(np.concatenate([tile.pack(layer.squeeze.weight).ravel() for layer in layers])),
            tile.aligned_copy(np.stack([layer.squeeze.bias for layer in layers])),
            tile.aligned_copy(np.stack([tile.pack(layer.local.reshape(len(layer.local), -1).T) for layer in layers])),
            *(np.stack([getattr(layer.context, part) for layer in layers]) for part in ("weight", "bias")),
            *(np.stack([getattr(layer.mask, part) for layer in layers]) for part in ("weight", "bias")),
            tile.pack(self.transit.weight),
            tile.aligned_copy(self.transit.bias),
        )


def dense_block_ops(x: Any, block: DenseBlock) -> Any:
    """The reference ops. Shapes: (B, T, C) -> (B, T, C')."""
    for layer in block.layers:
        x = mx.concatenate([x, _dense_layer_ops(x, layer, block.dilation)], axis=-1)
    x = block.mlx_transit(x)
    return mx.maximum(x, 0) if block.rectified else x


def dense_block(x: Any, block: DenseBlock, use_kernel: bool = True) -> Any:
    """One block over a batch of crops.

    Shapes:
        x: (B, T, C) float32, steps of 20 ms.
        returns: (B, T, C') float32.
    `use_kernel=False` uses the reference ops.
    """
    if use_kernel and on_cpu() and tile is not None:
        return mx.array(np.stack([_dense_block_cpu(crop, block) for crop in np.array(x)]))
    return dense_block_ops(x, block)


def _dense_layer_ops(x: Any, layer: DenseLayer, dilation: int) -> Any:
    """The channels one layer adds. Shapes: (B, T, C) -> (B, T, 32)."""
    h = mx.maximum(layer.mlx_squeeze(x), 0)  # (B, T, 128)
    local = mx.conv1d(h, layer.mlx_local, padding=dilation, dilation=dilation)
    means, segment_of_step = _segments(h.shape[1], MASK_STEPS)
    mask = mx.sigmoid(_linear(mx.maximum(_linear(means @ h, layer.context), 0), layer.mask))  # (B, S, 32)
    return local * (mask if mask.shape[1] == 1 else mx.take(mask, segment_of_step, axis=1))


@lru_cache(maxsize=256)
def _segments(steps: int, segment: int) -> tuple[Any, Any]:
    """Each segment's mean plus the mean of all steps, as weights (S, T) of the steps; and the segment of each step."""
    of_step = np.arange(steps) // segment
    members = of_step == np.arange(of_step[-1] + 1)[:, None]
    means = members / members.sum(axis=1, keepdims=True) + 1 / steps
    return mx.array(means.astype(np.float32)), mx.array(of_step.astype(np.int32))


def _linear(x: Any, layer: Affine) -> Any:
    weight, bias = layer.mlx
    return mx.addmm(bias, x, weight)


def _dense_block_cpu(x: np.ndarray, block: DenseBlock) -> np.ndarray:
    steps, channels = x.shape
    rows = tile.round_up(steps)
    filled = tile.aligned((rows, len(block.transit_norm.bias)))
    filled[:steps, :channels] = x
    out = tile.aligned((rows, len(block.transit.bias)))
    h = tile.aligned((2, rows + 2 * block.dilation, len(block.layers[0].squeeze.bias)))
    sizes = (steps, block.dilation, int(block.rectified))
    team.run(camplusplus_cpu.dense_block, len(block.layers) + 1, filled, *sizes, *block.packed, h, out, tile.NOTHING)
    return out[:steps]
