"""Reads as fast as they go: float32, and half-precision values that are widened on the way into the registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from turnstream.kernels.cpu import simd
from turnstream.kernels.cpu.simd import LANES, add, load, splat, store

BLOCK = 8 * LANES  # values read in one turn of the loop
_SHORTS = ir.VectorType(ir.IntType(16), LANES)
_HALVES = ir.VectorType(ir.HalfType(), LANES)


def _widening(widen: Callable[[Any, Any], Any]) -> Any:
    """An intrinsic that loads LANES values of 16 bits of an array of uint16 as float32."""

    @intrinsic
    def load_widened(_: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            return widen(builder, builder.bitcast(builder.gep(data, [args[1]]), _SHORTS.as_pointer()))

        return simd._vector(array, types.intp), generate

    return load_widened


def _from_float16(builder: Any, pointer: Any) -> Any:
    halves = builder.load(builder.bitcast(pointer, _HALVES.as_pointer()), align=2)
    return builder.fpext(halves, simd._FLOATS)


def _from_bfloat16(builder: Any, pointer: Any) -> Any:
    wide = builder.zext(builder.load(pointer, align=2), simd._INTS)
    return builder.bitcast(builder.shl(wide, ir.Constant(simd._INTS, [16] * LANES)), simd._FLOATS)


def _reader(load_lanes: Any) -> Any:
    @numba.njit(nogil=True)  # type: ignore[misc]
    def read(values: Any, out: Any, times: int) -> None:
        """The sum of whole blocks of values, `times` over, into LANES of `out`; eight sums that do not wait."""
        zero = splat(np.float32(0))
        a, b, c, d, e, f, g, h = zero, zero, zero, zero, zero, zero, zero, zero
        for _ in range(times):
            for i in range(0, len(values) - BLOCK + 1, BLOCK):
                a, b = add(a, load_lanes(values, i)), add(b, load_lanes(values, i + LANES))
                c, d = add(c, load_lanes(values, i + 2 * LANES)), add(d, load_lanes(values, i + 3 * LANES))
                e, f = add(e, load_lanes(values, i + 4 * LANES)), add(f, load_lanes(values, i + 5 * LANES))
                g, h = add(g, load_lanes(values, i + 6 * LANES)), add(h, load_lanes(values, i + 7 * LANES))
        store(out, 0, add(add(add(a, b), add(c, d)), add(add(e, f), add(g, h))))

    return read


read_float32 = _reader(load)
read_float16 = _reader(_widening(_from_float16))
read_bfloat16 = _reader(_widening(_from_bfloat16))
