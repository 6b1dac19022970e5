"""The forms that the dense blocks' reference takes on a GPU equal the plain formulas, by float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from turnstream.kernels.backend import mx
from turnstream.kernels.conv_head import Affine
from turnstream.kernels.dense_tdnn import DenseBlock, DenseLayer, dense_block_ops, rectified
from turnstream.kernels.sizes import MASK_STEPS

RELATIVE = 1e-5  # of the largest value

random = np.random.default_rng(3)


def values(*shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


def close(ours: object, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.array(ours), expected, rtol=0, atol=RELATIVE * np.abs(expected).max())


def linear(x: np.ndarray, layer: Affine) -> np.ndarray:
    return x @ layer.weight.astype(np.float64) + layer.bias


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


@pytest.mark.parametrize("scales", ["positive", "negative", "of both signs", "with zeros"])
def test_a_folded_norm_is_norm_relu_and_product(scales: str) -> None:
    scale, shift, layer, x = values(40), 3 * values(40), Affine(values(40, 24), values(24)), values(2, 50, 40)
    scale = {"positive": np.abs(scale), "negative": -np.abs(scale)}.get(scales, scale)
    scale[:5] = 0 if scales == "with zeros" else scale[:5]
    expected = linear(relu(x.astype(np.float64) * scale + shift), layer)
    folded = rectified(Affine(scale, shift), layer)
    close(folded(mx.array(x)), expected)
    assert (folded.low is None) == (scales == "negative")
    assert (folded.high is None) == (scales == "positive")


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 250])
def test_one_layer_is_its_formula(steps: int) -> None:
    norm, local, x = Affine(values(64), values(64)), values(32, 3, 128) / 20, values(1, steps, 64)
    layer = DenseLayer(norm, Affine(values(64, 128) / 8, values(128)), local,
                       Affine(values(128, 64) / 11, values(64)), Affine(values(64, 32) / 8, values(32)))  # fmt: skip
    same = Affine(np.ones(96, np.float32), np.full(96, 1e3, np.float32))  # no ReLU, which is not asked about here
    transit = Affine(np.eye(96, dtype=np.float32), np.full(96, -1e3, np.float32))
    out = dense_block_ops(mx.array(x), DenseBlock((layer,), 1, same, transit, rectified=False))

    h = relu(linear(relu(x[0].astype(np.float64) * norm.weight + norm.bias), layer.squeeze))
    padded = np.concatenate([np.zeros((1, 128)), h, np.zeros((1, 128))])
    convolved = sum(padded[tap : tap + steps] @ local[:, tap].T.astype(np.float64) for tap in range(3))
    means = [h[at - at % MASK_STEPS :][:MASK_STEPS].mean(axis=0) + h.mean(axis=0) for at in range(steps)]
    mask = 1 / (1 + np.exp(-linear(relu(linear(np.stack(means), layer.context)), layer.mask)))
    expected = np.concatenate([x[0], convolved * mask], axis=1)
    np.testing.assert_allclose(np.array(out)[0], expected, rtol=0, atol=1e-3)  # 1e3 costs digits
