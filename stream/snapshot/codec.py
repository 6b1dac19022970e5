"""Objects as bytes and back: plain values, arrays and objects of known classes, shared ones once. No code is run.

A snapshot is zlib over: the length of a JSON text, that text, and the bytes of all arrays in the order in which the
text names them. In the text, what is no plain value is a list that begins with a letter:

    l q t s d a list, a deque, a tuple, a set; a dictionary as key, value, key, value
    D         the same, as a defaultdict of sets;   C, as a Counter
    a n b     an array: type, sizes;   a NumPy number: type;   bytes: count
    o         an object: the number of its class in the text's `kinds`, then the values of its attributes
    r         again the n-th of all lists, sets, dictionaries, arrays and objects so far
    m         something that the reader supplies, by name

Reading uses no more memory than the bytes are long, times a constant, and stops at a bound.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from ..errors import TurnstreamError
from .kinds import DTYPES, checks_of, fields_of, has_own_state

T = TypeVar("T")

FORMAT = "turnstream snapshot 1"
MOST_BYTES = 1 << 28  # uncompressed; two hours are a hundredth of it
MOST_LEVELS = 40
LEVEL = 1  # of zlib: most of it is noise, to which a higher one does nothing
SCALARS = (type(None), bool, int, float, str)
DAMAGES = (ValueError, TypeError, LookupError, AttributeError, StopIteration, RecursionError, OverflowError)
CONTAINERS: dict[str, type] = {"l": list, "q": deque, "s": set, "d": dict, "C": Counter}
LETTERS = {kind: letter for letter, kind in CONTAINERS.items()}


class SnapshotError(TurnstreamError):
    """What was read is no snapshot of this version, or what was to be written cannot be."""


class Writer:
    """One snapshot. `names` are those of the classes that may be in it; `supplied` names what the reader has."""

    def __init__(self, kinds: Mapping[str, type], supplied: Callable[[Any], str | None]):
        self._names = {kind: name for name, kind in kinds.items()}
        self._supplied = supplied
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is used twice
        self._kinds: dict[tuple[str, ...], int] = {}
        self._arrays: list[bytes] = []

    def bytes_of(self, value: Any) -> bytes:
        """The snapshot of a value. Raises SnapshotError for a value that it cannot hold."""
        tree = self._tree(value)
        text = json.dumps({"format": FORMAT, "kinds": list(self._kinds), "tree": tree}, separators=(",", ":"))
        return zlib.compress(b"".join([struct.pack("<Q", len(text)), text.encode(), *self._arrays]), LEVEL)

    def _tree(self, value: Any) -> Any:
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is tuple:
            return ["t", *map(self._tree, value)]
        if isinstance(value, np.generic):
            return ["n", self._dtype(value.dtype), self._array(np.asarray(value))]
        if kind is bytes:
            self._arrays.append(value)
            return ["b", len(value)]
        if (name := self._supplied(value)) is not None:
            return ["m", name]
        if (number := self._seen.get(id(value))) is not None:
            return ["r", number]
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        return self._whole(kind, value)

    def _whole(self, kind: type, value: Any) -> Any:
        if kind in (list, deque, set):
            return [LETTERS[kind], *map(self._tree, value)]
        if kind in (dict, Counter) or (kind is defaultdict and value.default_factory is set):
            return [LETTERS.get(kind, "D"), *(self._tree(part) for item in value.items() for part in item)]
        if kind is np.ndarray:
            return ["a", self._dtype(value.dtype), self._array(value)]
        if kind not in self._names:
            raise SnapshotError(f"expected values that a snapshot can hold, got {kind.__module__}.{kind.__name__}")
        state = state_of(value)
        number = self._kinds.setdefault((self._names[kind], *state), len(self._kinds))
        return ["o", number, *map(self._tree, state.values())]

    def _dtype(self, dtype: np.dtype[Any]) -> str:
        if dtype.name not in DTYPES:
            raise SnapshotError(f"expected arrays of {', '.join(DTYPES)}, got {dtype}")
        return dtype.name

    def _array(self, array: np.ndarray) -> list[int]:
        self._arrays.append(array.tobytes())
        return list(array.shape)


def state_of(value: Any) -> dict[str, Any]:
    """What an object is made of."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return {name: getattr(value, name) for name in fields_of(kind)}
    state: dict[str, Any] = value.__getstate__() if has_own_state(kind) else vars(value)
    return state


class Reader:
    """One snapshot, as `Writer` wrote it; `supplied` gives what the text only names."""

    def __init__(self, kinds: Mapping[str, type], supplied: Callable[[str], Any]):
        self._classes, self._supplied = kinds, supplied
        self._seen: list[Any] = []
        self._kinds: list[tuple[type, list[str]]] = []
        self._arrays, self._at = b"", 0

    def value_of(self, data: bytes) -> Any:
        """The value. Raises SnapshotError for bytes that are no snapshot, or one of something unknown."""
        try:
            text, self._arrays = _parts(data)
            whole = json.loads(text)
            if not isinstance(whole, dict) or whole.get("format") != FORMAT:
                raise SnapshotError(f"expected a {FORMAT}, got another format")
            self._kinds = [self._kind(*entry) for entry in whole["kinds"]]
            value = self._value(whole["tree"], 0)
        except DAMAGES as error:
            raise SnapshotError(f"the snapshot is damaged: {error or type(error).__name__}") from None
        if self._at != len(self._arrays):
            raise SnapshotError(f"the snapshot is damaged: {len(self._arrays) - self._at} bytes are left over")
        return value

    def found(self, kind: type[T]) -> list[T]:
        """All objects of this class, in the order in which `Writer` met them."""
        return [one for one in self._seen if type(one) is kind]

    def _kind(self, name: str, *attributes: str) -> tuple[type, list[str]]:
        kind = self._classes[name]
        if dataclasses.is_dataclass(kind) and list(attributes) != list(fields_of(kind)):
            raise SnapshotError(f"expected {name} of this version, got one of other fields")
        if not all(type(attribute) is str for attribute in attributes):
            raise TypeError("an attribute without a name")
        return kind, list(attributes)

    def _value(self, node: Any, level: int) -> Any:
        if type(node) in SCALARS:
            return node
        if type(node) is not list or level > MOST_LEVELS:
            raise SnapshotError(f"the snapshot is damaged: expected values of at most {MOST_LEVELS} levels, got others")
        letter, rest = node[0], iter(node[1:])
        if letter == "t":
            return tuple([self._value(part, level + 1) for part in rest])
        if letter in ("n", "b", "m", "r"):
            return self._single(letter, *rest)
        place = len(self._seen)
        self._seen.append(None)
        if letter == "a":
            self._seen[place] = array = self._array(*rest)
            return array
        if letter == "o":
            return self._object(place, next(rest), rest, level + 1)
        made: Any = defaultdict(set) if letter == "D" else CONTAINERS[letter]()
        self._seen[place] = made
        parts = (self._value(part, level + 1) for part in rest)
        if isinstance(made, dict):
            for key in parts:
                made[key] = next(parts)
        elif isinstance(made, set):
            made.update(parts)
        else:
            made.extend(parts)
        return made

    def _single(self, letter: str, first: Any, *rest: Any) -> Any:
        if letter == "m":
            return self._supplied(first)
        if letter == "r":
            if type(first) is not int or first < 0:
                raise IndexError("a reference to nothing")
            return self._seen[first]
        return self._array(first, *rest)[()] if letter == "n" else self._take(first)

    def _array(self, dtype: str, shape: list[int]) -> np.ndarray:
        if dtype not in DTYPES or not all(type(size) is int and 0 <= size < 1 << 31 for size in shape):
            raise TypeError("an array of an unknown type or size")
        count = 1
        for size in shape:
            count *= size
        raw = self._take(count * np.dtype(dtype).itemsize)
        return np.frombuffer(raw, dtype).reshape(shape).copy()

    def _take(self, count: int) -> bytes:
        if type(count) is not int or not 0 <= count <= len(self._arrays) - self._at:
            raise IndexError(f"{count} bytes of {len(self._arrays) - self._at}")
        self._at += count
        return self._arrays[self._at - count : self._at]

    def _object(self, place: int, number: int, values: Iterator[Any], level: int) -> Any:
        kind, attributes = self._kinds[number]
        made: Any = object.__new__(kind)
        self._seen[place] = made
        state = {name: self._value(node, level) for name, node in zip(attributes, values, strict=True)}
        if has_own_state(kind):
            made.__setstate__(state)
            return made
        if dataclasses.is_dataclass(kind):
            for name, hint, is_good in checks_of(kind):
                if not is_good(state[name]):
                    raise TypeError(f"expected {kind.__name__}.{name} as {hint}, got {type(state[name]).__name__}")
        for name, value in state.items():
            object.__setattr__(made, name, value)
        return made


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """The text and the arrays."""
    unpacker = zlib.decompressobj()
    try:
        whole = unpacker.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from None
    if not unpacker.eof or unpacker.unused_data:
        raise SnapshotError(f"the snapshot is damaged: cut off, or more than {MOST_BYTES >> 20} MiB")
    if len(whole) < 8:
        raise SnapshotError("the snapshot is damaged: it is empty")
    (length,) = struct.unpack("<Q", whole[:8])
    return whole[8 : 8 + length], whole[8 + length :]
