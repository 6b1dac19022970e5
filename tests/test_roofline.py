"""The roofline's counts: equal to products counted one by one, and to what the reference operations multiply."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.roofline import ceilings, half, processor, stages, work
from benchmarks.roofline.work import Work
from turnstream.kernels.backend import mx
from turnstream.kernels.convpool import Conv
from turnstream.kernels.lstm import LSTMWeights
from turnstream.kernels.sincnet import SincFilters, sinc_filters
from turnstream.models.embedding import CamPlusPlus
from turnstream.weights.manifest import embedding_shapes


class Product:
    """A number that counts how often it is multiplied; NumPy multiplies matrices of them as of any objects."""

    count = 0

    def __mul__(self, other: Any) -> Product:
        Product.count += 1
        return self

    def __add__(self, other: Any) -> Product:
        return self


def counted(run: Any) -> int:
    """Products of a computation."""
    Product.count = 0
    run()
    return Product.count


def numbers(*shape: int) -> np.ndarray:
    return np.full(shape, Product(), object)


def random(*shape: int) -> Any:
    return mx.array(np.random.default_rng(1).standard_normal(shape).astype(np.float32))


@pytest.fixture(scope="module")
def layer() -> LSTMWeights:
    return LSTMWeights(random(2, 128, 24), random(2, 128, 32), random(2, 128))


def test_an_lstm_layer_is_counted_as_its_formula_multiplies(layer: LSTMWeights) -> None:
    frames = 3
    inputs = 2 * counted(lambda: numbers(frames, 24) @ numbers(24, 128))
    steps = 2 * sum(counted(lambda: numbers(1, 32) @ numbers(32, 128)) for _ in range(frames))
    assert work.lstm_input(layer, frames).textbook == 2 * inputs
    assert work.lstm_recurrence(layer, frames).textbook == 2 * steps


def test_the_recurrence_reads_its_weights_at_every_frame(layer: LSTMWeights) -> None:
    one, ten = (work.lstm_recurrence(layer, frames) for frames in (1, 10))
    assert ten.moved == 10 * one.moved
    assert one.moved == 4 * (2 * 128 * 32 + 2 * 32)
    assert (one.resident_of(1), one.resident_of(2)) == (4 * 128 * 32,) * 2


def test_convolutions_and_linear_layers_are_counted_as_they_multiply() -> None:
    conv, linear = Conv(random(6, 5, 8), random(6)), Conv(random(7, 1, 16), random(7))
    rows = 11
    taps = sum(counted(lambda: numbers(1, 5 * 8) @ numbers(5 * 8, 6)) for _ in range(rows - 4))
    assert work.conv_pool(conv, rows).textbook == 2 * taps
    assert work.linear(linear, rows).textbook == 2 * counted(lambda: numbers(rows, 16) @ numbers(16, 7))


def test_the_filterbank_is_half_executed() -> None:
    bank = SincFilters(
        mx.array(sinc_filters(*(np.linspace(30, 900, 64)[:, None].astype(np.float32) for _ in range(2))))
    )
    hop = work.sinc_hop(bank, 300, 0, 10)
    assert hop.textbook == 2 * 30 * counted(lambda: numbers(1, 251) @ numbers(251, 128))
    assert hop.executed == pytest.approx(hop.textbook / 2, rel=0.01)


def test_the_embedding_is_counted_as_its_reference_operations_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every convolution and linear layer of the reference on a crop of 1.4 s, from the sizes of its result."""
    products = 0

    def counting(name: str, sums: Callable[[Any], int], weight_at: int) -> None:
        run = getattr(mx, name)

        def count(*arguments: Any, **more: Any) -> Any:
            nonlocal products
            result = run(*arguments, **more)
            products += result.size * sums(arguments[weight_at])
            return result

        monkeypatch.setattr(mx, name, count)

    network = CamPlusPlus({name: np.full(shape, 0.01, np.float32) for name, shape in embedding_shapes().items()})
    front = work.conv_head(network.head, 140, 80)
    dense = work.dense_blocks(network.blocks, network.dense, 70)
    counting("conv1d", lambda weight: weight[0].size, 1)
    counting("conv2d", lambda weight: weight[0].size, 1)
    counting("addmm", len, 2)
    network(mx.zeros((1, 140, 80)), use_kernel=False)
    last = network.dense.weight.size  # a plain product
    assert (front + dense).textbook == 2 * (products + last)
    assert front.textbook / 2 < front.executed < front.textbook


def test_calls_and_sums_of_work() -> None:
    a, b = Work(1, 2, 3, 4), Work(10, 20, 30, 40)
    assert a + b == Work(11, 22, 33, 44)
    assert a.times(3) == Work(3, 6, 9, 4)
    assert b.resident_of(4) == 10


def test_inputs_and_recurrences_are_told_apart_by_their_widths() -> None:
    network = SimpleNamespace(lstm=[LSTMWeights(random(2, 128, width), None, None) for width in (60, 256, 256)])
    taken = {stages.FIRST: 60 * 0.01 + 5, stages.OTHER: 256 * 0.01 + 5, "head": 1.0}
    split = stages.split_lstm(cast(Any, network), taken)
    assert split == pytest.approx({"lstm.input": (60 + 512) * 0.01, "lstm.recurrence": 15, "head": 1.0})


def test_ceilings_are_rates() -> None:
    timed = {
        "sums": ceilings.multiply_adds(1),
        "bytes": ceilings.reads(16 << 10, 2),
        "blas": ceilings.product(64, 64, 64, 1),
    }
    assert all(0.1 < rate < 1e5 for rate in ceilings.rates(timed, 3).values())


def test_the_least_of_all_turns_counts() -> None:
    seconds = {"a": iter([3.0, 1.0, 2.0]), "b": iter([5.0, 6.0, 4.0])}
    timed = {name: lambda each=each: next(each) for name, each in seconds.items()}
    assert ceilings.take_turns(timed, 3) == {"a": 1.0, "b": 4.0}


@pytest.mark.parametrize(("name", "bits"), [("float16", 10), ("bfloat16", 7)])
def test_only_the_recurrence_is_rounded(name: str, bits: int) -> None:
    weights = {part: np.array(random(40, 3)) for part in ("lstm.weight_hh_l0", "lstm.weight_ih_l0")}
    rounded = half.rounded(weights, half.TYPES[name])
    assert np.array_equal(rounded["lstm.weight_ih_l0"], weights["lstm.weight_ih_l0"])
    error = np.abs(rounded["lstm.weight_hh_l0"] / weights["lstm.weight_hh_l0"] - 1).max()
    assert 2.0**-bits / 8 < error <= 2.0 ** -(bits + 1)


def test_differences_are_of_decisions_too() -> None:
    quiet, talk = np.log(np.full((1, 4, 7), 0.1)), np.log(np.full((1, 4, 7), 0.1))
    quiet[..., 0], talk[..., 0], talk[:, 0, 0], talk[:, 0, 3], talk[:, 1, 4] = 0, 0, -3, 0, -0.5
    found = half.Difference()
    found.add(quiet, talk)
    assert (found.frames, found.classes, found.speech, found.most) == (4, 1, 1, 3.0)


def test_instructions_are_found_in_machine_code() -> None:
    has = processor.has()
    used = processor.used(processor.recurrence())
    assert (used["zmm"] > 0) == has["avx512f"]
    assert used["vnni"] == used["amx"] == 0
