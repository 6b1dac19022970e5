"""JSON that others wrote: nested no deeper than what reads it can follow. Imports no package.

Python's own limit depends on how deep the caller is, and printing a value takes more of it than parsing does.
"""

from __future__ import annotations

import json
from typing import Any

MOST_LEVELS = 32  # this project's own texts have 4


class DeepError(ValueError):
    """JSON that is nested too deep."""

    expected = f"JSON of at most {MOST_LEVELS} levels"

    def __init__(self) -> None:
        super().__init__(f"more than {MOST_LEVELS} levels, expected at most {MOST_LEVELS} levels")


def load_json(text: str | bytes, **hooks: Any) -> Any:
    """`json.loads`; raises ValueError for what is no JSON, and DeepError, which is one, for too many levels."""
    try:
        value = json.loads(text, **hooks)
    except RecursionError:
        raise DeepError from None
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [item for one in level for item in _items(one)]
    if any(isinstance(one, dict | list | tuple) for one in level):
        raise DeepError
    return value


def _items(value: Any) -> Any:
    match value:
        case dict():
            return value.values()
        case list() | tuple():
            return value
    return ()
