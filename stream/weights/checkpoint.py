"""Reads tensors from a checkpoint file (.bin, .pt, .ckpt, .safetensors) as NumPy arrays, without torch.

A torch checkpoint is a zip: `data.pkl` describes the objects, `data/<key>` holds the raw numbers. Unpickling can call
any function that the file names, so this unpickler knows only tensors and plain containers: every other name becomes
an inert object that accepts any operation and does nothing.
Format: torch/csrc/jit/serialization and torch/_utils.py (`_rebuild_tensor_v2`); https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from ..errors import WeightsError

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
SAFETENSORS_DTYPES = {"F32": "f4", "F16": "f2", "F64": "f8", "BF16": "bf16"}
SAFETENSORS_DTYPES |= {"I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1", "BOOL": "b1"}


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """All tensors of the checkpoint by name; for a Lightning checkpoint those of its `state_dict`.

    Shapes: as in the file. dtypes: as in the file, bfloat16 as float32. Arrays may be read-only and strided.
    Raises WeightsError if the file is missing, unreadable, damaged or of an unknown format.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic.startswith(b"PK"):
            return _read_torch(path)
        if path.suffix == ".safetensors":
            return parse_safetensors(path.read_bytes(), str(path))
    except OSError as error:
        raise WeightsError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    raise WeightsError(
        f"{path} is not a checkpoint: expected .safetensors, or the zip format that torch.save writes since torch 1.6"
    )


def parse_safetensors(data: bytes, source: str) -> dict[str, np.ndarray]:
    """Tensors in the bytes of a safetensors file; `source` names them in errors. Raises WeightsError."""
    try:
        entries = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise WeightsError(f"{source} is not a valid safetensors file: {error}") from error
    tensors = {}
    for name, entry in entries:
        dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise WeightsError(f"{source}: tensor {name} has the unsupported dtype {entry['dtype']}")
        tensors[name] = _numbers(entry["data"], dtype).reshape(entry["shape"])
    return tensors


def _numbers(data: bytes, dtype: str, order: str = "<") -> np.ndarray:
    if dtype == "bf16":
        return (np.frombuffer(data, order + "u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, order + dtype)


def _item_bytes(dtype: str) -> int:
    return 2 if dtype == "bf16" else np.dtype(dtype).itemsize


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive, str(path)).tensors()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"the checkpoint {path} is damaged: {error}") from error


class _Archive:
    """An open torch zip; storages are read when a tensor of the state dict needs them, once each."""

    def __init__(self, archive: zipfile.ZipFile, source: str):
        self.archive, self.source = archive, source
        self.storages: dict[str, np.ndarray] = {}
        roots = [name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise WeightsError(f"{source} is not a torch checkpoint: expected one data.pkl, got {len(roots)}")
        self.root = roots[0]
        orders = [self.member(self.root + "byteorder")] if self.root + "byteorder" in archive.namelist() else []
        self.order = ">" if orders == [b"big"] else "<"

    def tensors(self) -> dict[str, np.ndarray]:
        found = self.load_pickle()
        if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
            found = found["state_dict"]
        if not isinstance(found, dict):
            raise WeightsError(f"{self.source} holds no state dict: expected named tensors")
        # Not found.items(): the pickle may have set an attribute of that name on this object.
        tensors = {str(name): value for name, value in dict.items(found) if isinstance(value, _Tensor)}
        return {name: self.array(name, tensor) for name, tensor in tensors.items()}

    def load_pickle(self) -> object:
        data = self.member(self.root + "data.pkl")
        try:
            _check_memo(data)
            return _TensorUnpickler(io.BytesIO(data)).load()
        except Exception as error:  # a hostile pickle can make the unpickler raise anything
            raise WeightsError(f"the checkpoint {self.source} is damaged: {type(error).__name__}: {error}") from error

    def member(self, name: str) -> bytes:
        try:
            info = self.archive.getinfo(name)
        except KeyError:
            raise WeightsError(f"the checkpoint {self.source} is damaged: {name} is missing") from None
        if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses; a zip bomb does
            raise WeightsError(f"the checkpoint {self.source} is damaged: {name} is compressed")
        return self.archive.read(info)

    def storage(self, storage: _Storage) -> np.ndarray:
        if storage.key not in self.storages:
            data = self.member(f"{self.root}data/{storage.key}")
            if len(data) % _item_bytes(storage.dtype):
                raise WeightsError(f"the checkpoint {self.source} is damaged: storage {storage.key} ends in mid-number")
            self.storages[storage.key] = _numbers(data, storage.dtype, self.order)
        return self.storages[storage.key]

    def array(self, name: str, tensor: _Tensor) -> np.ndarray:
        """The tensor as a view of its storage, checked to lie inside it."""
        numbers = self.storage(tensor.storage)
        reach = sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.stride, strict=True))
        last = tensor.offset + reach if math.prod(tensor.size) else -1
        if last >= len(numbers):
            raise WeightsError(
                f"the checkpoint {self.source} is damaged: tensor {name} needs {last + 1} numbers, got {len(numbers)}"
            )
        strides = [stride * numbers.itemsize for stride in tensor.stride]
        start = numbers[tensor.offset :] if last >= 0 else numbers
        try:
            return np.lib.stride_tricks.as_strided(start, tensor.size, strides, writeable=False)
        except (ValueError, OverflowError) as error:  # more dimensions or elements than NumPy can count
            raise WeightsError(f"the checkpoint {self.source} is damaged: tensor {name}: {error}") from error


def _check_memo(data: bytes) -> None:
    """Reject a memo index larger than the file itself: the unpickler would allocate a table of that length."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(data):
            raise ValueError(f"memo index {argument} in {len(data)} bytes")


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


class _StorageType(_Inert):
    __slots__ = ("dtype",)
    dtype: str

    def __new__(cls, dtype: str) -> Any:
        self = object.__new__(cls)
        self.dtype = dtype
        return self


class _Storage(_Inert):
    __slots__ = ("dtype", "key")
    key: str
    dtype: str

    def __new__(cls, key: str, dtype: str) -> Any:
        self = object.__new__(cls)
        self.key, self.dtype = key, dtype
        return self


class _Tensor(_Inert):
    """Shapes: `size` and `stride` have one entry per dimension; stride and offset count numbers, not bytes."""

    __slots__ = ("offset", "size", "storage", "stride")
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __new__(cls, storage: Any, offset: Any, size: Any, stride: Any, *rest: object) -> Any:
        if not (isinstance(storage, _Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
            raise ValueError("a tensor needs a storage, a size and a stride")
        if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
            raise ValueError(f"a tensor cannot have offset {offset}, size {size}, stride {stride}")
        self = object.__new__(cls)
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride
        return self


class _Rebuild(_Inert):
    """Replaces the functions that torch calls to build a tensor or to wrap a tensor as a parameter."""

    __slots__ = ()

    def __new__(cls) -> Any:
        return object.__new__(cls)

    def __call__(self, *args: Any, **kwargs: object) -> object:
        return args[0] if args and isinstance(args[0], _Tensor) else _Tensor(*args)


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in TORCH_DTYPES:
            return _StorageType(TORCH_DTYPES[name])
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"):
            return _Rebuild()
        return _Inert

    def persistent_load(self, pid: Any) -> object:
        kind, storage_type, key, _device, _count = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or not isinstance(key, str):
            raise ValueError(f"expected a reference to a storage, got {kind!r}")
        return _Storage(key, storage_type.dtype)
