"""What a snapshot may hold: the classes of some modules, and the values that fit their fields."""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

DTYPES = ("bool", "uint8", "int64", "float32", "float64")
NUMBERS = (int, float, np.integer, np.floating)
Check = Callable[[Any], bool]


def kinds_of(parts: Iterable[str]) -> dict[str, type]:
    """The classes that these modules of turnstream define, and all modules below them, as far as they are loaded."""
    found: dict[str, type] = {}
    for part in parts:
        top = f"turnstream.{part}"
        for name, module in list(sys.modules.items()):
            if name == top or name.startswith(f"{top}."):
                own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == name]
                found |= {f"{name.partition('.')[2]}.{kind.__name__}": kind for kind in own}
    return found


def has_own_state(kind: type) -> bool:
    """Whether the class says itself what its state is (`__getstate__`); dataclasses, some of which do too, need not."""
    return "__getstate__" in vars(kind) and not dataclasses.is_dataclass(kind)


@functools.cache
def fields_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass by field; those that cannot be resolved fit anything."""
    try:
        hints = get_type_hints(kind)
    except NameError:  # imported for type checkers only
        hints = {}
    return {field.name: hints.get(field.name, Any) for field in dataclasses.fields(kind)}


@functools.cache
def checks_of(kind: type) -> list[tuple[str, Any, Check]]:
    """Of each field of a dataclass its name, its annotation, and whether a value is what that says."""
    return [(name, hint, check_of(hint)) for name, hint in fields_of(kind).items()]


def check_of(hint: Any) -> Check:
    """Whether a value is what the annotation says; of containers, their own type and no element's."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        checks = [check_of(one) for one in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin is Literal:
        return lambda value: type(value) is str and value in arguments
    if origin is np.ndarray:
        return lambda value: isinstance(value, np.ndarray) and _has_type(value, arguments[1])
    kind = origin or hint
    if hint is Any or not isinstance(kind, type):
        return lambda value: True
    if kind in (int, float):
        numbers = NUMBERS if kind is float else (int, np.integer)
        return lambda value: isinstance(value, numbers) and not isinstance(value, bool)
    return lambda value: isinstance(value, kind)


def _has_type(array: np.ndarray, dtype: Any) -> bool:
    (wanted,) = get_args(dtype) or (Any,)
    return not isinstance(wanted, type) or issubclass(array.dtype.type, wanted)


def alike(found: Any, model: Any, compared: set[int] | None = None) -> bool:
    """Whether `found` could have become of `model`, an object of the same state that was made in the usual way.

    It has the same attributes; each is of the same type, and so are theirs, unless it is None in the model.
    """
    compared = compared or set()
    if model is None or found is model or id(model) in compared:
        return True
    if isinstance(model, NUMBERS) and not isinstance(model, bool):
        return isinstance(found, NUMBERS) and not isinstance(found, bool)
    if type(found) is not type(model):
        return False
    if isinstance(model, np.ndarray):
        return bool(found.dtype == model.dtype and found.ndim == model.ndim)
    if not hasattr(model, "__dict__") or dataclasses.is_dataclass(model) or has_own_state(type(model)):
        return True
    return attributes_alike(vars(found), vars(model), compared | {id(model)})


def attributes_alike(found: Mapping[str, Any], model: Mapping[str, Any], compared: set[int] | None = None) -> bool:
    """Whether the same names stand in both, for values that are `alike`."""
    return found.keys() == model.keys() and all(alike(found[name], model[name], compared) for name in model)
