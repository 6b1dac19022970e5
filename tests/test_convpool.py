"""Convolution and pooling, norms and linear layers on the CPU kernels equal plain array operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernel_checks import as_given, assert_equal, random_array

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
    assert_equal(list(map(mx.array, conv_pool(as_given(x), conv))), expected)


@pytest.mark.parametrize("channels", [60, 80, 5])
def test_norm_of_sums_is_the_norm_of_the_values(channels: int) -> None:
    x = np.array(random_array(3, 700, channels)) + 3
    weight, bias = random_array(channels, seed=1), random_array(channels, seed=2)
    sums = x.sum(axis=1, dtype=np.float64), np.square(x, dtype=np.float64).sum(axis=1)
    y = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5) * np.array(
        weight
    ) + np.array(bias)
    expected = np.where(y > 0, y, 0.01 * y)
    given = [as_given(part) for part in (x, *sums)]
    np.testing.assert_allclose(instance_norm_leaky(*given, weight, bias, 1e-5, 0.01), expected, atol=2e-5)
    on_mlx = [mx.array(part) for part in (x, *sums)]
    for own_sums, bound in ((True, 2e-5), (False, 2e-4)):
        y = instance_norm_leaky(*on_mlx, weight, bias, 1e-5, 0.01, own_sums)
        np.testing.assert_allclose(np.array(y), expected, atol=bound)


@pytest.mark.parametrize("array", [as_given, mx.array], ids=["as given", "MLX"])
def test_a_constant_channel_becomes_its_bias_exactly(array: Callable[[Any], Any]) -> None:
    x = np.full((1, 333, 16), 0.1, np.float32)
    value = np.float64(np.float32(0.1))
    total, square = np.full((1, 16), 333 * value), np.full((1, 16), 333 * value * value)
    bias = random_array(16)
    y = np.array(instance_norm_leaky(*map(array, (x, total, square)), mx.full((16,), 1e3), bias, 1e-5, 1.0))
    np.testing.assert_array_equal(y, np.broadcast_to(np.array(bias), y.shape))


def test_the_variance_of_a_channel_that_hardly_changes_keeps_its_digits() -> None:
    """By float64; the mean of the squares minus the square of the mean would lose it in float32."""
    x = 50 + 1e-3 * np.array(random_array(1, 5325, 8), np.float64)
    x = x.astype(np.float32).astype(np.float64)
    expected = (x - x.mean(axis=1)) / np.sqrt(x.var(axis=1) + 1e-5)
    sums = mx.array(x.sum(axis=1)), mx.array(np.square(x).sum(axis=1))
    y = instance_norm_leaky(mx.array(x.astype(np.float32)), *sums, mx.ones(8), mx.zeros(8), 1e-5, 1.0)
    np.testing.assert_allclose(np.array(y), expected, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.0453264, -4.0])
def test_the_convolution_of_what_does_not_change_does_not_change(value: float) -> None:
    """To the last bit, however a device adds: the norm divides what is left by a deviation of zero."""
    conv = Conv(random_array(60, 5, 80), random_array(60))
    pooled = np.array(conv_pool_ops(mx.full((1, 500, 80), value), conv)[0])
    assert (pooled == pooled[:, :1]).all()
    expected = value * np.array(conv.weight, np.float64).sum(axis=(1, 2)) + np.array(conv.bias)
    np.testing.assert_allclose(pooled[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("slope", [0.01, 1.0])
@pytest.mark.parametrize("sizes", [(256, 128), (128, 7), (5, 3)])
def test_linear_layer(sizes: tuple[int, int], slope: float) -> None:
    x, layer = random_array(2, 589, sizes[0]), Conv(random_array(sizes[1], 1, sizes[0], seed=1), random_array(sizes[1]))
    y = np.array(x) @ np.array(layer.weight[:, 0]).T + np.array(layer.bias)
    expected = [np.where(y > 0, y, np.float32(slope) * y)]
    assert_equal([mx.array(linear_leaky(as_given(x), layer, slope))], expected)
    assert_equal([linear_leaky(x, layer, slope)], expected)


def test_log_softmax_holds_for_large_values() -> None:
    x = np.array([[1000.0, 1001.0, 999.0]], np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(x)).sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(log_softmax(x), np.array(log_softmax(mx.array(x))), atol=1e-5)


def test_too_few_frames_are_named() -> None:
    conv = Conv(random_array(60, 5, 80), random_array(60))
    with pytest.raises(ValueError, match=r"expected x \(B, T, 80\) with T at least 7, got \(1, 6, 80\)"):
        conv_pool(mx.zeros((1, 6, 80)), conv)
