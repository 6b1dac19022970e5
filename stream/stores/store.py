"""What every store does: it keeps the snapshots of sessions, each of which has one owner at a time.

Who takes a session raises its epoch; from then on nothing of its former owner is accepted. Calls may block: they are
not for an event loop. Any of them raises StoreError where the store does not answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import TurnstreamError

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # becomes a file's name and a key
MOST_PIECES = 1 << 20


class StoreError(TurnstreamError):
    """The store does not answer, or refuses."""


class StaleError(TurnstreamError):
    """The session has another owner now, or was forgotten."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A session of a store: its epoch, the head of its snapshot, and the `pieces` of its past that belong to it."""

    epoch: int
    head: bytes
    pieces: list[bytes]


class Store(Protocol):
    """See the module."""

    def save(self, session: str, epoch: int, head: bytes, piece: bytes | None, pieces: int) -> None:
        """Keep a snapshot, whole or not at all; epoch 1 without any before begins a session.

        `piece` is the newest of `pieces` pieces of its past, None where that has not changed. Raises StaleError.
        """

    def claim(self, session: str) -> Kept | None:
        """Take the session: its epoch is one higher now. None where there is none."""

    def holds(self, session: str, epoch: int) -> bool:
        """Whether this is still its epoch."""

    def forget(self, session: str, epoch: int) -> None:
        """The session is over; does nothing where it has another owner."""

    def sweep(self) -> None:
        """Forget sessions that nobody has saved for longer than the store keeps them."""

    def close(self) -> None:
        """Nothing more will be asked."""


def open_store(url: str, keep_s: float) -> Store:
    """The store at a path, file://, redis://, rediss://, unix://, valkey:// or s3:// address. Raises StoreError.

    It keeps what is not saved again for `keep_s` seconds.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme == "file":
        from .folder import FolderStore

        return FolderStore(Path(rest if colon else url), keep_s)
    if scheme in ("redis", "rediss", "unix", "valkey", "valkeys"):
        from .redis import RedisStore

        return RedisStore(f"{scheme.replace('valkeys', 'rediss').replace('valkey', 'redis')}://{rest}", keep_s)
    if scheme == "s3":
        from .s3 import S3Store

        return S3Store(url, keep_s)
    raise StoreError(f"expected a store such as a folder, redis://HOST:6379/0 or s3://BUCKET, got {scheme}://")


def checked_id(session: str) -> str:
    """The id, which may become a path. Raises StoreError."""
    if not SESSION_ID.fullmatch(session):
        raise StoreError("expected a session id of letters, digits, _ and -, got others")
    return session
