"""Numba functions whose machine code is cached on disk until any kernel file changes.

Numba's own cache checks only the file of the function itself; code inlined from other files (register tiles, vector
intrinsics, sizes) could be stale after an update. So the folder is named after the hash of all of them. Numba also
wants a folder that can be written to; here one that is ready is read, and without any the functions are compiled anew.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="assignment, no-untyped-call"
from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

_config: Any = numba.config


@cache
def cache_folder(sources: Path) -> Path | None:
    """The folder for machine code of the Python files in `sources`; a different one after any of them has changed.

    None where there is neither a folder beside them nor one of the user's.
    """
    files = [*sorted(sources.glob("*.py")), *sources.parent.glob("sizes.py")]
    name = f"numba-{hashlib.sha256(b''.join(path.read_bytes() for path in files)).hexdigest()[:16]}"
    beside, users = sources / "__pycache__", _users_cache()
    if _config.CACHE_DIR:
        return Path(_config.CACHE_DIR) / name
    if (beside / name).is_dir() or os.access(sources, os.W_OK):
        return beside / name
    return users / name if users else None


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(**options)` without the global interpreter lock, cached."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, **options)(function)
        if folder := cache_folder(Path(__file__).parent):
            dispatcher._cache = _cache_in(folder)(function)
        return dispatcher

    return decorate


def _users_cache() -> Path | None:
    """turnstream's folder in the user's cache, as for the weights; None without a home."""
    if named := os.environ.get("TURNSTREAM_CACHE"):
        return Path(named).expanduser().absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):
        return Path(xdg) / "turnstream"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "turnstream"


def _cache_in(folder: Path) -> Callable[[Callable[..., Any]], Any]:
    """Numba's cache in one folder, which may be missing or not be written to."""

    class Locator(caching._CacheLocator):
        def __init__(self, function):
            self._line = function.__code__.co_firstlineno

        def get_cache_path(self):
            return str(folder)

        def get_source_stamp(self):
            return folder.name

        def get_disambiguator(self):
            return str(self._line)

        @classmethod
        def from_function(cls, function, file):
            return cls(function)

    class Files(caching.CompileResultCacheImpl):
        _locator_classes = (Locator,)

    class Cache(caching.FunctionCache):
        _impl_class = Files

        def load_overload(self, *arguments):
            with contextlib.suppress(OSError):
                return super().load_overload(*arguments)

        def save_overload(self, *arguments):
            with contextlib.suppress(OSError):
                super().save_overload(*arguments)

    return Cache
