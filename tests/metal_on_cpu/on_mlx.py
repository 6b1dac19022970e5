"""Lets a simulated kernel stand where an MLX kernel object stands: MLX arrays in, MLX arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metal_on_cpu.arrays import BFLOAT16
from metal_on_cpu.kernel import Kernel
from turnstream.kernels.backend import mx


def on_mlx(kernel: Kernel, **options: Any) -> Callable[..., list[Any]]:
    """The same kernel with the call of `mx.fast.metal_kernel`; `options` (such as `seed`) go to every call."""

    def call(*, inputs: list[Any], output_dtypes: list[Any], template: Any = (), **arguments: Any) -> list[Any]:
        outputs = kernel(
            inputs=[_to_numpy(x) for x in inputs],
            output_dtypes=[_dtype(d) for d in output_dtypes],
            template=[(name, _dtype(value) if isinstance(value, mx.Dtype) else value) for name, value in template],
            **arguments,
            **options,
        )
        return [_to_mlx(y) for y in outputs]

    return call


def _dtype(dtype: Any) -> np.dtype[Any]:
    names = {mx.float32: "f4", mx.float16: "f2", mx.int32: "i4", mx.uint32: "u4", mx.int64: "i8", mx.bool_: "?"}
    return BFLOAT16 if dtype == mx.bfloat16 else np.dtype(names[dtype])


def _to_numpy(x: Any) -> Any:
    if not isinstance(x, mx.array):
        return x
    return np.array(x.view(mx.uint16)).view(BFLOAT16) if x.dtype == mx.bfloat16 else np.array(x)


def _to_mlx(y: np.ndarray) -> Any:
    return mx.array(y.view(np.uint16)).view(mx.bfloat16) if y.dtype == BFLOAT16 else mx.array(y)
