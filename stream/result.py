"""The final result of a stream, which the user may still correct."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .edits import Assign, Edit, Merge, assignment, changes, edited, named
from .events import EndReason, Event, Final
from .publisher import Publisher
from .roster import Renamed, Roster
from .timeline.records import FinalRecord, Record, SpeakerRecord


@dataclass(frozen=True, slots=True)
class Made:
    """A correction of the final result, and what it did to names."""

    edit: Edit
    renamed: Renamed | None = None


class Result:
    """What a stream of `duration_s` says at its end: `record`, with corrections."""

    def __init__(self, roster: Roster, publisher: Publisher, record: FinalRecord, duration_s: float):
        self._roster, self._publisher, self._record, self._duration_s = roster, publisher, record, duration_s
        self._made: list[Made] = []

    def final(self, reason: EndReason = "stop") -> Final:
        """The result with the names and the corrections of now."""
        names = self._roster.naming.names
        final = self._publisher.final(self._record, names, self._duration_s, reason)
        for made in self._made:
            final = edited(final, made.edit)
        return named(final, {f"S{speaker}": name for speaker, name in names.items()}) if self._made else final

    def merge(self, speaker: str, into: str, frame: int) -> list[Event]:
        """See `Session.merge`."""
        gone, kept = self._roster.number(speaker), self._roster.number(into)
        before, edit = self.final(), Merge(f"S{gone}", f"S{kept}")
        edited(before, edit)
        records, renamed = self._roster.rename_merged(gone, kept, frame)
        self._roster.late[gone] = kept
        self._made.append(Made(edit, renamed))
        return self._told(before, records)

    def assign(self, turn: str, speaker: str) -> list[Event]:
        """See `Session.assign`."""
        before = self.final()
        edit = assignment(before, turn, speaker)
        if edit.is_new:
            edited(before, edit)
            edit = Assign(turn, f"S{self._roster.new_late()}", is_new=True)
        else:
            edit = Assign(turn, f"S{self._roster.number(speaker)}", is_new=True)  # maybe without a turn until now
        edited(before, edit)
        self._made.append(Made(edit))
        return self._told(before, [])

    def undo(self, frame: int, decide: Callable[[], FinalRecord]) -> list[Event]:
        """See `Session.undo`. `decide` makes the record anew where a correction of before the end is taken back."""
        before = self.final()
        if not self._made:
            records = self._roster.undo(frame)
            self._record = decide()
            return self._told(before, [r for r in records if isinstance(r, SpeakerRecord) and r.state == "named"])
        renamed = self._made.pop().renamed
        if renamed is None:
            return self._told(before, [])
        del self._roster.late[renamed.gone]
        return self._told(before, self._roster.named_again(renamed, frame))

    def _told(self, before: Final, records: list[Record]) -> list[Event]:
        return [*changes(before, self.final()), *self._publisher.publish(records)]
