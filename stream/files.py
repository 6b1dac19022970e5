"""Files that may be anything: read up to a bound, and written so that only their owner can read them."""

from __future__ import annotations

import os
import stat
import tempfile
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


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step: readers find the old text or all of the new one.

    What is no regular file (a pipe, /dev/stdout) is written to as it is. Raises OSError.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    target = path.resolve()
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
