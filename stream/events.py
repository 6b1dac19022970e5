"""What the engine tells its listeners: turns, revisions, new speakers and the final result, and their JSON lines.

Positions are integers on the stream's frame grid; seconds are made here, at the edge. A listener that keeps one table
of turns by id and applies the events in order (`Turn` replaces, `Revision` changes the speaker, `Final` replaces all)
always holds exactly the engine's own state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .limits import Reason
from .rttm import RttmSegment, format_rttm
from .windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ

TurnState = Literal["provisional", "committed", "final", "retracted"]
SpeakerState = Literal["appeared", "named", "merged"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker talking from `start_frame` to `end_frame` (exclusive); a later Turn of the same id replaces it.

    What lies before `committed_frame` (== start_frame when nothing is committed) changes only by a Revision.
    A retracted turn never was: it had no committed part.
    """

    id: int
    speaker: int | None
    start_frame: int
    end_frame: int
    committed_frame: int
    state: TurnState


@dataclass(frozen=True, slots=True)
class Revision:
    """Turns that were (partly) committed to `old` belong to `new`: later audio made it clear. None is unknown."""

    turns: tuple[int, ...]
    old: int | None
    new: int | None
    reason: Reason
    at_frame: int


@dataclass(frozen=True, slots=True)
class Speaker:
    """What becomes known of a speaker; a later Speaker of the same id updates it.

    appeared: told of for the first time, or again after `merged`; ids count from 1 in order of first appearance.
    named: `name` is the person that he is with `confidence` (0 to 1; 1: the user said so), None takes the name back.
    merged: he was the speaker `into` all along, and no turn is left with this id.
    """

    id: int
    at_frame: int
    state: SpeakerState = "appeared"
    name: str | None = None
    confidence: float | None = None
    into: int | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """The result at the end of the stream: every turn, and `talk_frames` as pairs (speaker, frames) by speaker.

    `names` are (speaker, name, confidence) of the speakers who have a name, by speaker.
    """

    turns: tuple[Turn, ...]
    talk_frames: tuple[tuple[int | None, int], ...]
    names: tuple[tuple[int, str, float], ...] = ()

    def rttm(self, file_id: str) -> str:
        """The turns as RTTM text, with names where there are, blanks in them as underscores."""
        names = {speaker: name for speaker, name, _ in self.names}
        return turns_rttm(file_id, [(t.start_frame, t.end_frame, t.speaker) for t in self.turns], names)


@dataclass(frozen=True, slots=True)
class Activity:
    """From `start_frame` to `end_frame` (exclusive) somebody spoke or nobody, and speech overlapped or not.

    Told by sessions opened with `activity=True`, 0.3 s behind the audio, without gaps, and never changed.
    """

    start_frame: int
    end_frame: int
    speech: bool
    overlap: bool


Event = Turn | Revision | Speaker | Activity | Final


def frame_seconds(frame: int) -> float:
    """Time at which `frame` begins, in seconds from the start of the stream, to the millisecond."""
    return round((FRAME_SAMPLES * frame + FRAME_OFFSET_SAMPLES) / SAMPLE_RATE_HZ, 3) if frame > 0 else 0.0


def speaker_name(speaker: int | None) -> str | None:
    """`S3` for 3; None (unknown) stays None."""
    return None if speaker is None else f"S{speaker}"


def speaker_number(tag: str) -> int | None:
    """3 for `S3` or `s3`; None for any other text."""
    digits = tag[1:]
    return int(digits) if tag[:1] in ("S", "s") and digits.isascii() and digits.isdecimal() else None


def turns_rttm(file_id: str, pieces: list[tuple[int, int, int | None]], names: Mapping[int, str] | None = None) -> str:
    """RTTM text of (start frame, end frame, speaker) pieces in order of time; unknown speakers are called `unknown`.

    `names` of speakers take the place of `S1`, `S2`, ..., with underscores for blanks.
    """
    tags: dict[int | None, str] = {speaker: "_".join(name.split()) for speaker, name in (names or {}).items()}
    return format_rttm(
        file_id,
        [
            RttmSegment(
                frame_seconds(start), frame_seconds(end), tags.get(speaker) or speaker_name(speaker) or "unknown"
            )
            for start, end, speaker in sorted(pieces, key=lambda piece: (piece[0], piece[1], piece[2] or 0))
        ],
    )


def to_json(event: Event) -> str:
    """One line of JSON, keys in a fixed order, times in seconds with 3 decimals, ids as `T3` and `S1`."""
    return json.dumps(_fields(event), separators=(",", ":"))


def _fields(event: Event) -> dict[str, Any]:
    match event:
        case Turn():
            return {"event": "turn", **_turn_fields(event)}
        case Revision():
            return {
                "event": "revision",
                "turns": [f"T{i}" for i in event.turns],
                "old": speaker_name(event.old),
                "new": speaker_name(event.new),
                "reason": event.reason,
                "at_s": frame_seconds(event.at_frame),
            }
        case Speaker():
            return {
                "event": "speaker",
                "speaker": speaker_name(event.id),
                "state": event.state,
                "name": event.name,
                "confidence": event.confidence,
                **({"into": speaker_name(event.into)} if event.state == "merged" else {}),
                "at_s": frame_seconds(event.at_frame),
            }
        case Activity():
            return {
                "event": "activity",
                "start_s": frame_seconds(event.start_frame),
                "end_s": frame_seconds(event.end_frame),
                "speech": event.speech,
                "overlap": event.overlap,
            }
        case Final():
            names: dict[int | None, tuple[str | None, float | None]] = {n[0]: n[1:] for n in event.names}
            return {
                "event": "final",
                "turns": [_turn_fields(turn) for turn in event.turns],
                "speakers": [
                    _talk_fields(speaker, frames, *names.get(speaker, (None, None)))
                    for speaker, frames in event.talk_frames
                ],
            }


def _talk_fields(speaker: int | None, frames: int, name: str | None, confidence: float | None) -> dict[str, Any]:
    return {
        "speaker": speaker_name(speaker),
        "name": name,
        "confidence": confidence,
        "talk_s": round(frames * FRAME_SAMPLES / SAMPLE_RATE_HZ, 3),
    }


def _turn_fields(turn: Turn) -> dict[str, Any]:
    return {
        "id": f"T{turn.id}",
        "speaker": speaker_name(turn.speaker),
        "start_s": frame_seconds(turn.start_frame),
        "end_s": frame_seconds(turn.end_frame),
        "committed_s": frame_seconds(turn.committed_frame),
        "state": turn.state,
    }
