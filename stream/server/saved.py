"""What a snapshot of a server's session holds, and how it becomes bytes and is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..protocol.messages import Config
from ..session import Models, Session
from ..snapshot.codec import SnapshotError
from ..snapshot.kinds import alike, kinds_of
from ..snapshot.session import KINDS, Extents, Written, read, write
from .client_view import ClientView
from .journal import Journal


@dataclass(frozen=True, slots=True)
class Saved:
    """A session whose audio is processed up to sample `position`; times in seconds as in `Worker`."""

    tenant: str
    config: Config
    engine: Session
    view: ClientView
    journal: Journal
    position: int
    processing_s: float
    silent_s: float
    resumes: int


ALL_KINDS = {**KINDS, **kinds_of(("protocol", "server.client_view", "server.journal", "server.saved"))}


def write_session(saved: Saved, models: Models, since: Extents) -> Written:
    """The snapshot; `since` is how far the one before it reaches."""
    return write(saved, models, since, ALL_KINDS)


def read_session(head: bytes, past: list[bytes], models: Models) -> tuple[Saved, Extents]:
    """The session, and how far its past reaches. Raises SnapshotError."""
    saved: Any
    saved, extents = read(head, past, models, ALL_KINDS)
    if type(saved) is not Saved or not (alike(saved.view, ClientView(True)) and alike(saved.journal, Journal())):
        raise SnapshotError("the snapshot is damaged, or of another version of turnstream")
    return saved, extents
