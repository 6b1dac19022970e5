"""Constants from a JSON file, checked strictly so that a typo is reported instead of ignored."""

from __future__ import annotations

import json
import math
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import TurnstreamError, shown
from ..files import read_at_most
from ..json_text import load_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Constants = TypeVar("Constants", bound=DataclassInstance)

MOST_BYTES = 1_000_000  # of a file to read

# By the suffix of the name, which is its unit; the first match counts.
LIMITS: tuple[tuple[str, float, float], ...] = (
    ("_share", 0.0, 1.0),
    ("_floor", 0.0, 1.0),
    ("_cosine", -1.0, 1.0),
    ("_margin", 0.0, 2.0),
    ("_relief", 0.0, 2.0),
    ("_distance", 0.0, 2.0),
    ("_distances", 0.0, 2.0),
    ("_growth", 1.0, 100.0),
    ("_windows", 1, 10_000),
    ("_most", 1, 1_000_000),
    ("_speakers", 1, 10_000),
    ("_s", 0.0, 3600.0),
)


def read_constants(path: Path | str, kind: type[Constants]) -> Constants:
    """A frozen dataclass of numbers, its defaults overridden by the file.

    The file is one JSON object, name to value. Raises TurnstreamError, which says what was expected and what was got,
    for a file of another kind, for unknown and repeated names, and for values of another type or out of range.
    """
    known = {field.name: field for field in fields(kind)}
    values = {}
    for name, value in _pairs(Path(path)):
        if name not in known:
            raise TurnstreamError(f"{path}: expected constants among {', '.join(known)}, got {shown(name)}")
        if name in values:
            raise TurnstreamError(f"{path}: expected {name} once, got it twice")
        values[name] = _checked(path, known[name], value)
    return kind(**values)


def limits(name: str) -> tuple[float, float]:
    """The smallest and the largest sensible value for a constant of this name."""
    return next(((low, high) for end, low, high in LIMITS if name.endswith(end)), (-math.inf, math.inf))


def _pairs(path: Path) -> list[tuple[str, Any]]:
    try:
        pairs = load_json(read_at_most(path, MOST_BYTES), object_pairs_hook=list)
    except OSError as error:
        raise TurnstreamError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise TurnstreamError(f"{path}: expected JSON, got {error}") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise TurnstreamError(f"{path}: expected one JSON object, got {json.dumps(pairs)[:40]!r}")
    return pairs


def _checked(path: Path | str, field: Field[Any], value: Any) -> Any:
    """The value in the type of the constant's default."""
    default = field.default
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) != len(default):
            raise TurnstreamError(f"{path}: expected {field.name} to be {len(default)} numbers, got {shown(value)}")
        return tuple(_number(path, field.name, float, part) for part in value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise TurnstreamError(f"{path}: expected {field.name} to be true or false, got {shown(value)}")
        return value
    return _number(path, field.name, type(default), value)


def _number(path: Path | str, name: str, kind: type[Any], value: Any) -> Any:
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise TurnstreamError(f"{path}: expected {name} to be a {'whole ' * whole}number, got {shown(value)}")
    low, high = limits(name)
    if not low <= value <= high:  # false for nan too
        raise TurnstreamError(f"{path}: expected {name} from {low:g} to {high:g}, got {value}")
    return kind(value)
