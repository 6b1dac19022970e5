"""A session of the engine as bytes: it goes on elsewhere with the same events, to the bit.

A snapshot has two parts. The past, packed windows that never change again, grows by 77 KiB a minute and is written in
pieces, each once. The head is all the rest. It holds audio of the last seconds and the voices of those who talk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from turnstream.kernels.sincnet_stream import BankState

from ..audio.input import AudioInput
from ..errors import TurnstreamError
from ..models.activity import ActivityPath
from ..people.naming import Naming
from ..session import Models, Session
from ..stitching.config import StitcherConfig
from ..stitching.history import Extent, Past, WindowHistory
from ..timeline.timeline import Timeline
from .codec import DAMAGES, Reader, SnapshotError, Writer
from .kinds import attributes_alike, kinds_of

PARTS = (
    *("audio", "diarizer", "events", "exclusive", "labels", "models.activity", "models.carried_state"),
    *("people.naming", "publisher", "roster", "session", "stitching", "timeline", "windows"),
)
KINDS = kinds_of(PARTS)
PAST_KINDS: dict[str, type] = {"past": Past}
DUE_S = 11.0  # a window, and what its hop may add: no session waits for more audio than that


Extents = tuple[Extent, ...]  # of the histories of windows in a snapshot


@dataclass(frozen=True, slots=True)
class Written:
    """A snapshot: its head, the past since the last one, and how far that reaches."""

    head: bytes
    past: bytes
    extents: Extents


def write(value: Any, models: Models, since: Extents = (), kinds: Mapping[str, type] = KINDS) -> Written:
    """A session, or what holds one (of classes in `kinds`); `since` is how far earlier snapshots reach.

    Nothing else may use the session meanwhile. Raises SnapshotError where it holds what cannot be written: the state
    of the activity path on a GPU.
    """
    histories: list[WindowHistory] = []

    def supplied(part: Any) -> str | None:
        if isinstance(part, WindowHistory) and part not in histories:
            histories.append(part)
        return "models" if part is models else "bank" if isinstance(part, BankState) else None

    head = Writer(kinds, supplied).bytes_of(value)
    since = since or ((0, 0),) * len(histories)
    past = [history.past(extent) for history, extent in zip(histories, since, strict=True)]
    extents = tuple(history.extent for history in histories)
    return Written(head, Writer(PAST_KINDS, lambda part: None).bytes_of(past), extents)


def read(head: bytes, past: Iterable[bytes], models: Models, kinds: Mapping[str, type] = KINDS) -> tuple[Any, Extents]:
    """What was written, with these models, and how far its past reaches.

    Raises SnapshotError for anything that is not a snapshot of this version.
    """
    reader = Reader(kinds, lambda name: {"models": lambda: models, "bank": models.initial_state}[name]())
    value = reader.value_of(head)
    for part in reader.found(Session):
        _check(part, reader, models)
    histories = reader.found(WindowHistory)
    _recall(histories, past)
    return value, tuple(history.extent for history in histories)


def _recall(histories: list[WindowHistory], past: Iterable[bytes]) -> None:
    try:
        for piece in past:
            for history, more in zip(histories, _past(piece), strict=False):
                history.recall(more)
        whole = all(history.whole for history in histories)
    except DAMAGES as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from None
    if not whole:
        raise SnapshotError("the snapshot's past is not complete")


def _past(piece: bytes) -> list[Past]:
    found = Reader(PAST_KINDS, lambda name: None).value_of(piece)
    if type(found) is not list or not all(type(part) is Past for part in found):
        raise SnapshotError("the snapshot's past is damaged")
    return found


def _check(found: Session, reader: Reader, models: Models) -> None:
    """Refuses what no session of this version can be like."""
    try:
        heard, config = found.audio, next(iter(reader.found(StitcherConfig)))
        audio = AudioInput(heard.rate_hz, heard.channels, heard.encoding, heard.channel)
        activity = ActivityPath(models) if reader.found(ActivityPath) else None
        usual = Session(models, audio, config, Timeline(), Naming(), activity)
        good = attributes_alike(vars(found), vars(usual)) and 0 < found.next_due_s - found.position_s < DUE_S
    except (TurnstreamError, *DAMAGES) as error:
        raise SnapshotError(f"the snapshot is damaged: {error or type(error).__name__}") from None
    if not good:
        raise SnapshotError("the snapshot is damaged, or of another version of turnstream")
