"""The turns of a session on a server as its events report them: what is left where the final result never comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from turnstream.events import Event, Final, Revision, Talk, Turn, speaker_number
from turnstream.rttm import RttmSegment, format_rttm


@dataclass(slots=True)
class Piece:
    """A committed part of a turn, as it was first committed."""

    start_s: float
    end_s: float
    speaker: str | None


class LiveTurns:
    """The turns as they stand, and their pieces as they were first committed."""

    def __init__(self) -> None:
        self.turns: dict[str, Turn] = {}
        self._committed_s: dict[str, float] = {}  # turn id -> up to where its pieces were taken
        self._last: dict[str, Piece] = {}  # turn id -> its last piece
        self._pieces: list[Piece] = []

    def apply(self, events: Iterable[Event]) -> None:
        """Take the events in the order they came."""
        for event in events:
            match event:
                case Turn(state="retracted"):
                    self.turns.pop(event.id, None)
                case Turn():
                    self.turns[event.id] = event
                    self._commit(event, event.committed_s)
                case Revision():
                    known = [self.turns[i] for i in event.turns if i in self.turns]
                    self.turns.update({turn.id: replace(turn, speaker=event.new) for turn in known})

    def end(self, duration_s: float) -> None:
        """The audio is over: what was still provisional stays as it is."""
        for turn in sorted(self.turns.values(), key=lambda turn: int(turn.id[1:])):
            self._commit(turn, min(turn.end_s, duration_s))

    def live_rttm(self, recording: str) -> str:
        """RTTM of everything committed so far, as it was first committed: what a listener learned in time."""
        in_order = sorted(self._pieces, key=lambda p: (p.start_s, p.end_s, speaker_number(p.speaker or "") or 0))
        return format_rttm(recording, [RttmSegment(p.start_s, p.end_s, p.speaker or "unknown") for p in in_order])

    def final(self, duration_s: float) -> Final:
        """What stands in for a final result that never came: the turns as they are known."""
        talk_s: dict[str | None, float] = {}
        names = {turn.speaker: turn.name for turn in self.turns.values()}
        for turn in self.turns.values():
            talk_s[turn.speaker] = talk_s.get(turn.speaker, 0.0) + turn.end_s - turn.start_s
        in_order = sorted(talk_s, key=lambda speaker: (speaker is None, speaker_number(speaker or "")))
        speakers = tuple(Talk(speaker, names[speaker], None, round(talk_s[speaker], 3)) for speaker in in_order)
        return Final("stop", round(duration_s, 3), tuple(self.turns.values()), speakers)

    def _commit(self, turn: Turn, committed_s: float) -> None:
        done_s = self._committed_s.get(turn.id, turn.start_s)
        if committed_s <= done_s:
            return
        self._committed_s[turn.id] = committed_s
        last = self._last.get(turn.id)
        if last is not None and (last.end_s, last.speaker) == (done_s, turn.speaker):
            last.end_s = committed_s
        else:
            self._last[turn.id] = piece = Piece(done_s, committed_s, turn.speaker)
            self._pieces.append(piece)
