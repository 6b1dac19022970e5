"""CAM++ in MLX: from filterbank features of one person's overlap-free speech to a 192-d speaker embedding.

Architecture: Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
Interspeech 2023; weights: 3D-Speaker's zh-en common model. Everything is channels-last, and batch norm is folded into
the preceding convolution where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from turnstream.kernels.backend import mx
from turnstream.kernels.conv_head import Affine, ConvHead, ResidualBlock, conv_head
from turnstream.kernels.dense_tdnn import DenseBlock, DenseLayer, dense_block

from ..audio.fbank import MEL_BINS, FbankStream, fbank, rows_of_frames
from ..errors import AudioError, WeightsError
from ..limits import EMBEDDING_SIZE
from ..weights.manifest import DENSE_LAYERS, HEAD_CHANNELS

__all__ = ["EMBEDDING_SIZE", "MIN_ROWS", "CamPlusPlus", "FbankStream", "fbank", "rows_of_frames"]

MIN_ROWS = 3  # the standard deviation needs two steps, and the first TDNN layer halves the rate
BATCH_NORM_EPS = 1e-5
DILATIONS = (1, 2, 2)  # of the three dense blocks
BLOCKS = tuple(zip(DENSE_LAYERS, DILATIONS, strict=True))


class CamPlusPlus:
    """The CAM++ network; holds weights only."""

    def __init__(self, weights: dict[str, np.ndarray]):
        """From tensors under their PyTorch names; raises WeightsError if one is missing."""
        checkpoint = _Checkpoint(weights)
        self.head = checkpoint.head()
        self.blocks = [checkpoint.dense_block(number, *size) for number, size in enumerate(BLOCKS, 1)]
        self.dense = checkpoint.dense()

    def __call__(self, features: Any, use_kernel: bool = True) -> Any:
        """Embeddings of a batch of crops of equal length, not normalized.

        Shapes:
            features: (B, T, 80) float32 log mel energies minus their mean over the crop, T >= MIN_ROWS.
            returns: (B, 192) float32.
        """
        x = conv_head(features, self.head, use_kernel)  # (B, T / 2, 128)
        for block in self.blocks:
            x = dense_block(x, block, use_kernel)  # (B, T / 2, 256), then 512, 512
        weight, bias = self.dense.mlx
        return _statistics(x) @ weight + bias

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Unit-norm embeddings of crops of any lengths, which a GPU computes in one evaluation.

        Shapes:
            crops: each (T, 80) float32 log mel energies, as FbankStream returns them.
            returns: (crops, 192) float32.
        Raises AudioError for fewer than MIN_ROWS rows.
        """
        vectors = [self._embed_crop(rows) for rows in crops]
        mx.eval(vectors)
        return np.stack([_unit(np.array(vector)) for vector in vectors])

    def embed_rows(self, rows: np.ndarray) -> np.ndarray:
        """`embed` of one crop. Shapes: (T, 80) -> (192,)."""
        unit: np.ndarray = self.embed([rows])[0]
        return unit

    def _embed_crop(self, rows: np.ndarray) -> Any:
        if rows.ndim != 2 or rows.shape[1] != MEL_BINS:
            raise AudioError(f"expected feature rows of {MEL_BINS} values, got an array of shape {rows.shape}")
        if len(rows) < MIN_ROWS:
            raise AudioError(f"an embedding needs at least {MIN_ROWS} feature rows, got {len(rows)}")
        centered = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        return self(mx.array(centered[None]))[0]


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.float32(max(float(np.linalg.norm(vector)), 1e-12))
    return unit


def _statistics(x: Any) -> Any:
    """Mean and unbiased standard deviation over time. Shapes: (B, T, C) -> (B, 2 C)."""
    return mx.concatenate([x.mean(axis=1), mx.sqrt(x.var(axis=1, ddof=1))], axis=-1)


class _Checkpoint:
    """PyTorch tensors by name, converted to channels-last layers with batch norm folded in."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self._weights = weights

    def head(self) -> ConvHead:
        blocks = tuple(self._residual_block(f"head.layer{stage}.{block}") for stage in (1, 2) for block in (0, 1))
        stem, squash = (self._conv2d(f"head.conv{i}", f"head.bn{i}") for i in (1, 2))
        return ConvHead(stem, blocks, squash, self._tdnn())

    def dense_block(self, number: int, layers: int, dilation: int) -> DenseBlock:
        names = (f"xvector.block{number}.tdnnd{i + 1}" for i in range(layers))
        norm = _affine(*self._norm(f"xvector.transit{number}.nonlinear.batchnorm"))
        weight = self._pointwise(f"xvector.transit{number}.linear")
        last = number == len(BLOCKS)  # the norm and ReLU that follow are folded into its transit layer
        scale, shift = self._norm("xvector.out_nonlinear.batchnorm") if last else (1.0, np.zeros(weight.shape[1]))
        transit = _affine(weight * scale, shift)
        return DenseBlock(tuple(map(self._dense_layer, names)), dilation, norm, transit, rectified=last)

    def dense(self) -> Affine:
        scale, shift = self._norm("xvector.dense.nonlinear.batchnorm", affine=False)
        return _affine(self._pointwise("xvector.dense.linear") * scale, shift)

    def _take(self, name: str) -> np.ndarray:
        if name not in self._weights:
            raise WeightsError(f"not the weights of CAM++: tensor {name} is missing")
        return np.asarray(self._weights[name], dtype=np.float64)

    def _norm(self, name: str, affine: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift equivalent to a batch norm at inference."""
        scale = 1 / np.sqrt(self._take(f"{name}.running_var") + BATCH_NORM_EPS)
        if affine:
            scale = scale * self._take(f"{name}.weight")
        shift = -self._take(f"{name}.running_mean") * scale
        return scale, shift + self._take(f"{name}.bias") if affine else shift

    def _conv2d(self, conv: str, norm: str) -> Affine:
        scale, shift = self._norm(norm)
        weight = self._take(f"{conv}.weight").transpose(0, 3, 2, 1)  # (out, time, frequency, in)
        return _affine(weight * scale[:, None, None, None], shift)

    def _residual_block(self, name: str) -> ResidualBlock:
        conv1, conv2 = (self._conv2d(f"{name}.conv{i}", f"{name}.bn{i}") for i in (1, 2))
        if f"{name}.shortcut.0.weight" not in self._weights:
            return ResidualBlock(conv1, conv2, None)
        scale, shift = self._norm(f"{name}.shortcut.1")
        return ResidualBlock(
            conv1, conv2, _affine(self._take(f"{name}.shortcut.0.weight")[:, :, 0, 0].T * scale, shift)
        )

    def _tdnn(self) -> Affine:
        scale, shift = self._norm("xvector.tdnn.nonlinear.batchnorm")
        weight = self._take("xvector.tdnn.linear.weight")  # (out, channel * frequency, taps)
        out, inputs, taps = weight.shape
        weight = weight.reshape(out, HEAD_CHANNELS, -1, taps).transpose(0, 3, 2, 1).reshape(out, taps, inputs)
        return _affine(weight * scale[:, None, None], shift)

    def _dense_layer(self, name: str) -> DenseLayer:
        scale, shift = self._norm(f"{name}.nonlinear2.batchnorm")
        return DenseLayer(
            norm=_affine(*self._norm(f"{name}.nonlinear1.batchnorm")),
            squeeze=_affine(self._pointwise(f"{name}.linear1") * scale, shift),
            local=_float32(self._take(f"{name}.cam_layer.linear_local.weight").transpose(0, 2, 1)),
            context=self._biased(f"{name}.cam_layer.linear1"),
            mask=self._biased(f"{name}.cam_layer.linear2"),
        )

    def _pointwise(self, name: str) -> np.ndarray:
        return self._take(f"{name}.weight")[:, :, 0].T

    def _biased(self, name: str) -> Affine:
        return _affine(self._pointwise(name), self._take(f"{name}.bias"))


def _float32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)


def _affine(weight: np.ndarray, bias: np.ndarray) -> Affine:
    return Affine(_float32(weight), _float32(bias))
