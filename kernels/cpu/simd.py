"""Float vectors inside Numba functions, so that a kernel controls which values stay in registers.

LLVM vectorizes a Numba loop only if it can prove that no index is negative and no two arrays overlap; otherwise the
loop silently runs 20 times slower. Here `load`, `store`, `fma` and the others work on vectors of `LANES` float32 (16
with AVX-512, else 8) by construction. Indices count elements of a flat, C-contiguous float32 array. They are not
checked, so callers must check shapes.
"""

# mypy: allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic, models, register_model

LANES = 16 if llvm.get_host_cpu_features().get("avx512f", False) else 8

_intrinsic: Any = intrinsic
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)


class _Vector(types.Type):
    """The Numba type of `LANES` float32 values."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


_vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _splat(builder: Any, value: Any) -> Any:
    """The value in every lane."""
    lane = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(lane, ir.Constant(_FLOATS, ir.Undefined), lanes)


def _address(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The address of element args[1] of array args[0]."""
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


def _lanes_at(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.bitcast(_address(context, builder, signature, args), _FLOATS.as_pointer())


@_intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """Elements [index, index + LANES) of an array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_lanes_at(context, builder, signature, args), align=4)

    return _vector(array, types.intp), generate


@_intrinsic
def store(_: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to elements [index, index + LANES) of an array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _lanes_at(context, builder, signature, args), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, _vector), generate


@_intrinsic
def broadcast(_: Any, array: Any, index: Any) -> Any:
    """Element `index` of an array in every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, builder.load(_address(context, builder, signature, args)))

    return _vector(array, types.intp), generate


@_intrinsic
def splat(_: Any, value: Any) -> Any:
    """A number in every lane."""
    return _vector(types.float32), lambda context, builder, signature, args: _splat(builder, args[0])


def _elementwise(arity: int, generate: Any) -> Any:
    """An intrinsic that maps `arity` vectors to a vector; `generate(builder, args)` emits its instructions."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return generate(builder, args)

    typed = {
        1: lambda _, a: (_vector(_vector), lower),
        2: lambda _, a, b: (_vector(_vector, _vector), lower),
        3: lambda _, a, b, c: (_vector(_vector, _vector, _vector), lower),
    }
    return _intrinsic(typed[arity])


def _reverse(builder: Any, args: Any) -> Any:
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(LANES))[::-1])
    return builder.shuffle_vector(args[0], ir.Constant(_FLOATS, ir.Undefined), lanes)


def _floor(builder: Any, args: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS])
    return builder.call(get_or_insert_function(builder.module, kind, f"llvm.floor.v{LANES}f32"), args)


def _power_of_two(builder: Any, args: Any) -> Any:
    """2^n for integer n in [-126, 127]: n becomes the exponent bits."""
    biased = builder.add(builder.fptosi(args[0], _INTS), ir.Constant(_INTS, [127] * LANES))
    return builder.bitcast(builder.shl(biased, ir.Constant(_INTS, [23] * LANES)), _FLOATS)


_FUSE = ("contract",)
_ZERO = ir.Constant(_FLOATS, [0.0] * LANES)

add = _elementwise(2, lambda builder, args: builder.fadd(*args))
sub = _elementwise(2, lambda builder, args: builder.fsub(*args))
mul = _elementwise(2, lambda builder, args: builder.fmul(*args))
div = _elementwise(2, lambda builder, args: builder.fdiv(*args))
maximum = _elementwise(2, lambda builder, args: builder.select(builder.fcmp_ordered(">", *args), *args))
minimum = _elementwise(2, lambda builder, args: builder.select(builder.fcmp_ordered("<", *args), *args))
fma = _elementwise(3, lambda b, args: b.fadd(b.fmul(args[0], args[1], flags=_FUSE), args[2], flags=_FUSE))
floor = _elementwise(1, _floor)
reverse = _elementwise(1, _reverse)
absolute = _elementwise(1, lambda b, args: b.select(b.fcmp_ordered("<", args[0], _ZERO), b.fneg(args[0]), args[0]))
power_of_two = _elementwise(1, _power_of_two)
