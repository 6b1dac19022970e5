"""What a listener learns: turns, revisions, speakers, activity and the final result. Times are seconds of the stream.

A listener that keeps one table of turns by id and applies the events in order (`Turn` replaces, `Revision` changes the
speaker, `Final` replaces all) always holds exactly the engine's own state. The same classes travel over the websocket
and are the lines of `--json` (docs/protocol.md): a field given by `wire(...)` is sent, under its own name without the
unit or under `name`, and checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import TurnstreamError
from .limits import NAME_LETTERS, Reason
from .rttm import RttmSegment, format_rttm
from .windows import frame_at
from .wire import fields_of, flag, many, name_text, nested, number, one_of, optional, text, whole, wire

if TYPE_CHECKING:
    from pyannote.core import Annotation

TurnState = Literal["provisional", "committed", "final", "retracted"]
SpeakerState = Literal["appeared", "named", "merged"]
EndReason = Literal["stop", "idle", "session_too_long", "shutdown"]

SECONDS = number(0, 1e9)
TURN_ID = text(20, r"T[1-9]\d*", "a turn such as T3")
SPEAKER_ID = text(20, r"S[1-9]\d*", "a speaker such as S1")
NAME = name_text(NAME_LETTERS)


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker talking from `start_s` to `end_s`; a later Turn of the same id replaces it.

    `speaker` is None while unknown. Up to `committed_s` (== start_s while nothing is committed) only a Revision changes
    it. A retracted turn never was: nothing of it was committed.

    >>> turn = Turn("T1", "S2", "Anna", 1.035, 2.5, 1.9, "provisional")
    >>> turn.speaker, turn.name, round(turn.end_s - turn.start_s, 3), turn.start_frame
    ('S2', 'Anna', 1.465, 60)
    """

    id: str = wire(TURN_ID)
    speaker: str | None = wire(optional(SPEAKER_ID))
    name: str | None = wire(optional(NAME))
    start_s: float = wire(SECONDS, name="start")
    end_s: float = wire(SECONDS, name="end")
    committed_s: float = wire(SECONDS, name="committed")
    state: TurnState = wire(one_of(*get_args(TurnState)))

    @property
    def start_frame(self) -> int:
        """`start_s` on the stream's frame grid of 16.875 ms."""
        return frame_at(self.start_s)

    @property
    def end_frame(self) -> int:
        """`end_s` on the frame grid."""
        return frame_at(self.end_s)

    @property
    def committed_frame(self) -> int:
        """`committed_s` on the frame grid."""
        return frame_at(self.committed_s)


@dataclass(frozen=True, slots=True)
class Revision:
    """Turns that were told as speaker `old` belong to `new`, as later audio or the user shows. None is unknown.

    >>> Revision(("T1", "T4"), "S2", "S1", "merged", 31.5).new
    'S1'
    """

    turns: tuple[str, ...] = wire(many(TURN_ID))
    old: str | None = wire(optional(SPEAKER_ID), name="from")
    new: str | None = wire(optional(SPEAKER_ID), name="to")
    reason: Reason = wire(one_of(*get_args(Reason)))
    at_s: float = wire(SECONDS, name="at")


@dataclass(frozen=True, slots=True)
class Speaker:
    """What becomes known about a speaker; a later Speaker of the same id updates it.

    appeared: reported for the first time, or again after `merged`; ids count from S1 in order of first appearance.
    named: the person is `name` with `confidence` (0 to 1; None: a person said so); a name of None withdraws it.
    merged: this was the speaker `into` all along (None: nobody), and no turn is left with this id.

    >>> Speaker("S2", "named", "Anna", 0.97, None, 12.0).name
    'Anna'
    """

    id: str = wire(SPEAKER_ID, name="speaker")
    state: SpeakerState = wire(one_of(*get_args(SpeakerState)))
    name: str | None = wire(optional(NAME))
    confidence: float | None = wire(optional(number(0, 1)))
    into: str | None = wire(optional(SPEAKER_ID))
    at_s: float = wire(SECONDS, name="at")


@dataclass(frozen=True, slots=True)
class Activity:
    """Whether anyone talks, and whether two people do, from `start_s` to `end_s`.

    Sent by sessions opened with `activity=True`, 0.3 s behind the audio, without gaps, and never changed.

    >>> Activity(0.0, 0.124, speech=True, overlap=False).speech
    True
    """

    start_s: float = wire(SECONDS, name="start")
    end_s: float = wire(SECONDS, name="end")
    speech: bool = wire(flag)
    overlap: bool = wire(flag)


@dataclass(frozen=True, slots=True)
class Talk:
    """How long one speaker talked in all (None: unknown speakers). `confidence` is None where a person gave the name.

    >>> Talk("S1", None, None, 63.5).talk_s
    63.5
    """

    speaker: str | None = wire(optional(SPEAKER_ID))
    name: str | None = wire(optional(NAME))
    confidence: float | None = wire(optional(number(0, 1)))
    talk_s: float = wire(SECONDS, name="talk")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of a whole session on a server; values and bytes are those of the audio as it was sent."""

    processing_s: float = wire(SECONDS, name="processing")
    realtime_factor: float = wire(SECONDS)
    silent_s: float = wire(SECONDS, name="silent")
    dropped_s: float = wire(SECONDS, name="dropped")
    repaired_values: int = wire(whole(0))
    clipped_values: int = wire(whole(0))
    dropped_bytes: int = wire(whole(0))
    revisions: int = wire(whole(0))
    resumes: int = wire(whole(0))


@dataclass(frozen=True, slots=True)
class Final:
    """The result at the end of the stream; it replaces everything reported before.

    `speakers` are in order of appearance, unknown ones last. `statistics` come from a server only. `recording` names
    the audio in RTTM and in an annotation, where no other name is given.

    >>> turns = (Turn("T1", "S1", None, 0.0, 2.5, 2.5, "final"), Turn("T2", "S2", "Anna", 2.1, 4.0, 4.0, "final"))
    >>> final = Final("stop", 4.0, turns, (Talk("S1", None, None, 2.5), Talk("S2", "Anna", 0.97, 1.9)))
    >>> print(final.to_rttm("meeting"), end="")
    SPEAKER meeting 1 0.000 2.500 <NA> <NA> S1 <NA> <NA>
    SPEAKER meeting 1 2.100 1.900 <NA> <NA> Anna <NA> <NA>
    """

    reason: EndReason = wire(one_of(*get_args(EndReason)))
    duration_s: float = wire(SECONDS, name="duration")
    turns: tuple[Turn, ...] = wire(many(nested(Turn)))
    speakers: tuple[Talk, ...] = wire(many(nested(Talk)))
    statistics: Statistics | None = wire(optional(nested(Statistics)), default=None)
    recording: str = "stream"

    def to_rttm(self, recording: str | None = None) -> str:
        """The turns as RTTM; names, with underscores for blanks, replace `S1`. Unknown speakers are `unknown`."""
        segments = [RttmSegment(turn.start_s, turn.end_s, _label(turn)) for turn in sorted(self.turns, key=_order)]
        return format_rttm(recording or self.recording, segments)

    def renumbered(self) -> Final:
        """The same with the speakers as S1, S2 and so on, without gaps, in order of appearance.

        The numbers of a live stream have gaps where speakers were merged. Nobody is who had their new number before.
        """
        known = [talk.speaker for talk in self.speakers if talk.speaker is not None]
        new: dict[str | None, str | None] = {speaker: f"S{number}" for number, speaker in enumerate(known, 1)}
        new[None] = None
        turns = tuple(replace(turn, speaker=new[turn.speaker]) for turn in self.turns)
        speakers = tuple(replace(talk, speaker=new[talk.speaker]) for talk in self.speakers)
        return replace(self, turns=turns, speakers=speakers)

    def to_json(self) -> str:
        """The result as one line of JSON: the `final` message of docs/protocol.md."""
        return to_json(self)

    def to_annotation(self, recording: str | None = None) -> Annotation:
        """The turns as a `pyannote.core.Annotation`. Raises TurnstreamError where pyannote.core is not installed."""
        try:
            from pyannote.core import Annotation, Segment
        except ImportError:
            raise TurnstreamError("to_annotation needs pyannote.core: pip install pyannote.core") from None
        annotation = Annotation(uri=recording or self.recording)
        for turn in self.turns:
            annotation[Segment(turn.start_s, turn.end_s), turn.id] = turn.name or turn.speaker or "unknown"
        return annotation


Event = Turn | Revision | Speaker | Activity | Final


def speaker_name(speaker: int | None) -> str | None:
    """`S3` for 3; None (unknown) stays None."""
    return None if speaker is None else f"S{speaker}"


def speaker_number(tag: str) -> int | None:
    """3 for `S3` or `s3`; None for any other text."""
    digits = tag[1:]
    return int(digits) if tag[:1] in ("S", "s") and digits.isascii() and digits.isdecimal() else None


def message_fields(event: Event) -> dict[str, Any]:
    """The fields of an event as they travel; a Final's hold its RTTM too. Raises ProtocolError for what may not."""
    values = fields_of(event)
    return {**values, "rttm": event.to_rttm()} if isinstance(event, Final) else values


def to_json(event: Event) -> str:
    """One line of JSON: the message of docs/protocol.md, without a number.

    >>> to_json(Activity(0.0, 0.124, True, False))
    '{"type":"activity","start":0.0,"end":0.124,"speech":true,"overlap":false}'
    """
    fields: Mapping[str, Any] = {"type": type(event).__name__.lower(), **message_fields(event)}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def _order(turn: Turn) -> tuple[float, float, int]:
    return turn.start_s, turn.end_s, speaker_number(turn.speaker or "") or 0


def _label(turn: Turn) -> str:
    return "_".join((turn.name or turn.speaker or "unknown").split())
