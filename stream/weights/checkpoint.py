"""Reads tensors from a checkpoint file (.bin, .pt, .ckpt, .safetensors) as NumPy arrays, without torch.

A torch checkpoint is a zip: `data.pkl` describes the objects (stream/weights/unpickler.py), `data/<key>` holds the raw
numbers. Nothing in the file is trusted: bytes, dimensions and the work of unpickling are bounded.
Format: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, deserialize

from ..errors import WeightsError
from ..files import regular_only
from .unpickler import Storage, Tensor, unpickle

MOST_NAME_LETTERS = 100  # of a tensor's name in an error

# NumPy has no bfloat16: it is read as the upper half of a float32.
SAFETENSORS_DTYPES = {"F32": "f4", "F16": "f2", "F64": "f8", "BF16": "bf16"}
SAFETENSORS_DTYPES |= {"I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1", "BOOL": "b1"}


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """All tensors of the checkpoint by name; for a Lightning checkpoint those of its `state_dict`.

    Shapes: as in the file. dtypes: as in the file, bfloat16 as float32. Arrays may be read-only and strided.
    Raises WeightsError if the file is missing, unreadable, damaged or of an unknown format.
    """
    try:
        with open(path, "rb", opener=regular_only) as file:
            if file.read(2) == b"PK":
                return _read_torch(file, str(path))
            if path.suffix == ".safetensors":
                file.seek(0)
                return parse_safetensors(file.read(), str(path))
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
        raise WeightsError(f"{source} is not a valid safetensors file: {_short(error)}") from error
    tensors = {}
    for name, entry in entries:
        dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise WeightsError(f"{source}: tensor {_short(name)} has the unsupported dtype {entry['dtype']}")
        try:
            tensors[name] = _numbers(entry["data"], dtype).reshape(entry["shape"])
        except (ValueError, OverflowError) as error:  # more dimensions or elements than NumPy can count
            raise WeightsError(f"{source} is damaged: tensor {_short(name)}: {error}") from error
    return tensors


def _numbers(data: bytes, dtype: str, order: str = "<") -> np.ndarray:
    if dtype == "bf16":
        return (np.frombuffer(data, order + "u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, order + dtype)


def _item_bytes(dtype: str) -> int:
    return 2 if dtype == "bf16" else np.dtype(dtype).itemsize


def _short(text: object) -> str:
    """On one line and not long, whatever the file holds."""
    return " ".join(str(text)[:MOST_NAME_LETTERS].split())


def _read_torch(file: BinaryIO, source: str) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            return _Archive(archive, source, file.seek(0, os.SEEK_END)).tensors()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        raise WeightsError(f"the checkpoint {source} is damaged: {_short(error)}") from error


class _Archive:
    """An open torch zip; storages are read when a tensor of the state dict needs them, once each."""

    def __init__(self, archive: zipfile.ZipFile, source: str, size_bytes: int):
        self.archive, self.source, self.unread_bytes = archive, source, size_bytes
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
        tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
        return {name: self.array(name, tensor) for name, tensor in tensors.items() if isinstance(name, str)}

    def load_pickle(self) -> object:
        data = self.member(self.root + "data.pkl")
        try:
            return unpickle(data)
        except Exception as error:
            reason = f"{type(error).__name__}: {_short(error)}"
            raise WeightsError(f"the checkpoint {self.source} is damaged: {reason}") from error

    def member(self, name: str) -> bytes:
        try:
            info = self.archive.getinfo(name)
        except KeyError:
            raise WeightsError(f"the checkpoint {self.source} is damaged: {_short(name)} is missing") from None
        if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses; a zip bomb does
            raise WeightsError(f"the checkpoint {self.source} is damaged: {_short(name)} is compressed")
        self.unread_bytes -= info.file_size
        if self.unread_bytes < 0:
            raise WeightsError(f"the checkpoint {self.source} is damaged: its parts are longer than the file")
        return self.archive.read(info)

    def storage(self, storage: Storage) -> np.ndarray:
        if storage.key not in self.storages:
            data = self.member(f"{self.root}data/{storage.key}")
            if len(data) % _item_bytes(storage.dtype):
                key = _short(storage.key)
                raise WeightsError(f"the checkpoint {self.source} is damaged: storage {key} ends in mid-number")
            self.storages[storage.key] = _numbers(data, storage.dtype, self.order)
        return self.storages[storage.key]

    def array(self, name: str, tensor: Tensor) -> np.ndarray:
        """The tensor as a view of its storage, checked to lie inside it."""
        numbers = self.storage(tensor.storage)
        reach = sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.stride, strict=True))
        last = tensor.offset + reach if math.prod(tensor.size) else -1
        if last >= len(numbers):
            raise WeightsError(
                f"the checkpoint {self.source} is damaged: tensor {_short(name)} needs {last + 1} numbers, "
                f"got {len(numbers)}"
            )
        strides = [stride * numbers.itemsize for stride in tensor.stride]
        start = numbers[tensor.offset :] if last >= 0 else numbers
        try:
            return np.lib.stride_tricks.as_strided(start, tensor.size, strides, writeable=False)
        except (ValueError, OverflowError) as error:  # more dimensions or elements than NumPy can count
            raise WeightsError(f"the checkpoint {self.source} is damaged: tensor {_short(name)}: {error}") from error
