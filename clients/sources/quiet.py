"""Libraries that write to standard error themselves are kept off the screen."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """ALSA, PortAudio and mpg123 write to file descriptor 2, into the screen; Python's stderr goes on as before."""
    python_stderr, saved, nowhere = sys.stderr, os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    if _is_descriptor_2(python_stderr):
        sys.stderr = os.fdopen(saved, "w", buffering=1, errors="replace", closefd=False)
    try:
        yield
    finally:
        sys.stderr = python_stderr
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _is_descriptor_2(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):
        return False
