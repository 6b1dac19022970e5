"""Numba functions whose machine code is kept on disk until any kernel file changes.

Numba's own cache asks only whether the file of a function has changed; what was compiled into it from other files
(register tiles, vector intrinsics) could stay old after an update. So the folder is named by the hash of them all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

_config: Any = numba.config


@cache
def cache_folder(sources: Path) -> Path:
    """Where the machine code of the Python files in `sources` is kept; another one after any of them has changed."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources.glob("*.py")))).hexdigest()[:16]
    beside = sources / "__pycache__" if os.access(sources, os.W_OK) else Path.home() / ".cache" / "turnstream"
    return Path(_config.CACHE_DIR or beside) / f"numba-{digest}"


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(**options)` without the interpreter's lock, cached."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = _config.CACHE_DIR
        _config.CACHE_DIR = str(cache_folder(Path(__file__).parent))
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        finally:
            _config.CACHE_DIR = before

    return decorate
