"""Who is who in one stream: speakers by their public numbers, their voices and names, and the user's corrections."""

from __future__ import annotations

from dataclasses import dataclass

from .edits import NEW
from .errors import CorrectionError, EnrollmentError
from .events import speaker_number
from .labels import Labels
from .people.naming import Given, Naming, check_name
from .stitching.links import Link
from .stitching.profile import Profile, mean_profile
from .stitching.stitchers import Stitchers
from .timeline.corrections import Assigned, Correction, Merged
from .timeline.records import FinalRecord, Record, RevisionRecord, SpeakerRecord, TurnRecord
from .timeline.timeline import Timeline

MOST_CORRECTIONS = 500  # of one stream, those taken back included: no bound in practice


@dataclass(frozen=True, slots=True)
class Renamed:
    """What two speakers were called before they were merged, and what the one that is left is called since."""

    gone: int
    into: int
    gone_name: Given | None
    into_name: Given | None
    since: Given | None


class Roster:
    """The speakers of one stream, whom `timeline` numbers, `stitchers` hear and `naming` names."""

    def __init__(self, timeline: Timeline, stitchers: Stitchers, naming: Naming):
        self.naming = naming
        self._timeline, self._stitchers = timeline, stitchers
        self._renamed: list[Renamed | None] = []  # for each correction
        self._count = 0  # of corrections, and of those taken back
        self.late: dict[int, int] = {}  # speakers merged into others in the final result
        self.late_new: set[int] = set()  # speakers whom the user made in the final result

    def update(self, labels: Labels, frame: int) -> list[Record]:
        """The records of the newest labels, up to `frame`."""
        records = self._timeline.update(labels, frame)
        for record in [record for record in records if isinstance(record, SpeakerRecord)]:
            if record.state == "merged":
                records += self.naming.merge(record.id, record.into, frame)
        if self.naming.listens:
            records += self.naming.update(self.voices(), frame)
        return records

    def finish(self, labels: Labels, end_frame: int) -> FinalRecord:
        """The final result of these labels, with names from the final voices; again after a correction less."""
        final = self._timeline.finish(labels, end_frame)
        for old, into in self._timeline.successors.items():
            self.naming.merge(old, into, end_frame)
        self.naming.finish(self.voices(), end_frame)
        return final

    def voices(self) -> dict[int, Profile]:
        """The voices of all speakers who have said enough to have one."""
        numbers, found = self._timeline.numbers, dict[int, list[Profile]]()
        for own, voice in self._stitchers.profiles().items():
            number = self._resolve(numbers.get(own))
            if number is not None:
                found.setdefault(number, []).append(voice)
        return {number: own[0] if len(own) == 1 else mean_profile(own) for number, own in found.items()}

    def profile(self, speaker: str) -> Profile:
        """See `Session.profile`."""
        if (voice := self.voices().get(self.number(speaker))) is None:
            raise EnrollmentError(f"expected clean speech of {speaker}, got none that is long enough for a voice")
        return voice

    def number(self, speaker: str) -> int:
        """The number of a speaker such as S1, or of the one they were merged into. Raises CorrectionError."""
        numbers = {*self._timeline.speakers, *self._timeline.numbers.values(), *self.late_new}
        number = speaker_number(speaker)
        resolved = self._resolve(number) if number in numbers else None
        if resolved is None:
            there = sorted({n for n in map(self._resolve, numbers) if n is not None})
            found = f"one of {', '.join(f'S{n}' for n in there)}" if there else "a stream that has speakers"
            raise CorrectionError("unknown_speaker", f"expected {found}, got {speaker}")
        return resolved

    def name(self, speaker: str, name: str | None, frame: int, *, take: bool = False) -> list[Record]:
        """See `Session.name`."""
        number = self.number(speaker)
        holder = None if name is None else self.naming.holder(check_name(name))
        if holder not in (None, number) and not take:
            said = (
                f"S{holder} is called {name} already: merge S{number} into S{holder}, or take the name from S{holder}"
            )
            raise CorrectionError("name_in_use", said, f"S{holder}")
        return [*self.naming.choose(number, name, frame)]

    def merge(self, speaker: str, into: str, frame: int) -> list[Record]:
        """See `Session.merge`."""
        gone, kept = self.number(speaker), self.number(into)
        if gone == kept:
            raise CorrectionError("same_speaker", f"expected two speakers, got S{kept} twice")
        before = self._begin()
        own = {self._timeline.stitcher_id(number) for number in (gone, kept)}
        together = self._stitchers.merge({id_ for id_ in own if id_ is not None}, frame)
        records = self._changed(before, Merged(gone, kept, together), frame)
        self._timeline.corrections.known.discard(gone)
        names, renamed = self.rename_merged(gone, kept, frame)
        self._renamed.append(renamed)
        return [*records, SpeakerRecord(gone, frame, "merged", into=kept), *names]

    def assign(self, turn: str, speaker: str, frame: int) -> list[Record]:
        """See `Session.assign`."""
        found = self._turn(turn)
        number = None if speaker == NEW else self.number(speaker)
        before = self._begin()
        id_ = self._stitchers.live.speakers.reserve() if number is None else self._timeline.stitcher_id(number)
        assert id_ is not None
        number = self._timeline.add_speaker(id_) if number is None else number
        others = self._timeline.around(found)
        spans = tuple((other.start_frame, other.end_frame) for other in others)
        old = self._timeline.stitcher_id(found.speaker)
        link = Link(found.start_frame, found.end_frame, spans, id_, old, is_new=speaker == NEW)
        shown = self._timeline.corrections.speaker_of(found)
        assigned = Assigned(found.id, shown, number, link, tuple(other.id for other in others))
        self._stitchers.link(link)
        self._renamed.append(None)
        return self._changed(before, assigned, frame)

    def undo(self, frame: int) -> list[Record]:
        """See `Session.undo`."""
        corrections = self._timeline.corrections
        if not corrections.made:
            raise CorrectionError("nothing_to_undo", "expected a correction to undo, got none")
        before, one, renamed = self._begin(), corrections.made.pop(), self._renamed.pop()
        if isinstance(one, Merged):
            self._stitchers.part(one.together)
        else:
            self._stitchers.unlink(one.link)
            if one.link.is_new:
                corrections.void[one.speaker] = one.old
        records = self._changed(before, None, frame)
        if renamed:
            return [*records, *self.named_again(renamed, frame)]
        if isinstance(one, Assigned) and one.link.is_new:
            corrections.known.discard(one.speaker)
            gone = SpeakerRecord(one.speaker, frame, "merged", into=one.old)
            return [*records, gone, *self.naming.merge(one.speaker, one.old, frame)]
        return records

    def rename_merged(self, gone: int, into: int, frame: int) -> tuple[list[Record], Renamed]:
        """A merged speaker's name goes with them; what listeners have to know of that, and how to take it back."""
        names = self.naming.of(gone), self.naming.of(into)
        records: list[Record] = [*self.naming.merge(gone, into, frame)]
        return records, Renamed(gone, into, *names, self.naming.of(into))

    def named_again(self, renamed: Renamed, frame: int) -> list[Record]:
        """The names of before a merge, as far as nobody was named anew since."""
        records: list[Record] = []
        if self.naming.of(renamed.into) == renamed.since:
            records += self.naming.restore(renamed.into, renamed.into_name, frame)
        return [*records, *self.naming.restore(renamed.gone, renamed.gone_name, frame)]

    def new_late(self) -> int:
        """The number of somebody whom the user made a speaker in the final result."""
        number = 1 + max([0, *self._timeline.speakers, *self._timeline.numbers.values(), *self.late_new])
        self.late_new.add(number)
        return number

    def _resolve(self, number: int | None) -> int | None:
        number = self._timeline.corrections.resolve(number)
        while number in self.late:
            number = self.late[number]
        return number

    def _turn(self, turn: str) -> TurnRecord:
        digits = turn[1:]
        number = int(digits) if turn[:1] in ("T", "t") and digits.isascii() and digits.isdecimal() else 0
        if (found := self._timeline.turn(number)) is None:
            raise CorrectionError("unknown_turn", f"expected a turn of this stream, got {turn}")
        return found

    def _begin(self) -> dict[int, int | None]:
        """Whose every turn is before a correction. Raises CorrectionError where there were too many."""
        if self._count == MOST_CORRECTIONS:
            said = f"expected at most {MOST_CORRECTIONS} corrections of one stream, those taken back included, got more"
            raise CorrectionError("too_many_corrections", said)
        self._count += 1
        corrections = self._timeline.corrections
        if not corrections:
            corrections.known = self._timeline.present
        return self._speakers()

    def _speakers(self) -> dict[int, int | None]:
        return {turn.id: turn.speaker for turn in self._timeline.corrections.shown(self._timeline.turns)}

    def _changed(self, before: dict[int, int | None], one: Correction | None, frame: int) -> list[Record]:
        """Make this correction, where there is one; what listeners have to know of what is different from before."""
        if one is not None:
            self._timeline.corrections.made.append(one)
        after = self._speakers()
        groups: dict[tuple[int | None, int | None], list[int]] = {}
        for id_, old in before.items():
            if old != after[id_]:
                groups.setdefault((old, after[id_]), []).append(id_)
        appeared = self._timeline.corrections.appear([new for _, new in groups], frame)
        return [*appeared, *(RevisionRecord(tuple(i), o, n, "corrected", frame) for (o, n), i in groups.items())]
