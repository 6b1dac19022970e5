"""A store in S3, or what speaks like it: one object a session, replaced only by who knows the one before it.

Beside that object lie the pieces of the past, each named after its number and the epoch of its writer, so that a former
owner can write nothing that counts. Deleting is no conditional operation everywhere: an epoch of 0 comes first.
"""

from __future__ import annotations

import contextlib
import secrets
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .store import MOST_PIECES, Kept, StaleError, StoreError, checked_id

TIMEOUT_S = 5.0
TRIES = 3  # of one request
CONNECTIONS = 16  # as many as a server has threads for its store
MOST_CLAIMS = 50  # tries to be faster than others
NUMBER = struct.Struct("<Q")
GONE = 0  # the epoch of a session that is being deleted
ROUNDED_S = 1.0  # the times of a bucket have no fractions
EXPECTED = "expected a store such as s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME"


@dataclass(frozen=True, slots=True)
class _Head:
    """The object of a session; `pieces` has the epoch in which each was written, `tag` is the object's version."""

    epoch: int
    pieces: tuple[int, ...]
    head: bytes
    tag: str = ""

    def to_bytes(self) -> bytes:
        numbers = (self.epoch, len(self.pieces), *self.pieces)
        return b"".join(NUMBER.pack(number) for number in numbers) + self.head

    @classmethod
    def read(cls, data: bytes, tag: str) -> _Head:
        """Raises StoreError."""
        if len(data) < 2 * NUMBER.size:
            raise StoreError("the session in the store is damaged: its head is cut off")
        epoch, count = struct.unpack_from("<2Q", data)
        end = (2 + count) * NUMBER.size
        if count > MOST_PIECES or len(data) < end:
            raise StoreError("the session in the store is damaged: its head is cut off")
        return cls(epoch, struct.unpack_from(f"<{count}Q", data, 2 * NUMBER.size), data[end:], tag)


class _ChangedError(Exception):
    """The object is not the one that was expected."""


class S3Store:
    """See `Store`. Raises StoreError without the client library, and for a store without conditional writes."""

    def __init__(self, url: str, keep_s: float):
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if not parts.netloc or set(options) - {"endpoint", "region"} or "" in options.values():
            raise StoreError(f"{EXPECTED}, got {url}")
        self._bucket, self._keep_s = parts.netloc, keep_s
        self._prefix = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        self._client, self._errors = _client(options)
        self._newest: dict[str, _Head] = {}  # what this process wrote last, without its head
        self._prove()

    def save(self, session: str, epoch: int, head: bytes, piece: bytes | None, pieces: int) -> None:
        """See `Store`."""
        now = self._newest.get(session) or self._get(session)
        if (now is None and epoch != 1) or (now is not None and now.epoch != epoch):
            raise StaleError(f"expected epoch {epoch} of the session, got {now.epoch if now else 'none'}")
        written = now.pieces[: pieces - (piece is not None)] if now else ()
        if piece is not None:
            self._put(self._piece(session, pieces - 1, epoch), piece)
            written = (*written, epoch)
        fresh = _Head(epoch, written, head)
        try:
            self._replace(session, now, fresh)
        except _ChangedError:  # by another owner, or by a try of ours whose answer was lost
            now = self._get(session)
            if now is None or now.epoch != epoch:
                raise StaleError(f"expected epoch {epoch} of the session, got {now.epoch if now else 'none'}") from None
            self._replace_or_lose(session, now, fresh)

    def claim(self, session: str) -> Kept | None:
        """See `Store`."""
        for _ in range(MOST_CLAIMS):
            now = self._get(session)
            if now is None or now.epoch == GONE:
                return None
            with contextlib.suppress(_ChangedError):
                self._replace(session, now, _Head(now.epoch + 1, now.pieces, now.head))
                past = [self._piece(session, *numbered) for numbered in enumerate(now.pieces)]
                with ThreadPoolExecutor(CONNECTIONS) as pool:  # an hour has 120 pieces
                    return Kept(now.epoch + 1, now.head, list(pool.map(self._read, past)))
        raise StoreError("the session in the store is claimed by too many at once")

    def holds(self, session: str, epoch: int) -> bool:
        """See `Store`."""
        found = self._fetch(self._key(session), Range=f"bytes=0-{NUMBER.size - 1}")
        held = found is not None and found[0] == NUMBER.pack(epoch)
        if not held:
            self._newest.pop(session, None)
        return held

    def forget(self, session: str, epoch: int) -> None:
        """See `Store`."""
        now = self._get(session)
        if now is not None and now.epoch == epoch:
            self._remove(session, now)

    def sweep(self) -> None:
        """See `Store`."""
        before_s = time.time() - self._keep_s - ROUNDED_S
        saved: dict[str, float] = defaultdict(float)
        for key, changed_s in self._list(self._prefix):
            session = key.removeprefix(self._prefix).partition("/")[0]
            saved[session] = max(saved[session], changed_s)
        for session in (session for session, changed_s in saved.items() if changed_s < before_s):
            now = self._get(session)
            self._remove(session, now) if now else self._delete_all(session)

    def close(self) -> None:
        """See `Store`."""
        self._client.close()

    def _prove(self) -> None:
        """Raises StoreError where writes are not conditional: two owners would overwrite each other."""
        key = f"{self._prefix}proof-{secrets.token_hex(8)}"
        try:
            self._put(key, b"1", IfNoneMatch="*")
            for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"0"'}):
                with contextlib.suppress(_ChangedError):
                    self._put(key, b"2", **condition)
                    raise StoreError(f"the store s3://{self._bucket} ignores If-Match and If-None-Match")
        finally:
            with self._answering():
                self._client.delete_object(Bucket=self._bucket, Key=key)

    def _remove(self, session: str, now: _Head) -> None:
        with contextlib.suppress(_ChangedError):
            self._replace(session, now, _Head(GONE, (), b""))
            self._delete_all(session)

    def _delete_all(self, session: str) -> None:
        """The head last: what is left before is found again."""
        self._newest.pop(session, None)
        for key in sorted((key for key, _ in self._list(f"{self._prefix}{session}/")), reverse=True):
            with self._answering():
                self._client.delete_object(Bucket=self._bucket, Key=key)

    def _replace_or_lose(self, session: str, now: _Head, fresh: _Head) -> None:
        try:
            self._replace(session, now, fresh)
        except _ChangedError:
            raise StaleError("the session was taken in this moment") from None

    def _replace(self, session: str, now: _Head | None, fresh: _Head) -> None:
        """Raises _ChangedError where `now` is not what is there."""
        self._newest.pop(session, None)
        condition = {"IfMatch": now.tag} if now else {"IfNoneMatch": "*"}
        tag = self._put(self._key(session), fresh.to_bytes(), **condition)
        if fresh.epoch != GONE:
            self._newest[session] = _Head(fresh.epoch, fresh.pieces, b"", tag)

    def _get(self, session: str) -> _Head | None:
        found = self._fetch(self._key(session))
        return None if found is None else _Head.read(*found)

    def _read(self, key: str) -> bytes:
        found = self._fetch(key)
        if found is None:
            raise StoreError("the session in the store is damaged: a piece of its past is missing")
        return found[0]

    def _fetch(self, key: str, **options: str) -> tuple[bytes, str] | None:
        with contextlib.suppress(_ChangedError), self._answering():
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **options)
            return answer["Body"].read(), answer["ETag"]
        return None

    def _put(self, key: str, data: bytes, **condition: str) -> str:
        with self._answering():
            return str(self._client.put_object(Bucket=self._bucket, Key=key, Body=data, **condition)["ETag"])

    def _list(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Keys, and when they were written."""
        with self._answering():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"], entry["LastModified"].timestamp()

    def _key(self, session: str) -> str:
        return f"{self._prefix}{checked_id(session)}/head"

    def _piece(self, session: str, number: int, epoch: int) -> str:
        return f"{self._prefix}{checked_id(session)}/past-{number:06d}-{epoch}"

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Raises _ChangedError for a condition that does not hold and an object that is not there, else StoreError."""
        try:
            yield
        except self._errors as error:
            answer = getattr(error, "response", {})
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status in (409, 412) or answer.get("Error", {}).get("Code") == "NoSuchKey":
                raise _ChangedError from None
            raise StoreError(f"the store s3://{self._bucket} does not answer: {error}") from None


def _client(options: dict[str, str]) -> tuple[Any, tuple[type[Exception], ...]]:
    """Who asks, with credentials from the environment, as all programs for S3; and what it raises."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise StoreError("expected S3's client: install it with pip install 'turnstream[s3]'") from None
    config = Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
    )
    where = {"endpoint_url": options.get("endpoint"), "region_name": options.get("region")}
    try:
        return boto3.session.Session().client("s3", config=config, **where), (BotoCoreError, ClientError)
    except (ValueError, BotoCoreError) as error:
        raise StoreError(f"{EXPECTED}: {error}") from None
