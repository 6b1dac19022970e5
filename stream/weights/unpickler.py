"""An unpickler of torch checkpoints that knows tensors and plain containers only.

Unpickling can call any function that the file names: here every name but those of tensors becomes an inert object that
accepts any operation and does nothing.
Format: torch/csrc/jit/serialization and torch/_utils.py (`_rebuild_tensor_v2`).
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

from .pickle_budget import check_budget

# NumPy has no bfloat16: it is read as the upper half of a float32.
TORCH_DTYPES = {
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "DoubleStorage": "f8",
    "BFloat16Storage": "bf16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}


def unpickle(data: bytes) -> object:
    """The object, with a `Tensor` for each tensor. A hostile pickle can make this raise any Exception."""
    check_budget(data)
    return _TensorUnpickler(io.BytesIO(data)).load()


class _Inert:
    """Replaces every object the unpickler does not know: accepts arguments, state, items and calls, does nothing."""

    __slots__ = ()

    def __new__(cls, *args: object, **kwargs: object) -> Any:
        return object.__new__(_Inert)

    def __call__(self, *args: object, **kwargs: object) -> object:
        return _Inert()

    @staticmethod
    def __setstate__(*state: object) -> None:
        """Static, because a pickle may also set state on the class itself."""

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, item: object) -> None: ...

    def extend(self, items: object) -> None: ...


class StateDict(OrderedDict[Any, Any]):
    """Replaces OrderedDict: is filled item by item only, which the budget counts, and has no attributes to set."""

    def __init__(self, *args: object) -> None:
        super().__init__()

    @staticmethod
    def __setstate__(*state: object) -> None: ...


class _StorageType(_Inert):
    __slots__ = ("dtype",)
    dtype: str

    def __new__(cls, dtype: str) -> Any:
        self = object.__new__(cls)
        self.dtype = dtype
        return self


class Storage(_Inert):
    __slots__ = ("dtype", "key")
    key: str
    dtype: str

    def __new__(cls, key: str, dtype: str) -> Any:
        self = object.__new__(cls)
        self.key, self.dtype = key, dtype
        return self


class Tensor(_Inert):
    """Shapes: `size` and `stride` have one entry per dimension; stride and offset count numbers, not bytes."""

    __slots__ = ("offset", "size", "storage", "stride")
    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __new__(cls, storage: Any, offset: Any, size: Any, stride: Any, *rest: object) -> Any:
        if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
            raise ValueError("a tensor needs a storage, a size and a stride")
        if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
            raise ValueError("expected an offset, a size and a stride of whole numbers from 0")
        self = object.__new__(cls)
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride
        return self


class _Rebuild(_Inert):
    """Replaces the functions that torch calls to build a tensor or to wrap a tensor as a parameter."""

    __slots__ = ()

    def __new__(cls) -> Any:
        return object.__new__(cls)

    def __call__(self, *args: Any, **kwargs: object) -> object:
        return args[0] if args and isinstance(args[0], Tensor) else Tensor(*args)


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return StateDict
        if module == "torch" and name in TORCH_DTYPES:
            return _StorageType(TORCH_DTYPES[name])
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"):
            return _Rebuild()
        return _Inert

    def persistent_load(self, pid: Any) -> object:
        kind, storage_type, key, _device, _count = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or not isinstance(key, str):
            raise ValueError("expected a reference to a storage")
        return Storage(key, storage_type.dtype)
