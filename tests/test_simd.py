"""The vector operations of the CPU kernels do to each lane what NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from turnstream.kernels.cpu import simd  # noqa: E402
from turnstream.kernels.cpu.simd import LANES, load, store  # noqa: E402

RNG = np.random.default_rng(0)
A, B, C = (RNG.uniform(-8, 8, LANES).astype(np.float32) for _ in range(3))

ONE: dict[str, Callable[..., Any]] = {"absolute": np.abs, "floor": np.floor, "reverse": lambda a: a[::-1]}
TWO: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@pytest.mark.parametrize("name", ONE)
def test_of_one_vector(name: str) -> None:
    operation = getattr(simd, name)

    @numba.njit
    def run(a, out):  # type: ignore[no-untyped-def]
        store(out, 0, operation(load(a, 0)))

    out = np.empty(LANES, np.float32)
    run(A, out)
    np.testing.assert_array_equal(out, ONE[name](A))


@pytest.mark.parametrize("name", TWO)
def test_of_two_vectors(name: str) -> None:
    operation = getattr(simd, name)

    @numba.njit
    def run(a, b, out):  # type: ignore[no-untyped-def]
        store(out, 0, operation(load(a, 0), load(b, 0)))

    out = np.empty(LANES, np.float32)
    run(A, B, out)
    np.testing.assert_allclose(out, TWO[name](A, B), rtol=1e-6)


def test_fma_splat_and_broadcast() -> None:
    @numba.njit
    def run(a, b, c, out):  # type: ignore[no-untyped-def]
        product = simd.fma(load(a, 0), load(b, 0), load(c, 0))
        store(out, 0, simd.add(product, simd.add(simd.splat(np.float32(2)), simd.broadcast(c, 3))))

    out = np.empty(LANES, np.float32)
    run(A, B, C, out)
    np.testing.assert_allclose(out, A * B + C + 2 + C[3], rtol=1e-5, atol=1e-5)


def test_power_of_two_over_its_whole_range() -> None:
    @numba.njit
    def run(a, out):  # type: ignore[no-untyped-def]
        for i in range(0, len(a), LANES):
            store(out, i, simd.power_of_two(load(a, i)))

    whole = np.arange(-126, 128, dtype=np.float32)
    exponents = np.concatenate([whole, np.zeros(-len(whole) % LANES, np.float32)])
    out = np.empty_like(exponents)
    run(exponents, out)
    np.testing.assert_array_equal(out, np.ldexp(np.float32(1), exponents.astype(np.int32)))


def test_loads_and_stores_need_no_alignment() -> None:
    @numba.njit
    def run(a, out):  # type: ignore[no-untyped-def]
        for i in range(5):
            store(out, i, load(a, 2 * i))

    values = RNG.normal(size=LANES + 16).astype(np.float32)
    out = np.zeros(LANES + 8, np.float32)
    run(values, out)
    np.testing.assert_array_equal(out[4 : 4 + LANES], values[8 : 8 + LANES])
