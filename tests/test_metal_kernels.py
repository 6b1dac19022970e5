"""The Metal bodies equal the reference: unchanged in the simulator everywhere, and on the device where there is one.

`REQUIRE_METAL=1` turns the skip on machines without Metal into a failure.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import kernel_checks as check
import pytest
from metal_on_cpu import KernelFault, need, needs_compiler, on_mlx
from metal_on_cpu import metal_kernel as simulated_kernel

from turnstream.kernels import lstm, sincnet
from turnstream.kernels.backend import mx, on_metal
from turnstream.kernels.gpu import lstm as lstm_gpu
from turnstream.kernels.gpu import sincnet as sincnet_gpu

BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"
SIMULATED = pytest.param("simulated", marks=needs_compiler)
both = pytest.mark.parametrize("where", [SIMULATED, "device"])


def body(module: ModuleType, where: str, seed: int = 0) -> Any:
    """The kernel of `module` as MLX or the simulator has it."""
    if where == "device":
        need(on_metal(), "Metal device", "REQUIRE_METAL")
        return module.metal_kernel
    return on_mlx(simulated_kernel(**module.KERNEL, source=module.METAL_SOURCE), seed=seed)


@both
@pytest.mark.parametrize("dtype", check.DTYPES, ids=str)
@pytest.mark.parametrize(("batch", "frames"), [(1, 17), (2, 2), (7, 1)])
def test_bilstm(where: str, batch: int, frames: int, dtype: Any) -> None:
    check.check_bilstm(body(lstm_gpu, where, seed=1), batch, frames, 128, dtype)


@both
def test_bilstm_over_a_whole_window(where: str) -> None:
    check.check_bilstm(body(lstm_gpu, where), 1, 589, 128)


@both
@pytest.mark.parametrize("hidden", [16, 48, 112])
def test_bilstm_of_other_sizes(where: str, hidden: int) -> None:
    check.check_bilstm(body(lstm_gpu, where), 2, 5, hidden)


@needs_compiler
@pytest.mark.parametrize("seed", range(1, 6))
def test_bilstm_in_any_order_of_threads(seed: int) -> None:
    check.check_bilstm(body(lstm_gpu, "simulated", seed), 2, 9, 32)


@both
def test_bilstm_of_strided_inputs(where: str) -> None:
    check.check_bilstm_strided(body(lstm_gpu, where, seed=2))


@both
@pytest.mark.parametrize("cut", [1, 7, 19])
def test_bilstm_in_two_parts(where: str, cut: int) -> None:
    check.check_bilstm_split(body(lstm_gpu, where, seed=3), cut)


@both
def test_bilstm_does_not_drift(where: str) -> None:
    check.check_bilstm_drift(body(lstm_gpu, where), 2000)


@both
@pytest.mark.parametrize("dtype", check.DTYPES, ids=str)
@pytest.mark.parametrize(("batch", "samples"), [(1, 271), (2, 1231), (7, 1000), (1, 16000)])
def test_sinc_pool(where: str, batch: int, samples: int, dtype: Any) -> None:
    check.check_sinc_pool(body(sincnet_gpu, where, seed=1), batch, samples, dtype)


@both
def test_sinc_pool_over_a_whole_window(where: str) -> None:
    check.check_sinc_pool(body(sincnet_gpu, where), 1, 160_000)


@both
def test_sinc_pool_of_the_largest_bank(where: str) -> None:
    check.check_sinc_pool(body(sincnet_gpu, where), 1, 3001, pairs=88)


@needs_compiler
@pytest.mark.parametrize("seed", range(1, 6))
def test_sinc_pool_in_any_order_of_threads(seed: int) -> None:
    check.check_sinc_pool(body(sincnet_gpu, "simulated", seed), 2, 3000)


@both
def test_sinc_pool_of_a_strided_waveform(where: str) -> None:
    check.check_sinc_pool_strided(body(sincnet_gpu, where, seed=2))


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("barrier", [0, 1])
@pytest.mark.parametrize("module", [lstm_gpu, sincnet_gpu], ids=["lstm", "sincnet"])
def test_each_barrier_is_needed(module: ModuleType, barrier: int) -> None:
    parts = module.METAL_SOURCE.split(BARRIER)
    assert len(parts) == 3
    parts[barrier : barrier + 2] = [parts[barrier] + parts[barrier + 1]]
    kernel = on_mlx(simulated_kernel(**module.KERNEL, source=BARRIER.join(parts)), seed=1)
    run = {
        lstm_gpu: lambda: check.check_bilstm(kernel, 1, 5, 32),
        sincnet_gpu: lambda: check.check_sinc_pool(kernel, 1, 3000),
    }[module]
    with pytest.raises(KernelFault, match=r"race on|uninitialized read"):
        run()


def on_simulated_metal(monkeypatch: pytest.MonkeyPatch, **kernels: Any) -> None:
    """The dispatch of a Mac, with these kernels in the place of `lstm` and `sincnet`."""
    for module in (lstm, sincnet, lstm_gpu, sincnet_gpu):
        monkeypatch.setattr(module, "on_cpu", lambda: False)
    for module, name in ((lstm_gpu, "lstm"), (sincnet_gpu, "sincnet")):
        monkeypatch.setattr(module, "on_metal", lambda: True)
        monkeypatch.setattr(module, "metal_kernel", kernels[name])


@needs_compiler
def test_dispatch_takes_the_metal_bodies_on_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(module: ModuleType) -> Any:
        kernel = body(module, "simulated")
        return lambda **arguments: calls.append(module.__name__) or kernel(**arguments)

    on_simulated_metal(monkeypatch, lstm=counted(lstm_gpu), sincnet=counted(sincnet_gpu))
    weights, x = check.random_lstm(24, 32), check.random_array(1, 3, 24)
    y, end = lstm.bilstm(x, weights)
    expected, expected_end = lstm.bilstm(x, weights, use_kernel=False)
    check.assert_equal((y, *end), (expected, *expected_end))
    wave, filters = check.random_array(1, 1000), check.filterbank()
    check.assert_equal(sincnet.sinc_pool(wave, filters), sincnet.sinc_pool(wave, filters, use_kernel=False))
    names = ["turnstream.kernels.gpu.lstm", "turnstream.kernels.gpu.sincnet"]
    assert calls == [names[0]] * 2 + [names[1]] * 2  # each is tried once before it is used
    lstm.bilstm(x, weights)
    sincnet.sinc_pool(wave, filters)
    assert calls[4:] == names
    for hidden in (24, 144):  # no multiple of 16, more than 128: reference ops
        lstm.bilstm(x, check.random_lstm(24, hidden))
    sincnet.sinc_pool(wave, check.filterbank(10))
    assert len(calls) == 6


@pytest.mark.parametrize(
    "refusal",
    [
        ValueError("Thread group size (512) is greater than the maximum allowed threads per threadgroup (448)."),
        RuntimeError("[metal::Device] Unable to build metal library from source"),
    ],
    ids=["too many threads", "does not compile"],
)
def test_a_body_that_the_device_refuses_is_replaced_by_operations_and_said_once(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def refuse(**_: Any) -> None:
        raise refusal

    on_simulated_metal(monkeypatch, lstm=lambda **_: refuse(), sincnet=lambda **_: refuse())
    weights, x = check.random_lstm(24, 32), check.random_array(1, 3, 24)
    wave, filters = check.random_array(1, 1000), check.filterbank()
    with pytest.warns(RuntimeWarning, match=r"the GPU refuses the kernel bilstm, .*: .*(threadgroup|library)"):
        y, _ = lstm.bilstm(x, weights)
    with pytest.warns(RuntimeWarning, match="the GPU refuses the kernel sinc_pool"):
        pooled = sincnet.sinc_pool(wave, filters)
    check.assert_equal([y], [lstm.bilstm(x, weights, use_kernel=False)[0]])
    check.assert_equal(pooled, sincnet.sinc_pool(wave, filters, use_kernel=False))
    lstm.bilstm(x, weights)  # a second warning would be an error
    sincnet.sinc_pool(wave, filters)


def test_float32_products_are_asked_for_in_float32() -> None:
    assert os.environ.get("MLX_ENABLE_TF32") == "0"


def test_metal_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_METAL", "1")
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_METAL=1, and there is no Metal device here"):
        need(False, "Metal device", "REQUIRE_METAL")
    monkeypatch.delenv("REQUIRE_METAL")
    with pytest.raises(pytest.skip.Exception, match="no Metal device here"):
        need(False, "Metal device", "REQUIRE_METAL")


def test_building_a_metal_kernel_works_without_metal() -> None:
    assert lstm_gpu.metal_kernel is not None
    if not mx.metal.is_available():
        with pytest.raises(RuntimeError, match="Metal"):
            check.check_sinc_pool(sincnet_gpu.metal_kernel, 1, 300)
