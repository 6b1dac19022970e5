"""Numba functions whose machine code is cached on disk until any kernel file changes.

Numba's own cache checks only the file of the function itself; code inlined from other files (register tiles, vector
intrinsics, sizes) could be stale after an update. So the folder is named after the hash of all of them.
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
    """The folder for machine code of the Python files in `sources`; a different one after any of them has changed."""
    files = [*sorted(sources.glob("*.py")), *sources.parent.glob("sizes.py")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    beside = sources / "__pycache__" if os.access(sources, os.W_OK) else Path.home() / ".cache" / "turnstream"
    return Path(_config.CACHE_DIR or beside) / f"numba-{digest}"


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(**options)` without the global interpreter lock, cached."""

    def decorate(function: Callable[..., Any]) -> Any:
        before = _config.CACHE_DIR
        _config.CACHE_DIR = str(cache_folder(Path(__file__).parent))
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        finally:
            _config.CACHE_DIR = before

    return decorate
