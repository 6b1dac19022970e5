"""What is known of a stream so far, built from its events alone: no terminal, no clock, no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import islice

from turnstream.events import Activity, Event, Final, Revision, Speaker, Turn
from turnstream.windows import FRAME_SAMPLES, SAMPLE_RATE_HZ

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
    was: tuple[int | None, ...] = ()
    revised_frame: int = 0


class Transcript:
    """Turns, speakers and revisions of one stream; the same events always give the same transcript."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.speakers: list[int] = []
        self.names: dict[int, str] = {}  # of the speakers who have one now
        self.revisions = 0
        self.final: Final | None = None
        self.activity: Activity | None = None  # the newest; None where the session was not asked for it
        self._talk_frames: dict[int | None, int] = {}

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
                    self.names = {speaker: name for speaker, name, _ in event.names}

    @property
    def talkers(self) -> list[int]:
        """Speakers to whom speech belongs now, in order of appearance; revisions may leave one with none."""
        return [speaker for speaker in self.speakers if self._talk_frames.get(speaker)]

    def talk_s(self, speaker: int | None) -> float:
        """Seconds this speaker has talked so far, provisional speech included."""
        return self._talk_frames.get(speaker, 0) * FRAME_SAMPLES / SAMPLE_RATE_HZ

    def newest(self, count: int) -> list[Row]:
        """The last `count` turns by start, oldest first."""
        rows = sorted(self._recent(), key=lambda row: (row.turn.start_frame, row.turn.id))
        return rows[-count:] if count > 0 else []

    def lane(self, speaker: int | None, start_frame: int, end_frame: int, columns: int) -> list[Cell]:
        """What `speaker` did from `start_frame` to `end_frame`, in `columns` equal cells; a short turn fills one."""
        cells = [Cell.SILENT] * columns
        scale = columns / (end_frame - start_frame)
        for turn in (row.turn for row in self._recent() if row.turn.speaker == speaker):
            first, committed, last = (
                round((frame - start_frame) * scale)
                for frame in (turn.start_frame, turn.committed_frame, turn.end_frame)
            )
            for column in range(max(first, 0), min(max(last, first + 1), columns)):
                sure = column < committed or turn.committed_frame >= turn.end_frame
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
        self.revisions += 1
        for row in [self.rows[i] for i in revision.turns if i in self.rows]:
            self._count(row.turn, -1)
            turn = replace(row.turn, speaker=revision.new)
            self._count(turn, 1)
            self.rows[turn.id] = Row(turn, (*row.was, revision.old), revision.at_frame)

    def _meet(self, speaker: int) -> None:
        if speaker not in self.speakers:
            self.speakers.append(speaker)

    def _take_name(self, event: Speaker) -> None:
        if event.state == "named":
            self.names.pop(event.id, None)
            if event.name is not None:
                self.names[event.id] = event.name

    def _count(self, turn: Turn, sign: int) -> None:
        frames = self._talk_frames.get(turn.speaker, 0)
        self._talk_frames[turn.speaker] = frames + sign * (turn.end_frame - turn.start_frame)
