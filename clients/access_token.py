"""The access token of a server: in a file, or in the environment where a command line would show it to others."""

from __future__ import annotations

import os
from pathlib import Path

from turnstream.errors import TurnstreamError


def read_token(path: str | None) -> str | None:
    """The token in this file, else $TURNSTREAM_TOKEN, else None. Raises TurnstreamError for a file that has none."""
    if path is None:
        return os.environ.get("TURNSTREAM_TOKEN") or None
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise TurnstreamError(f"cannot read the token in {path}: {reason}") from None
