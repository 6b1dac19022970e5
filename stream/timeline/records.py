"""What the timeline hands on, on the stream's frame grid: integers only. `stream/publisher.py` makes events of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..events import SpeakerState, TurnState, speaker_name
from ..limits import Reason
from ..rttm import RttmSegment, format_rttm
from ..windows import frame_seconds


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One speaker talking from `start_frame` to `end_frame` (exclusive); a later record of the same id replaces it.

    What lies before `committed_frame` (== start_frame when nothing is committed) changes only by a RevisionRecord.
    """

    id: int
    speaker: int | None
    start_frame: int
    end_frame: int
    committed_frame: int
    state: TurnState


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """Turns that were (partly) committed to `old` belong to `new`: later audio made it clear. None is unknown."""

    turns: tuple[int, ...]
    old: int | None
    new: int | None
    reason: Reason
    at_frame: int


@dataclass(frozen=True, slots=True)
class SpeakerRecord:
    """A speaker appeared, has a name with `confidence` (None: the user chose it), or was speaker `into` all along."""

    id: int
    at_frame: int
    state: SpeakerState = "appeared"
    name: str | None = None
    confidence: float | None = None
    into: int | None = None


@dataclass(frozen=True, slots=True)
class FinalRecord:
    """Every turn at the end of the stream, and `talk_frames` as pairs (speaker, frames) by speaker."""

    turns: tuple[TurnRecord, ...]
    talk_frames: tuple[tuple[int | None, int], ...]

    @classmethod
    def of(cls, turns: tuple[TurnRecord, ...]) -> FinalRecord:
        """Of these turns."""
        talk: dict[int | None, int] = {}
        for turn in turns:
            talk[turn.speaker] = talk.get(turn.speaker, 0) + turn.end_frame - turn.start_frame
        return cls(turns, tuple(sorted(talk.items(), key=lambda item: (item[0] is None, item[0] or 0))))

    @property
    def spans(self) -> list[tuple[int, int, int | None]]:
        """(start frame, end frame, speaker) of every turn."""
        return [(turn.start_frame, turn.end_frame, turn.speaker) for turn in self.turns]


Record = TurnRecord | RevisionRecord | SpeakerRecord


def rttm_of(file_id: str, spans: Iterable[tuple[int, int, int | None]]) -> str:
    """RTTM text of (start frame, end frame, speaker) spans in order of time; unknown speakers are called `unknown`."""
    in_order = sorted(spans, key=lambda span: (span[0], span[1], span[2] or 0))
    return format_rttm(
        file_id,
        [
            RttmSegment(frame_seconds(start), frame_seconds(end), speaker_name(speaker) or "unknown")
            for start, end, speaker in in_order
        ],
    )
