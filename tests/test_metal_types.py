"""The Metal sources pass the type check for every dtype and size that we ask for, and the check sees planted faults."""

from __future__ import annotations

from functools import cache
from typing import Any

import kernel_checks as check
import pytest
from metal_types import faults, lstm_source, sinc_source

from turnstream.kernels.backend import mx
from turnstream.kernels.gpu.lstm import MAX_HIDDEN
from turnstream.kernels.gpu.sincnet import MAX_CHANNELS

dtypes = pytest.mark.parametrize("dtype", check.DTYPES, ids=str)


@dtypes
@pytest.mark.parametrize("hidden", range(16, MAX_HIDDEN + 1, 16))
def test_lstm(dtype: Any, hidden: int) -> None:
    assert faults(lstm_source(dtype, hidden)) == []


@dtypes
@pytest.mark.parametrize("frames", [1, 6, 16])
def test_lstm_of_a_chunk(dtype: Any, frames: int) -> None:
    """Few frames: MLX hands inputs of less than 8 values over as `constant`."""
    assert faults(lstm_source(dtype, 128, frames)) == []


@dtypes
@pytest.mark.parametrize("channels", [16, 80, MAX_CHANNELS])
@pytest.mark.parametrize("samples", [271, 160_000])
def test_sincnet(dtype: Any, channels: int, samples: int) -> None:
    assert faults(sinc_source(dtype, channels, samples)) == []


LSTM, SINC = "lstm", "sincnet"
CELL = "float c = c0[state];"
FIRST = "inline float first(const {}float* p) {{ return p[0]; }}\n"

# What is wrong: where, right text, wrong text, and what is put before the kernel.
FAULTS: dict[str, tuple[str, str, str, str]] = {
    "device read as threadgroup": (
        LSTM,
        "*(const device vec<T, 4>*)(w + j",
        "*(const threadgroup vec<T, 4>*)(w + j",
        "",
    ),
    "device read without a space": (LSTM, "*(const device vec<T, 4>*)(w + j", "*(const vec<T, 4>*)(w + j", ""),
    "threadgroup read as device": (LSTM, "*(const threadgroup float4*)", "*(const device float4*)", ""),
    "constant written": (LSTM, CELL, f"{CELL} projected_shape[1] = 0;", ""),
    "constant held as device": (LSTM, CELL, f"{CELL} const device int* p = projected_shape; c += p[0];", ""),
    "input written": (LSTM, CELL, f"{CELL} h0[state] = 0;", ""),
    "parameter without a space": (LSTM, CELL, "float c = first(c0 + state);", FIRST.format("")),
    "parameter in another space": (LSTM, CELL, "float c = first(c0 + state);", FIRST.format("threadgroup ")),
    "threadgroup pointer without a space": (SINC, "float4 even[POOL]", "float* p = staged[0]; float4 even[POOL]", ""),
    "threadgroup array initialised": (SINC, "staged[2][SPAN | 1];", "staged[2][SPAN | 1] = {};", ""),
    "threadgroup array of any size": (
        SINC,
        "threadgroup float made[TILE]",
        "threadgroup float more[samples]; threadgroup float made[TILE]",
        "",
    ),
    "threadgroup array in a loop": (SINC, "k < HALF; ++k) {", "k < HALF; ++k) { threadgroup float t[4]; t[0] = 0;", ""),
    "half4 for float4": (
        SINC,
        "float4(*(const device vec<T, 4>*)(taps + 4))",
        "*(const device vec<T, 4>*)(taps + 4)",
        "",
    ),
    "min of int and uint": (SINC, "frames - tile * TILE);", "frames - threadgroup_position_in_grid.y * TILE);", ""),
    "max of vector and scalar": (SINC, "metal::abs(even[r][j])", "0.0f", ""),
    "simd_sum of bool": (LSTM, CELL, "float c = simd_sum(q == 0);", ""),
    "shuffle of an array": (LSTM, "gates += simd_shuffle_xor(gates, 1);", "simd_shuffle_xor(kept, 1);", ""),
    "attribute that MLX lacks": (LSTM, "lane = thread_index_in_threadgroup,", "lane = lane_id,", ""),
    "std:: mathematics": (LSTM, "metal::precise::tanh(c)", "std::tanh(c)", ""),
    "precise:: of an int": (LSTM, "metal::precise::tanh(c)", "metal::precise::tanh(step)", ""),
    "double": (LSTM, CELL, "double c = c0[state];", ""),
    "new": (LSTM, CELL, "float* m = new float[4]; float c = m[0];", ""),
    "float narrowed to half": (LSTM, "= T(h);", "= h;", ""),
    "vector of another type": (
        LSTM,
        "kept[j] = *(const device vec<T, 4>*)",
        "kept[j] = *(const device vec<float, 4>*)",
        "",
    ),
    "name of a type as a constant": (SINC, "constexpr int HALF", "constexpr int half", ""),
    "return before a barrier": (LSTM, "for (int step = 0;", "if (q > 2) return; for (int step = 0;", ""),
    "barrier in a branch": (LSTM, "threadgroup_barrier(", "if (q == 0) threadgroup_barrier(", ""),
}


@cache
def source(kernel: str) -> str:
    """In half precision, where each conversion shows."""
    return lstm_source(mx.float16, 128) if kernel == LSTM else sinc_source(mx.float16, 80)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault: str) -> None:
    kernel, right, wrong, before = FAULTS[fault]
    assert right in source(kernel)
    assert faults(before + source(kernel).replace(right, wrong, 1))


def test_a_helper_may_return_and_a_barrier_may_be_in_a_loop() -> None:
    text = FIRST.format("device ") + source(LSTM).replace(CELL, "float c = first(c0 + state);")
    assert faults(text) == []


@pytest.mark.parametrize("write", ["[unit / 4][unit % 4] =", "[unit / 4][unit % 4] +=", "[unit / 4].x ="])
def test_a_component_written_in_a_shared_vector_is_seen(write: str) -> None:
    """The LSTM's first body had this fault; Clang itself finds nothing wrong with it."""
    write = f"threadgroup float4 wide[H / 4]; if (q == 0) wide{write} h0[state]; float c = wide[0].x;"
    (fault,) = faults(source(LSTM).replace(CELL, write))
    assert "one component of a vector in shared memory is written" in fault
