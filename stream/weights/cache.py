"""The user's cache folder: atomic writes with a record of each file's hash, and a lock between processes.

A file counts as present only if its bytes match the hash in its record, so whatever an interruption, a full disk or a
bad disk leaves behind is never used.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import WeightsError
from ..files import write_whole
from ..json_text import load_json


def cache_dir() -> Path:
    """Folder of the cache: $TURNSTREAM_CACHE, else turnstream/ in the user's cache folder. It may not exist yet."""
    named = os.environ.get("TURNSTREAM_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # the XDG specification says to ignore relative paths
        return Path(xdg) / "turnstream"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise WeightsError("no home folder is known: set TURNSTREAM_CACHE to a folder you can write to") from error
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "turnstream"


def sha256(data: bytes) -> str:
    """SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def load(path: Path, source_sha256: str) -> bytes | None:
    """Bytes of the cached file made from the source with that hash; None if absent, outdated or damaged."""
    try:
        record = load_json(_record_path(path).read_bytes())
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    return data if record == _record(source_sha256, data) else None


def store(path: Path, data: bytes, source_sha256: str, folder: Path) -> None:
    """Write the cached file and its record, each atomically, via the staging `folder`.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data, staging=folder)
    write_whole(_record_path(path), json.dumps(_record(source_sha256, data), indent=1).encode(), staging=folder)


def discard(path: Path) -> bool:
    """Delete the cached file and its record; True if the file was there. Raises OSError."""
    _record_path(path).unlink(missing_ok=True)
    present = path.exists()
    path.unlink(missing_ok=True)
    return present


@contextlib.contextmanager
def exclusive(on_wait: Callable[[], None]) -> Iterator[Path]:
    """Lock the cache against other processes; yields an empty staging folder in it that is deleted afterwards.

    `on_wait` is called once if another process holds the lock; the system releases it when its holder dies.
    Raises WeightsError if the cache cannot be written.
    """
    with explained():
        cache_dir().mkdir(parents=True, exist_ok=True)
        file = (cache_dir() / ".lock").open("ab")
    with file:
        with explained():
            _lock(file.fileno(), on_wait)
            for leftover in cache_dir().glob(".staging-*"):  # from a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=cache_dir()))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn an OSError of the cache into one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightsError(disk_full_message()) from error
        raise WeightsError(
            f"cannot write to the cache folder {cache_dir()} ({error.strerror or error}): "
            "set TURNSTREAM_CACHE to a folder you can write to"
        ) from error


def disk_full_message() -> str:
    """What to tell a user whose disk is full."""
    return (
        f"the disk of the cache folder {cache_dir()} is full: make room (200 MB are needed for a moment), "
        "or set TURNSTREAM_CACHE to a folder on another disk"
    )


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _record(source_sha256: str, data: bytes) -> dict[str, str]:
    return {"source_sha256": source_sha256, "sha256": sha256(data)}


def _lock(descriptor: int, on_wait: Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        # Some network folders do not support locks; writes are still atomic, at worst both processes download.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
