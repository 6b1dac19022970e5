"""The token of a server, from a file or from the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from turnstream.errors import TurnstreamError
from turnstream.files import read_at_most

from .outputs import warn

MOST_BYTES = 10_000


def read_token(path: str | None) -> str | None:
    """The token in a file, else `$TURNSTREAM_TOKEN`, if there is one. Raises TurnstreamError."""
    if path is None:
        return os.environ.get("TURNSTREAM_TOKEN") or None
    try:
        token = read_at_most(path, MOST_BYTES).decode("ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise TurnstreamError(f"cannot read the token in {path}: {reason}") from None
    warn_if_open(Path(path))
    return token


def warn_if_open(path: Path) -> None:
    """Say so where a secret can be read by everyone on this machine."""
    if path.is_file() and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        warn(f"{path} is a secret that everyone on this machine can read: chmod 600 {path}")
