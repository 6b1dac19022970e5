"""What a server tells, as events of the engine: for displays and outputs that were made for those."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from turnstream.events import Activity, Event, Final, Revision, Speaker, SpeakerState, Turn, TurnState, turns_rttm
from turnstream.limits import Reason
from turnstream.protocol import messages as protocol
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ


def engine_events(told: Iterable[object]) -> list[Event]:
    """The same turns, revisions, speakers and activity in frames; everything else is left out."""
    return [event for message in told if (event := _event(message)) is not None]


def final_of(told: protocol.Final) -> Final:
    """The same final result in frames."""
    named = [talk for talk in told.speakers if talk.speaker is not None and talk.name is not None]
    return Final(
        tuple(_turn(turn) for turn in told.turns),
        tuple(_talk(talk) for talk in told.speakers),
        tuple((int(str(talk.speaker)[1:]), str(talk.name), _confidence(talk.confidence)) for talk in named),
    )


class LiveTurns:
    """The turns as events told them, and their pieces as they were first committed."""

    def __init__(self) -> None:
        self.turns: dict[int, Turn] = {}
        self._done: dict[int, int] = {}  # turn id -> frame up to which its pieces were taken
        self._last: dict[int, int] = {}  # turn id -> its last piece
        self._pieces: list[tuple[int, int, int | None]] = []

    def apply(self, events: Iterable[Event]) -> None:
        """Take the events in the order they came."""
        for event in events:
            match event:
                case Turn(state="retracted"):
                    self.turns.pop(event.id, None)
                case Turn():
                    self.turns[event.id] = event
                    self._commit(event, event.committed_frame)
                case Revision():
                    known = [self.turns[i] for i in event.turns if i in self.turns]
                    self.turns.update({turn.id: replace(turn, speaker=event.new) for turn in known})

    def end(self, duration_s: float) -> None:
        """The audio is over: what was still provisional stays as it is."""
        end_frame = max(0, (round(duration_s * SAMPLE_RATE_HZ) - FRAME_OFFSET_SAMPLES) // FRAME_SAMPLES)
        for turn in sorted(self.turns.values(), key=lambda turn: turn.id):
            self._commit(turn, min(turn.end_frame, end_frame))

    def live_rttm(self, file_id: str) -> str:
        """RTTM of everything committed so far, as it was first committed: what a listener was told in time."""
        return turns_rttm(file_id, list(self._pieces))

    def final(self) -> Final:
        """What stands in for a final result that never came: the turns as they are known."""
        talk: dict[int | None, int] = {}
        for turn in self.turns.values():
            talk[turn.speaker] = talk.get(turn.speaker, 0) + turn.end_frame - turn.start_frame
        in_order = sorted(talk.items(), key=lambda item: (item[0] is None, item[0] or 0))
        return Final(tuple(self.turns.values()), tuple(in_order))

    def _commit(self, turn: Turn, committed_frame: int) -> None:
        done = self._done.get(turn.id, turn.start_frame)
        if committed_frame <= done:
            return
        self._done[turn.id] = committed_frame
        number = self._last.get(turn.id)
        if number is not None and self._pieces[number][1:] == (done, turn.speaker):
            self._pieces[number] = (self._pieces[number][0], committed_frame, turn.speaker)
        else:
            self._last[turn.id] = len(self._pieces)
            self._pieces.append((done, committed_frame, turn.speaker))


def _event(message: object) -> Event | None:
    match message:
        case protocol.Turn():
            return _turn(message)
        case protocol.Revision():
            turns = tuple(int(turn[1:]) for turn in message.turns)
            reason = cast(Reason, message.reason)
            return Revision(turns, _number(message.old), _number(message.new), reason, _frame(message.at_s))
        case protocol.Speaker():
            return _speaker(message)
        case protocol.Activity():
            return Activity(_frame(message.start_s), _frame(message.end_s), message.speech, message.overlap)
    return None


def _speaker(told: protocol.Speaker) -> Speaker:
    confidence = None if told.name is None else _confidence(told.confidence)
    state = cast(SpeakerState, told.state)
    return Speaker(int(told.speaker[1:]), _frame(told.at_s), state, told.name, confidence, _number(told.into))


def _confidence(told: float | None) -> float:
    """The protocol says nothing where a person said who it is."""
    return 1.0 if told is None else told


def _turn(turn: protocol.Turn) -> Turn:
    return Turn(
        int(turn.id[1:]),
        _number(turn.speaker),
        _frame(turn.start_s),
        _frame(turn.end_s),
        _frame(turn.committed_s),
        cast(TurnState, turn.state),
    )


def _talk(talk: protocol.Talk) -> tuple[int | None, int]:
    return _number(talk.speaker), round(talk.talk_s * SAMPLE_RATE_HZ / FRAME_SAMPLES)


def _number(speaker: str | None) -> int | None:
    return None if speaker is None else int(speaker[1:])


def _frame(time_s: float) -> int:
    """The frame that begins at this time, which was rounded to the millisecond."""
    return max(0, round((time_s * SAMPLE_RATE_HZ - FRAME_OFFSET_SAMPLES) / FRAME_SAMPLES))
