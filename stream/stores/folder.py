"""A store in a folder, also one that several machines share: a folder a session, files that appear whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from ..files import write_whole
from .store import MOST_PIECES, Kept, StaleError, StoreError, checked_id

COUNT = struct.Struct("<Q")  # of pieces, before the head: both become valid in one step
MARK = ".turnstream-store"


class FolderStore:
    """See `Store`. Only the user who runs the server can read it. Raises StoreError for what can be no folder."""

    def __init__(self, folder: Path, keep_s: float):
        self._folder, self._keep_s = folder.absolute(), keep_s
        with _explained(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / MARK).touch(mode=0o600)

    def save(self, session: str, epoch: int, head: bytes, piece: bytes | None, pieces: int) -> None:
        """See `Store`."""
        place = self._place(session)
        with _explained(self._folder):
            if epoch == 1:
                place.mkdir(mode=0o700, exist_ok=True)
            with self._locked(place) as now:
                if now != epoch and not (epoch == 1 and now == 0):
                    raise StaleError(f"expected epoch {epoch} of the session, got {now}")
                if piece is not None:
                    write_whole(_piece(place, pieces - 1), piece, private=True)
                write_whole(place / "head", COUNT.pack(pieces) + head, private=True)
                if now == 0:
                    write_whole(place / "epoch", b"1", private=True)
                _sync(place)

    def claim(self, session: str) -> Kept | None:
        """See `Store`."""
        place = self._place(session)
        with _explained(self._folder):
            try:
                with self._locked(place) as now:
                    if now == 0:
                        return None
                    write_whole(place / "epoch", str(now + 1).encode(), private=True)
                    (place / "head").touch()
                    _sync(place)
                    return _read(place, now + 1)
            except StaleError:
                return None

    def holds(self, session: str, epoch: int) -> bool:
        """See `Store`."""
        place = self._place(session)
        with _explained(self._folder):
            return _epoch(place) == epoch

    def forget(self, session: str, epoch: int) -> None:
        """See `Store`."""
        place = self._place(session)
        with _explained(self._folder), contextlib.suppress(StaleError), self._locked(place) as now:
            if now == epoch:
                (place / "epoch").unlink()  # from here on there is no such session, whatever is left of it
                shutil.rmtree(place)

    def sweep(self) -> None:
        """See `Store`."""
        with _explained(self._folder):
            for place in self._folder.iterdir():
                if place.is_dir() and self._age_s(place) > self._keep_s:
                    with contextlib.suppress(StaleError), self._locked(place):
                        if self._age_s(place) > self._keep_s:
                            (place / "epoch").unlink(missing_ok=True)
                            shutil.rmtree(place)

    def close(self) -> None:
        """See `Store`."""

    def _place(self, session: str) -> Path:
        """Of a session; a folder without its mark is one that is not mounted now, and no empty store."""
        if not (self._folder / MARK).exists():
            raise StoreError(f"the store {self._folder} is not there")
        return self._folder / checked_id(session)

    def _age_s(self, place: Path) -> float:
        """Since it was saved, or made."""
        for path in (place / "head", place):
            with contextlib.suppress(FileNotFoundError):
                return time.time() - path.stat().st_mtime
        return 0.0

    @contextlib.contextmanager
    def _locked(self, place: Path) -> Iterator[int]:
        """Nobody else changes the session meanwhile; its epoch, 0 before its first. Raises StaleError without one."""
        try:
            lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            raise StaleError("the session was forgotten") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                raise StaleError("the session was forgotten")
            yield _epoch(place)
        finally:
            os.close(lock)


def _epoch(place: Path) -> int:
    try:
        text = (place / "epoch").read_bytes()
    except FileNotFoundError:
        return 0
    if not text.isdigit():
        raise StoreError(f"{_named(place)} is damaged: its epoch is no number")
    return int(text)


def _read(place: Path, epoch: int) -> Kept:
    whole = (place / "head").read_bytes()
    if len(whole) < COUNT.size or (count := COUNT.unpack_from(whole)[0]) > MOST_PIECES:
        raise StoreError(f"{_named(place)} is damaged: its head is cut off")
    return Kept(epoch, whole[COUNT.size :], [_piece(place, number).read_bytes() for number in range(count)])


def _named(place: Path) -> str:
    """What may be said of it in a log: the whole id is a secret, with which anybody could go on with the session."""
    return f"session {place.name[:6]} in {place.parent}"


def _piece(place: Path, number: int) -> Path:
    return place / f"past-{number:06d}"


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store {folder} does not work: {error.strerror or error}") from None
