"""Which instructions the processor has, and which of them our kernels, OpenBLAS and MLX use, by trying."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
import numpy as np

from benchmarks.results import Figure
from benchmarks.roofline import ceilings
from turnstream.kernels.backend import mx, openblas
from turnstream.kernels.cpu import lstm, tile

FEATURES = ("avx2", "avx512f", "avx512vnni", "avx512bf16", "amx-tile", "amx-int8", "amx-bf16")
SIZE = 512  # of products
TYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
INSTRUCTIONS = {
    "zmm": r"%zmm",  # 512-bit registers
    "vnni": r"\bv?pdpbusds?\b|\bvpdpwssds?\b",
    "bf16": r"\bvdpbf16ps\b",
    "amx": r"\btdp\w+\b",
}


@numba.njit(fastmath=True)  # type: ignore[misc]
def int8_dot(a: Any, b: Any) -> Any:
    """What a compiler would have to turn into VNNI."""
    total = np.int32(0)
    for i in range(len(a)):
        total += np.int32(a[i]) * np.int32(b[i])
    return total


def recurrence() -> Any:
    """The inner loop of the LSTM's recurrence, compiled here: machine code from the cache cannot be looked at."""
    function = numba.njit(error_model="numpy")(lstm._gates_of_one.py_func)
    hidden, zeros = 2 * lstm.LANES, np.zeros(64 * lstm.LANES**2, np.float32)
    function(zeros.copy(), zeros, 0, zeros, 0, zeros, 0, hidden)
    return function


def has() -> dict[str, bool]:
    """Of FEATURES, which the processor has."""
    found = llvm.get_host_cpu_features()
    return {name: bool(found.get(name, False)) for name in FEATURES}


def used(function: Any) -> dict[str, int]:
    """How often each kind of instruction is in a compiled function's machine code."""
    text = "\n".join(function.inspect_asm().values())
    return {name: len(re.findall(pattern, text)) for name, pattern in INSTRUCTIONS.items()}


def figures(rounds: int) -> dict[str, Figure]:
    """`processor.*` and `openblas.*` (1: it is there), `numba.*` (instructions), `mlx.*` (GFLOP/s, one thread)."""
    found = {f"processor.{name}": Figure(float(there), "", "count", "neither") for name, there in has().items()}
    int8_dot(np.ones(64, np.uint8), np.ones(64, np.int8))
    for name, function in (("recurrence", recurrence()), ("int8_dot", int8_dot)):
        for kind, count in used(function).items():
            found[f"numba.{name}.{kind}"] = Figure(count, "instructions", "count", "neither")
    found["numba.lanes"] = Figure(tile.LANES, "floats", "count", "neither")
    rates = {name: ceilings.product(SIZE, SIZE, SIZE, 1, dtype) for name, dtype in TYPES.items()}
    rates |= {"int8": _quantized()}
    for name, rate in ceilings.rates(rates, rounds).items():
        found[f"mlx.{name}"] = Figure(rate, "GFLOP/s", "time", "higher")
    found["openblas.bfloat16"] = Figure(int(hasattr(openblas, "cblas_sbgemm")), "", "count", "neither")
    return found


def _quantized() -> ceilings.Rate:
    """MLX's product with a matrix of 8-bit weights."""
    a, b = mx.random.normal((SIZE, SIZE)), mx.random.normal((SIZE, SIZE))
    packed = mx.quantize(b, group_size=64, bits=8)
    mx.eval(a, packed)
    run = ceilings.on_threads(1, lambda: mx.eval(mx.quantized_matmul(a, *packed, bits=8)))
    return ceilings.Rate(2 * SIZE**3 / 1e9, run)


def core_name() -> str | None:
    """The processor family whose kernels OpenBLAS chose."""
    if openblas is None:
        return None
    openblas.openblas_get_corename.restype = ctypes.c_char_p
    return str(openblas.openblas_get_corename().decode())
