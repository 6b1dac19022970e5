"""Minimal filters equal the sums they stand for, in float64, and their error in float32 is as small as theirs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU kernels need it")

from turnstream.kernels.cpu.simd import LANES
from turnstream.kernels.cpu.winograd import POINTS, PRODUCTS, transform_inputs, transform_taps


def outputs(products: np.ndarray, count: int) -> np.ndarray:
    """The outputs of one block, of its six products: (6, ...) -> (count, ...)."""
    powers = np.array([[float(point) ** k for point in POINTS] for k in range(count)])
    y = np.tensordot(powers, products[:-1], axes=1)
    y[-1] += products[-1]
    return y


@pytest.mark.parametrize(("taps", "count"), [(3, 4), (5, 2)])
@pytest.mark.parametrize("channels", [1, LANES, 3 * LANES])
def test_six_products_are_the_convolution(taps: int, count: int, channels: int) -> None:
    random = np.random.default_rng(taps)
    row = -(-channels // LANES) * LANES
    x = random.standard_normal((1 + PRODUCTS, row)).astype(np.float32)
    weight = random.standard_normal((taps, channels)).astype(np.float32)
    sums = np.full((2, PRODUCTS, row), np.nan, np.float32)
    transform_inputs(x.reshape(-1), row, row, channels, sums.reshape(-1), PRODUCTS * row, row)
    assert np.isnan(sums[0]).all()
    found = outputs(sums[1, :, :channels].astype(np.float64) * transform_taps(weight), count)
    d = x[1:, :channels].astype(np.float64)
    expected = np.array([sum(weight[tap] * d[k + tap] for tap in range(taps)) for k in range(count)])
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(weight).sum(axis=0).max() * np.abs(d).max())


def test_a_constant_input_gives_the_sum_of_the_taps() -> None:
    weight = np.array([[0.5], [-2.0], [4.0]], np.float32)
    x, sums = np.ones((PRODUCTS, LANES), np.float32), np.zeros(PRODUCTS * LANES, np.float32)
    transform_inputs(x.reshape(-1), 0, LANES, LANES, sums, 0, LANES)
    np.testing.assert_allclose(outputs(sums.reshape(PRODUCTS, -1) * transform_taps(weight), 4), 2.5, rtol=1e-6)
