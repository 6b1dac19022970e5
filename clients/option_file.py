"""Options from a TOML file: a table for each command, its keys the long options without their dashes.

They go through the checks of the command line, which overrides them.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from turnstream.errors import TurnstreamError, shown
from turnstream.files import read_at_most

MOST_BYTES = 1_000_000
COMMANDS = ("file", "mic", "serve", "connect", "demo", "batch", "enroll", "tune")
NOT_IN_A_FILE = ("help", "config")


def read_options(command: str, path: str, actions: Iterable[argparse.Action]) -> dict[str, Any]:
    """What the file says of these options of `command`, by their destinations. Raises TurnstreamError."""
    known = {
        name.removeprefix("--"): action
        for action in actions
        for name in action.option_strings
        if name.startswith("--") and name.removeprefix("--") not in NOT_IN_A_FILE
    }
    values: dict[str, Any] = {}
    for key, value in _table(command, path).items():
        where = f"{path}: [{command}] {shown(key)}"
        if key not in known:
            raise TurnstreamError(f"{where}: expected one of {', '.join(known)}")
        try:
            _set(known[key], key, value, values)
        except (argparse.ArgumentError, argparse.ArgumentTypeError, ValueError) as error:
            raise TurnstreamError(f"{where}: {getattr(error, 'message', error)}") from None
    return values


def _table(command: str, path: str) -> Mapping[str, Any]:
    try:
        content: dict[str, Any] = tomllib.loads(read_at_most(path, MOST_BYTES, regular=True).decode())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TurnstreamError(f"cannot read the options in {path}: {reason}") from None
    for name, value in content.items():
        if name not in COMMANDS or not isinstance(value, dict):
            tables = ", ".join(f"[{command}]" for command in COMMANDS)
            raise TurnstreamError(f"{path}: expected the tables {tables}, got {shown(name)}")
    table: dict[str, Any] = content.get(command, {})
    return table


def _set(action: argparse.Action, key: str, value: object, values: dict[str, Any]) -> None:
    """The value as the option would have set it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, got {shown(value)}")
        values[action.dest] = value
    elif action.nargs in ("*", "+") or isinstance(action.default, list):
        if not isinstance(value, list):
            raise ValueError(f"expected a list, got {shown(value)}")
        values[action.dest] = [_one(action, item) for item in value]
    else:
        found = argparse.Namespace()
        action(argparse.ArgumentParser(), found, _one(action, value), f"--{key}")
        values.update(vars(found))


def _one(action: argparse.Action, value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a string or a number, got {shown(value)}")
    try:
        made = action.type(str(value)) if callable(action.type) else str(value)
    except ValueError:
        raise ValueError(f"expected a whole number, got {shown(value)}") from None
    if action.choices is not None and made not in action.choices:
        raise ValueError(f"expected one of {', '.join(action.choices)}, got {shown(value)}")
    return made
