"""A kernel body as a callable on NumPy arrays, with the call shape of `mx.fast.metal_kernel`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metal_on_cpu.arrays import BFLOAT16
from metal_on_cpu.build import Language, Parameter, cpp_source, load

Triple = tuple[int, int, int]


class KernelFault(RuntimeError):
    """The kernel did something that a GPU would not forgive; names the kernel, the array, the index and the thread."""


def metal_kernel(
    name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, header: str = "", **_: Any
) -> Kernel:
    """What `mx.fast.metal_kernel` gives, run by the simulator. Edge groups are short, as on Metal."""
    return Kernel(Language.METAL, name, tuple(input_names), tuple(output_names), source, header)


def cuda_kernel(
    name: str, input_names: Sequence[str], output_names: Sequence[str], source: str, header: str = "", **_: Any
) -> Kernel:
    """What `mx.fast.cuda_kernel` gives, run by the simulator. Blocks are whole, as on CUDA."""
    return Kernel(Language.CUDA, name, tuple(input_names), tuple(output_names), source, header)


@dataclass(frozen=True)
class Kernel:
    language: Language
    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    source: str
    header: str

    def __call__(
        self,
        *,
        inputs: Sequence[Any],
        grid: Triple,
        threadgroup: Triple,
        output_shapes: Sequence[Sequence[int]],
        output_dtypes: Sequence[Any],
        template: Sequence[tuple[str, Any]] = (),
        init_value: float | None = None,
        seed: int = 0,
        **_: Any,
    ) -> list[np.ndarray]:
        """Run every thread of the grid and return the outputs; what no thread wrote is NaN (all bits set).

        `seed` shuffles the order of threads, simdgroups and groups; 0 is the natural order.
        Errors: KernelFault.
        """
        arrays = [_as_input(x) for x in inputs]
        outputs = [_poisoned(s, np.dtype(d), init_value) for s, d in zip(output_shapes, output_dtypes, strict=True)]
        parameters = self._parameters(arrays, outputs)
        library = load(cpp_source(self.language, self.name, self.source, self.header, parameters, template))
        pointers = (ctypes.c_void_p * len(parameters))(*[p.array.ctypes.data for p in parameters])
        sizes = (ctypes.c_long * len(parameters))(*[p.array.size for p in parameters])
        dims = [(ctypes.c_uint * 3)(*d) for d in (grid, threadgroup)]
        fault = library.launch(pointers, sizes, *dims, ctypes.c_uint(seed))
        if fault is not None:
            raise KernelFault(f"[{self.name}] {fault.decode()}")
        return outputs

    def _parameters(self, arrays: list[np.ndarray], outputs: list[np.ndarray]) -> list[Parameter]:
        """The kernel's parameters in MLX's order; shapes and strides only where the source names them."""
        parameters = []
        for name, x in zip(self.input_names, arrays, strict=True):
            parameters.append(Parameter(name, x, is_output=False))
            extras = {
                f"{name}_shape": np.array(x.shape, np.int32),
                f"{name}_strides": np.array([s // x.itemsize for s in x.strides], np.int64),
            }
            parameters += [Parameter(n, v, is_output=False) for n, v in extras.items() if x.ndim and n in self.source]
        return parameters + [Parameter(n, y, is_output=True) for n, y in zip(self.output_names, outputs, strict=True)]


def _as_input(x: Any) -> np.ndarray:
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x)
    return np.array(x, np.float32 if isinstance(x, float) else np.int32)


def _poisoned(shape: Sequence[int], dtype: np.dtype[Any], init_value: float | None) -> np.ndarray:
    if init_value is not None and dtype != BFLOAT16:
        return np.full(shape, init_value, dtype)
    raw = np.full((*shape, dtype.itemsize), 0xFF, np.uint8)
    return raw.view(dtype).reshape(shape)
