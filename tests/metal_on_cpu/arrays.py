"""The number types a kernel may store, under their NumPy, Metal and CUDA names; bfloat16, which NumPy lacks."""

from __future__ import annotations

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", np.uint16)])

CPP_TYPES = {
    np.dtype(np.float32): "float",
    np.dtype(np.float16): "Half",
    BFLOAT16: "Bfloat",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.uint32): "uint32_t",
    np.dtype(np.int64): "int64_t",
    np.dtype(np.bool_): "bool",
}


def cpp_type(dtype: np.typing.DTypeLike) -> str:
    """The C++ name of a dtype. Errors: TypeError for one that the simulator does not know."""
    known = CPP_TYPES.get(np.dtype(dtype))
    if known is None:
        raise TypeError(f"expected one of {', '.join(map(str, CPP_TYPES))}, got {np.dtype(dtype)}")
    return known


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """float32 rounded to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).view(BFLOAT16)


def from_bfloat16(x: np.ndarray) -> np.ndarray:
    """The same numbers as float32."""
    return (x.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
