"""Files that may be anything: read up to a bound, and written whole or not at all."""

from __future__ import annotations

import glob
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path


def read_at_most(path: Path | str, most_bytes: int, *, regular: bool = False) -> bytes:
    """All bytes of a file. `regular`: a pipe or a device is refused, and never waited for.

    Raises OSError, with `strerror` set, also for a file of more than `most_bytes`, whatever its size is said to be.
    """
    with open(path, "rb", opener=regular_only if regular else None) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(0, f"expected at most {most_bytes} bytes, got more")
    return data


def regular_only(path: str, flags: int) -> int:
    """An opener for `open`: a pipe or a device is refused, and never waited for. Raises OSError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder, `open` says so itself
        os.close(descriptor)
        raise OSError(0, "expected a regular file, got a pipe or a device")
    return descriptor


def write_whole(path: Path, content: bytes, *, private: bool = False, staging: Path | None = None) -> None:
    """Write a file in one step: readers find the old content or all of the new, and so they do after a crash.

    What is no regular file (a pipe, /dev/stdout) is written to as it is; a link stays and what it names is replaced.
    `private`: only its owner can read it. `staging`: the folder in which it is written first, on the same disk; by
    default its own, as `leftovers` finds it. Raises OSError.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    target = path.resolve()
    new = (staging or target.parent) / f".{target.name}.{secrets.token_hex(8)}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def leftovers(path: Path) -> Iterator[Path]:
    """What crashes left of this file before it was whole, and what others are writing now."""
    return path.parent.glob(f".{glob.escape(path.name)}.*.new")
