"""What the engine tells as messages of the protocol, turns with their speakers' names, provisional ones only if wanted.

One Teller for each session; it knows the session's audio only by the numbers it is given.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import events
from ..audio.input import AudioCounts
from ..events import frame_seconds, speaker_name
from ..protocol import messages as protocol
from ..protocol.messages import ServerMessage
from ..protocol.wire import ProtocolError
from ..windows import FRAME_SAMPLES, SAMPLE_RATE_HZ


class Teller:
    """Engine events -> messages, in order."""

    def __init__(self, provisional: bool):
        self._provisional = provisional
        self._names: dict[int, str | None] = {}
        self._speakers: dict[str, None] = {}
        self._committed: dict[int, int] = {}  # turn id -> how far its committed part was told
        self.revisions = 0

    def tell(self, happened: Iterable[events.Event]) -> list[ServerMessage]:
        """The messages that say the same."""
        return [message for event in happened if (message := self._message(event)) is not None]

    def check_speaker(self, speaker: str) -> None:
        """Raises ProtocolError for a speaker that has not appeared."""
        if speaker not in self._speakers:
            known = ", ".join(list(self._speakers)) or "none, for nobody has appeared"
            raise ProtocolError(f"a speaker of this session ({known})", speaker, "speaker")

    def final(
        self, final: events.Final, reason: str, duration_s: float, file_id: str, statistics: protocol.Statistics
    ) -> protocol.Final:
        """The result; talk time by speaker in order of appearance, the unknown last."""
        self._names = {speaker: name for speaker, name, _ in final.names}
        sure: dict[int | None, float | None] = {speaker: _told(confidence) for speaker, _, confidence in final.names}
        turns = tuple(self._turn(turn, turn.end_frame, "final") for turn in final.turns)
        talk = tuple(
            protocol.Talk(speaker_name(speaker), self._name_of(speaker), sure.get(speaker), _frames_s(frames))
            for speaker, frames in final.talk_frames
        )
        return protocol.Final(reason, round(duration_s, 3), turns, talk, final.rttm(file_id), statistics)

    def _message(self, event: events.Event) -> ServerMessage | None:
        match event:
            case events.Turn():
                return self._told_turn(event)
            case events.Revision():
                self.revisions += 1
                turns = tuple(f"T{number}" for number in event.turns)
                old, new = speaker_name(event.old), speaker_name(event.new)
                return protocol.Revision(turns, old, new, event.reason, frame_seconds(event.at_frame))
            case events.Speaker():
                return self._speaker(event)
            case events.Activity():
                start_s, end_s = frame_seconds(event.start_frame), frame_seconds(event.end_frame)
                return protocol.Activity(start_s, end_s, event.speech, event.overlap)
            case events.Final():
                raise ValueError("expected an event of a stream that goes on, got its final result")

    def _speaker(self, event: events.Speaker) -> protocol.Speaker:
        speaker, into, at_s = f"S{event.id}", speaker_name(event.into), frame_seconds(event.at_frame)
        self._speakers[speaker] = None
        if event.state == "named":
            self._names[event.id] = event.name
        return protocol.Speaker(speaker, event.state, event.name, _told(event.confidence), into, at_s)

    def _told_turn(self, turn: events.Turn) -> protocol.Turn | None:
        if self._provisional:
            return self._turn(turn, turn.end_frame, turn.state)
        if turn.committed_frame <= self._committed.get(turn.id, turn.start_frame):
            return None
        self._committed[turn.id] = turn.committed_frame
        return self._turn(turn, turn.committed_frame, "committed")

    def _turn(self, turn: events.Turn, end_frame: int, state: str) -> protocol.Turn:
        return protocol.Turn(
            f"T{turn.id}",
            speaker_name(turn.speaker),
            self._name_of(turn.speaker),
            frame_seconds(turn.start_frame),
            frame_seconds(end_frame),
            frame_seconds(turn.committed_frame),
            state,
        )

    def _name_of(self, speaker: int | None) -> str | None:
        return None if speaker is None else self._names.get(speaker)


def statistics(
    counts: AudioCounts, rate_hz: int, processing_s: float, silent_s: float, revisions: int, resumes: int
) -> protocol.Statistics:
    """Counts of a session whose audio is over."""
    audio_s = counts.received_samples / rate_hz
    return protocol.Statistics(
        round(processing_s, 3),
        round(processing_s / audio_s, 4) if audio_s else 0.0,
        round(silent_s, 3),
        round(counts.gap_samples / rate_hz, 3),
        counts.repaired_values,
        counts.clipped_values,
        counts.dropped_bytes,
        revisions,
        resumes,
    )


def _told(confidence: float | None) -> float | None:
    """The engine is certain only of what a person said; the protocol says nothing then."""
    return None if confidence == 1 else confidence


def _frames_s(frames: int) -> float:
    return round(frames * FRAME_SAMPLES / SAMPLE_RATE_HZ, 3)
