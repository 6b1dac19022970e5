"""A register tile of a convolution on the CPU: the one inner loop of CAM++'s fast path.

    out[i, :] = max(floor, bias + residual[i, :] + sum over tap, k of x[i x_step + tap tap_step + k] weight[tap, k, :])

for ROWS output positions i and COLUMNS output channels. The input is read in place, so taps that are adjacent in memory
need no copy: with channels last, a 3x3 convolution is three taps in time of 3 * channels values each. The accumulators
stay in vector registers over the whole sum; Numba would not keep them there, hence the explicit IR.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = llvm.get_host_cpu_features()
_WIDE = bool(_FEATURES.get("avx512f"))
# Two vectors of columns, and as many rows as leave registers for the weights and one input value. ROWS divides 10.
LANES = 16 if _WIDE else 8 if _FEATURES.get("avx2") else 4
ROWS = 5 if LANES == 8 else 10
COLUMNS = 2 * LANES
PREFETCH_BYTES = 8192  # weights are not in the cache, and the processor's own prefetcher stops at page boundaries
NOTHING = np.zeros(COLUMNS, np.float32)  # stands for no bias or no residual

_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_ARGUMENTS = (
    "x",
    "x_step",
    "taps",
    "tap_step",
    "depth",
    "weight",
    "bias",
    "residual",
    "residual_step",
    "out",
    "out_step",
)


@intrinsic
def tile(typingctx: Any, x, x_step, taps, tap_step, depth, weight, bias, residual, residual_step, out, out_step, floor):
    """Compute one tile; addresses are integers, steps and sizes count floats, `weight` is one panel from `pack`.

    x: address of x[0]; taps, depth: lengths of the sum; bias: COLUMNS values; residual: rows of COLUMNS values,
    residual_step apart (0: the same row for all); out: rows out_step apart; floor: 0 for ReLU, -inf for none.
    """
    signature = types.void(*([types.intp] * len(_ARGUMENTS)), types.float32)
    return signature, _emit


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    a = dict(zip(_ARGUMENTS, arguments, strict=False))
    floor = _splat(builder, arguments[-1])
    fma_type = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fma = cgutils.get_or_insert_function(builder.module, fma_type, f"llvm.fma.v{LANES}f32")
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(2)] for _ in range(ROWS)]
    for row in sums:
        for half, total in enumerate(row):
            builder.store(_load(builder, _vector_at(builder, a["bias"], _INT(half * LANES))), total)
    weight = cgutils.alloca_once_value(builder, a["weight"])
    with cgutils.for_range(builder, a["taps"]) as tap:
        start = _address(builder, a["x"], builder.mul(tap.index, a["tap_step"]))
        rows = [_address(builder, start, builder.mul(_INT(i), a["x_step"])) for i in range(ROWS)]
        with cgutils.for_range(builder, a["depth"]) as k:
            at = builder.load(weight)
            halves = [_load(builder, _vector_at(builder, at, _INT(half * LANES))) for half in range(2)]
            _prefetch(builder, builder.add(at, _INT(PREFETCH_BYTES)))
            builder.store(builder.add(at, _INT(4 * COLUMNS)), weight)
            for row, row_sums in zip(rows, sums, strict=True):
                value = _splat(builder, builder.load(_float_at(builder, _address(builder, row, k.index))))
                for half, total in zip(halves, row_sums, strict=True):
                    builder.store(builder.call(fma, [value, half, builder.load(total)]), total)
    for i, row in enumerate(sums):
        beside = _address(builder, a["residual"], builder.mul(_INT(i), a["residual_step"]))
        to = _address(builder, a["out"], builder.mul(_INT(i), a["out_step"]))
        for half, total in enumerate(row):
            value = builder.fadd(builder.load(total), _load(builder, _vector_at(builder, beside, _INT(half * LANES))))
            above = builder.fcmp_ordered(">", value, floor)
            _store(builder, builder.select(above, value, floor), _vector_at(builder, to, _INT(half * LANES)))
    return context.get_dummy_value()


def _prefetch(builder: Any, address: Any) -> None:
    """Prefetch the COLUMNS floats at `address`."""
    flag = ir.IntType(32)
    bytes_type = ir.IntType(8).as_pointer()
    prefetch_type = ir.FunctionType(ir.VoidType(), [bytes_type, flag, flag, flag])
    prefetch = cgutils.get_or_insert_function(builder.module, prefetch_type, "llvm.prefetch.p0")
    for line in range(0, 4 * COLUMNS, 64):
        at = builder.inttoptr(builder.add(address, _INT(line)), bytes_type)
        builder.call(prefetch, [at, flag(0), flag(3), flag(1)])  # to read, keep near, data


def _address(builder: Any, base: Any, floats: Any) -> Any:
    return builder.add(base, builder.mul(floats, _INT(4)))


def _float_at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _FLOAT.as_pointer())


def _vector_at(builder: Any, address: Any, floats: Any) -> Any:
    return builder.inttoptr(_address(builder, address, floats), _VECTOR.as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    value = builder.load(pointer)
    value.align = 4
    return value


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, pointer).align = 4


def _splat(builder: Any, value: Any) -> Any:
    lane0 = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(lane0, ir.Constant(_VECTOR, ir.Undefined), mask)


def aligned_empty(size: int) -> np.ndarray:
    """`size` floats that start on a cache line: vector loads that straddle two lines cost twice as much."""
    store = np.empty(size + 16, np.float32)
    skip = (-store.ctypes.data % 64) // 4
    return store[skip : skip + size]


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Float32 zeros that start on a cache line."""
    zeros = aligned_empty(int(np.prod(shape))).reshape(shape)
    zeros[...] = 0
    return zeros


def aligned_copy(values: np.ndarray) -> np.ndarray:
    """A float32 copy that starts on a cache line."""
    copy = aligned_empty(values.size).reshape(values.shape)
    copy[...] = values
    return copy


def pack(weight: np.ndarray) -> np.ndarray:
    """(K, out) weights as panels (out / COLUMNS, K, COLUMNS), each read sequentially by `tile`."""
    depth, _ = weight.shape
    return aligned_copy(weight.reshape(depth, -1, COLUMNS).transpose(1, 0, 2))


def round_up(rows: int) -> int:
    """`rows` rounded up to whole tiles."""
    return -(-rows // ROWS) * ROWS
