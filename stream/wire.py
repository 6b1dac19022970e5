"""Strict values of JSON messages: one function for each kind says what it expects, and frozen dataclasses use them.

A message class gives each field by `wire(check)`; `build` makes it from a JSON object, `fields_of` turns it back. A
check takes what JSON gave and returns the field's value, or raises ProtocolError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

from .errors import TurnstreamError, shown
from .json_text import DeepError, load_json
from .limits import legible

Check = Callable[[Any], Any]
T = TypeVar("T")

MAX_WHOLE = 2**53  # above it JavaScript's numbers skip some


class ProtocolError(TurnstreamError):
    """A message that is not what the protocol says; `expected` names what would have been right."""

    def __init__(self, expected: str, got: object, where: str = "") -> None:
        self.expected, self.got, self.where = expected, got, where
        super().__init__(f"{where}: " * bool(where) + f"expected {expected}, got {shown(got)}")

    def at(self, where: str) -> ProtocolError:
        """The same error, one level up."""
        return ProtocolError(self.expected, self.got, f"{where}.{self.where}" if self.where else where)


def wire(check: Check, *, name: str | None = None, default: Any = MISSING) -> Any:
    """A dataclass field that travels as `name` (its own by default); without a default it must be there."""
    return field(default=default, metadata={"check": check, "name": name})


def wire_name(entry: Field[Any]) -> str:
    """The key of a field in JSON."""
    return entry.metadata["name"] or entry.name


def wire_fields(kind: Any) -> dict[str, Field[Any]]:
    """The fields of a message (class) that travel, by their key in JSON."""
    return {wire_name(entry): entry for entry in fields(kind) if "check" in entry.metadata}


def build(kind: type[T], values: Mapping[str, Any], *, strict: bool) -> T:
    """A message of class `kind` from the fields of a JSON object; where `strict`, unknown fields are an error."""
    entries = wire_fields(kind)
    if strict and (unknown := sorted(set(values) - set(entries))):
        raise ProtocolError(f"fields out of {', '.join(entries)}", unknown[0])
    given = {}
    for key, entry in entries.items():
        if key in values:
            try:
                given[entry.name] = entry.metadata["check"](values[key])
            except ProtocolError as error:
                raise error.at(key) from None
        elif entry.default is MISSING:
            raise ProtocolError(f"a field {key}", "none")
    return kind(**given)


def fields_of(message: Any) -> dict[str, Any]:
    """The fields of a message as JSON takes them; raises ProtocolError for a value that may not be sent."""
    values: dict[str, Any] = _plain(message)
    build(type(message), values, strict=True)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {key: _plain(getattr(value, entry.name)) for key, entry in wire_fields(value).items()}
    return value


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in `text`; raises ProtocolError for anything else, keys that come twice, NaN, depth."""
    try:
        value = load_json(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except DeepError as error:
        raise ProtocolError(error.expected, text) from None
    except ValueError:
        raise ProtocolError("a JSON object", text) from None
    if not isinstance(value, dict):
        raise ProtocolError("a JSON object", text)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ProtocolError("each field once", [key for key, _ in pairs])
    return values


def _no_constant(name: str) -> float:
    raise ProtocolError("finite numbers", name)


def whole(low: int = 0, high: int = MAX_WHOLE) -> Check:
    """A whole number of `low` to `high`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ProtocolError(f"a whole number of {low} to {high}", value)
        return value

    return check


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite number of `low` to `high`, as a float."""

    def check(value: Any) -> float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            if good and low <= float(value) <= high and math.isfinite(value):
                return float(value)
        except OverflowError:
            pass
        raise ProtocolError(f"a number of {low:g} to {high:g}", value)

    return check


def text(longest: int, pattern: str = r".*", what: str = "text") -> Check:
    """Text of up to `longest` characters that has the whole `pattern`, newlines included."""
    form = re.compile(pattern, re.DOTALL)

    def check(value: Any) -> str:
        if isinstance(value, str) and len(value) <= longest and form.fullmatch(value) and _encodes(value):
            return value
        raise ProtocolError(f"{what} of up to {longest} characters", value)

    return check


def name_text(longest: int) -> Check:
    """A name for people to read: printable, not empty, no blanks at its ends."""

    def check(value: Any) -> str:
        if isinstance(value, str) and 0 < len(value) <= longest and legible(value) and value == value.strip():
            return value
        raise ProtocolError(f"a name of 1 to {longest} printable characters", value)

    return check


def one_of(*choices: str) -> Check:
    """One of a few words."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise ProtocolError(f"one of {', '.join(choices)}", value)

    return check


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ProtocolError("true or false", value)
    return value


def optional(check: Check) -> Check:
    """What `check` takes, or null."""
    return lambda value: None if value is None else check(value)


def many(check: Check, most: int = MAX_WHOLE) -> Check:
    """A list of up to `most` of what `check` takes, as a tuple."""

    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ProtocolError(f"a list of up to {most}", value)
        return tuple(check(item) for item in value)

    return check_all


def nested(kind: type[Any], *, strict: bool = False) -> Check:
    """A message inside a message."""

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ProtocolError("a JSON object", value)
        return build(kind, value, strict=strict)

    return check


def _encodes(value: str) -> bool:
    """False for half of a surrogate pair, which JSON can name and UTF-8 cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)
