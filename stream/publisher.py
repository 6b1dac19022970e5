"""Events from the records of timeline, naming and activity path: frames become seconds, numbers `T3` and `S1`."""

from __future__ import annotations

from collections.abc import Iterable

from .events import Activity, EndReason, Event, Final, Revision, Speaker, Talk, Turn, speaker_name
from .models.activity import ActivityRecord
from .timeline.records import FinalRecord, Record, RevisionRecord, SpeakerRecord, TurnRecord
from .windows import FRAME_SAMPLES, SAMPLE_RATE_HZ, frame_seconds

Names = dict[int, tuple[str, float | None]]  # speaker -> name and confidence, None where a person said so


class Publisher:
    """Makes the events of one stream, in order; turns carry the name that their speaker has by then."""

    def __init__(self) -> None:
        self._names: dict[int | None, str | None] = {}

    def publish(self, records: Iterable[Record | ActivityRecord]) -> list[Event]:
        """The events that say the same, one for each record."""
        return [self._event(record) for record in records]

    def final(self, record: FinalRecord, names: Names, duration_s: float, reason: EndReason = "stop") -> Final:
        """The result; speakers in order of their number, the unknown last."""
        self._names = {speaker: name for speaker, (name, _) in names.items()}
        speakers = tuple(_talk(speaker, frames, names) for speaker, frames in record.talk_frames)
        return Final(reason, round(duration_s, 3), tuple(self._turn(turn) for turn in record.turns), speakers)

    def _event(self, record: Record | ActivityRecord) -> Event:
        match record:
            case TurnRecord():
                return self._turn(record)
            case RevisionRecord():
                turns = tuple(f"T{number}" for number in record.turns)
                old, new = speaker_name(record.old), speaker_name(record.new)
                return Revision(turns, old, new, record.reason, frame_seconds(record.at_frame))
            case SpeakerRecord():
                return self._speaker(record)
            case ActivityRecord():
                start_s, end_s = frame_seconds(record.start_frame), frame_seconds(record.end_frame)
                return Activity(start_s, end_s, record.speech, record.overlap)

    def _turn(self, turn: TurnRecord) -> Turn:
        return Turn(
            f"T{turn.id}",
            speaker_name(turn.speaker),
            self._names.get(turn.speaker),
            frame_seconds(turn.start_frame),
            frame_seconds(turn.end_frame),
            frame_seconds(turn.committed_frame),
            turn.state,
        )

    def _speaker(self, record: SpeakerRecord) -> Speaker:
        if record.state == "named":
            self._names[record.id] = record.name
        into, at_s = speaker_name(record.into), frame_seconds(record.at_frame)
        return Speaker(f"S{record.id}", record.state, record.name, record.confidence, into, at_s)


def _talk(speaker: int | None, frames: int, names: Names) -> Talk:
    name, confidence = (None, None) if speaker is None else names.get(speaker, (None, None))
    return Talk(speaker_name(speaker), name, confidence, round(frames * FRAME_SAMPLES / SAMPLE_RATE_HZ, 3))
