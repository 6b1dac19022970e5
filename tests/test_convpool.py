"""Convolution and pooling, norms and linear layers on the CPU kernels equal plain array operations."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_checks import assert_equal, random_array

from turnstream.kernels.backend import mx
from turnstream.kernels.convpool import Conv, conv_pool, conv_pool_ops, instance_norm_leaky, linear_leaky, log_softmax


@pytest.mark.parametrize(("batch", "frames"), [(1, 7), (2, 8), (3, 36), (7, 50), (2, 5325)])
@pytest.mark.parametrize("channels", [(80, 60), (60, 60), (3, 5)])
def test_conv_pool_equals_the_reference(batch: int, frames: int, channels: tuple[int, int]) -> None:
    x, conv = (
        random_array(batch, frames, channels[0]),
        Conv(random_array(channels[1], 5, channels[0], seed=1), random_array(channels[1])),
    )
    expected = conv_pool_ops(x, conv)
    assert_equal(conv_pool(x, conv), expected)
    assert_equal(list(map(mx.array, conv_pool(np.array(x), conv))), expected)


@pytest.mark.parametrize("channels", [60, 80, 5])
def test_norm_of_sums_is_the_norm_of_the_values(channels: int) -> None:
    x = np.array(random_array(3, 700, channels)) + 3
    weight, bias = random_array(channels, seed=1), random_array(channels, seed=2)
    sums = x.sum(axis=1, dtype=np.float64), np.square(x, dtype=np.float64).sum(axis=1)
    y = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5) * np.array(
        weight
    ) + np.array(bias)
    expected = np.where(y > 0, y, 0.01 * y)
    np.testing.assert_allclose(instance_norm_leaky(x, *sums, weight, bias, 1e-5, 0.01), expected, atol=2e-5)
    on_mlx = instance_norm_leaky(mx.array(x), *map(mx.array, sums), weight, bias, 1e-5, 0.01)
    np.testing.assert_allclose(np.array(on_mlx), expected, atol=2e-4)


def test_a_constant_channel_becomes_its_bias_exactly() -> None:
    x = np.full((1, 333, 16), 0.1, np.float32)
    value = np.float64(np.float32(0.1))
    total, square = np.full((1, 16), 333 * value), np.full((1, 16), 333 * value * value)
    bias = random_array(16)
    y = instance_norm_leaky(x, total, square, mx.full((16,), 1e3), bias, 1e-5, 1.0)
    np.testing.assert_array_equal(y, np.broadcast_to(np.array(bias), y.shape))


@pytest.mark.parametrize("slope", [0.01, 1.0])
@pytest.mark.parametrize("sizes", [(256, 128), (128, 7), (5, 3)])
def test_linear_layer(sizes: tuple[int, int], slope: float) -> None:
    x, layer = random_array(2, 589, sizes[0]), Conv(random_array(sizes[1], 1, sizes[0], seed=1), random_array(sizes[1]))
    y = np.array(x) @ np.array(layer.weight[:, 0]).T + np.array(layer.bias)
    expected = [np.where(y > 0, y, np.float32(slope) * y)]
    assert_equal([mx.array(linear_leaky(np.array(x), layer, slope))], expected)
    assert_equal([linear_leaky(x, layer, slope)], expected)


def test_log_softmax_holds_for_large_values() -> None:
    x = np.array([[1000.0, 1001.0, 999.0]], np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(x)).sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(log_softmax(x), np.array(log_softmax(mx.array(x))), atol=1e-5)


def test_too_few_frames_are_named() -> None:
    conv = Conv(random_array(60, 5, 80), random_array(60))
    with pytest.raises(ValueError, match=r"expected x \(B, T, 80\) with T at least 7, got \(1, 6, 80\)"):
        conv_pool(mx.zeros((1, 6, 80)), conv)
