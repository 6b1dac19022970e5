"""A store in a Redis or Valkey server: a hash a session, changed by scripts, which run whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .store import MOST_PIECES, Kept, StaleError, StoreError, checked_id

TIMEOUT_S = 5.0
PREFIX = "turnstream:session:"

# ARGV: epoch, milliseconds to keep, pieces, head, and the number of the newest piece and that piece, if there is one
SAVE = """
local now = redis.call('HGET', KEYS[1], 'epoch')
if now ~= ARGV[1] and not (not now and ARGV[1] == '1') then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'pieces', ARGV[3], 'head', ARGV[4])
if ARGV[5] then redis.call('HSET', KEYS[1], 'past-' .. ARGV[5], ARGV[6]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
CLAIM = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('HGETALL', KEYS[1])
"""
FORGET = """
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""


class RedisStore:
    """See `Store`. Raises StoreError without the client library, and for an address that is none."""

    def __init__(self, url: str, keep_s: float):
        try:
            import redis
        except ImportError:
            raise StoreError("expected Redis's client: install it with pip install 'turnstream[redis]'") from None
        self._error: type[Exception] = redis.RedisError
        self._keep_ms = round(1000 * keep_s)
        try:
            timeouts: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
            self._client = redis.Redis.from_url(url, **timeouts)
        except (ValueError, redis.RedisError) as error:
            raise StoreError(f"expected a store such as redis://HOST:6379/0: {error}") from None

    def save(self, session: str, epoch: int, head: bytes, piece: bytes | None, pieces: int) -> None:
        """See `Store`."""
        newest = () if piece is None else (pieces - 1, piece)
        if not self._run(SAVE, session, epoch, self._keep_ms, pieces, head, *newest):
            raise StaleError(f"expected epoch {epoch} of the session, got another")

    def claim(self, session: str) -> Kept | None:
        """See `Store`."""
        found = self._run(CLAIM, session, self._keep_ms)
        if not found:
            return None
        values = dict(zip(found[::2], found[1::2], strict=True))
        try:
            count = int(values[b"pieces"])
            if count > MOST_PIECES:
                raise ValueError(f"expected at most {MOST_PIECES} pieces, got {count}")
            pieces = [values[b"past-%d" % number] for number in range(count)]
            return Kept(int(values[b"epoch"]), values[b"head"], pieces)
        except (KeyError, ValueError) as error:
            raise StoreError(f"the session in the store is damaged: {error}") from None

    def holds(self, session: str, epoch: int) -> bool:
        """See `Store`."""
        with self._answering():
            return self._client.hget(_key(session), "epoch") == str(epoch).encode()

    def forget(self, session: str, epoch: int) -> None:
        """See `Store`."""
        self._run(FORGET, session, epoch)

    def sweep(self) -> None:
        """Redis does so itself."""

    def close(self) -> None:
        """See `Store`."""
        self._client.close()

    def _run(self, script: str, session: str, *arguments: Any) -> Any:
        with self._answering():
            return self._client.eval(script, 1, _key(session), *arguments)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise StoreError(f"the store does not answer: {error}") from None


def _key(session: str) -> str:
    return PREFIX + checked_id(session)
