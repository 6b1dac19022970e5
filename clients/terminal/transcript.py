"""What is known of a stream so far, built from its events alone: no terminal, no clock, no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import islice

from turnstream.events import Activity, Event, Final, Revision, Speaker, Turn

TALK_S = 0.001  # less is what rounding leaves of talk that was taken away
RECENT_TURNS = 300  # more than a minute of any talk: what a view of "now" has to look at


class Cell(IntEnum):
    """One column of a speaker's lane."""

    SILENT = 0
    PROVISIONAL = 1
    COMMITTED = 2


@dataclass(frozen=True)
class Row:
    """A turn as a reader should see it; `was` lists the speakers it had before, oldest first."""

    turn: Turn
    was: tuple[str | None, ...] = ()
    revised_s: float = 0.0


class Transcript:
    """Turns, speakers and revisions of one stream; the same events always give the same transcript."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.speakers: list[str] = []
        self.names: dict[str, str] = {}  # of the speakers who have one now
        self.revisions = 0
        self.final: Final | None = None
        self.activity: Activity | None = None  # the newest; None where the session was not asked for it
        self._talk_s: dict[str | None, float] = {}

    def apply(self, events: Iterable[Event]) -> None:
        """Take the events in the order they came."""
        for event in events:
            match event:
                case Turn():
                    self._take_turn(event)
                case Revision():
                    self._take_revision(event)
                case Speaker():
                    self._meet(event.id)
                    self._take_name(event)
                case Activity():
                    self.activity = event
                case Final():
                    self.final = event
                    self.names = {talk.speaker: talk.name for talk in event.speakers if talk.speaker and talk.name}

    @property
    def talkers(self) -> list[str]:
        """Speakers to whom speech belongs now, in order of appearance; revisions may leave one with none."""
        return [speaker for speaker in self.speakers if self._talk_s.get(speaker, 0.0) > TALK_S]

    def talk_s(self, speaker: str | None) -> float:
        """Seconds this speaker has talked so far, provisional speech included."""
        return self._talk_s.get(speaker, 0.0)

    def newest(self, count: int) -> list[Row]:
        """The last `count` turns by start, oldest first."""
        rows = sorted(self._recent(), key=lambda row: (row.turn.start_s, int(row.turn.id[1:])))
        return rows[-count:] if count > 0 else []

    def lane(self, speaker: str | None, start_s: float, end_s: float, columns: int) -> list[Cell]:
        """What `speaker` did from `start_s` to `end_s`, in `columns` equal cells; a short turn fills one."""
        cells = [Cell.SILENT] * columns
        scale = columns / (end_s - start_s)
        for turn in (row.turn for row in self._recent() if row.turn.speaker == speaker):
            first, committed, last = (
                round((time_s - start_s) * scale) for time_s in (turn.start_s, turn.committed_s, turn.end_s)
            )
            for column in range(max(first, 0), min(max(last, first + 1), columns)):
                sure = column < committed or turn.committed_s >= turn.end_s
                cells[column] = max(cells[column], Cell.COMMITTED if sure else Cell.PROVISIONAL)
        return cells

    def _recent(self) -> Iterator[Row]:
        return islice(reversed(self.rows.values()), RECENT_TURNS)

    def _take_turn(self, turn: Turn) -> None:
        before = self.rows.get(turn.id)
        if before is not None:
            self._count(before.turn, -1)
        if turn.state == "retracted":
            self.rows.pop(turn.id, None)
            return
        if turn.speaker is not None:
            self._meet(turn.speaker)
        self._count(turn, 1)
        self.rows[turn.id] = replace(before, turn=turn) if before else Row(turn)

    def _take_revision(self, revision: Revision) -> None:
        self.revisions += revision.old is not None  # naming the unknown corrects nobody
        for row in [self.rows[i] for i in revision.turns if i in self.rows]:
            self._count(row.turn, -1)
            turn = replace(row.turn, speaker=revision.new)
            self._count(turn, 1)
            self.rows[turn.id] = Row(turn, (*row.was, revision.old), revision.at_s)

    def _meet(self, speaker: str) -> None:
        if speaker not in self.speakers:
            self.speakers.append(speaker)

    def _take_name(self, event: Speaker) -> None:
        if event.state == "named":
            self.names.pop(event.id, None)
            if event.name is not None:
                self.names[event.id] = event.name

    def _count(self, turn: Turn, sign: int) -> None:
        self._talk_s[turn.speaker] = self._talk_s.get(turn.speaker, 0.0) + sign * (turn.end_s - turn.start_s)
