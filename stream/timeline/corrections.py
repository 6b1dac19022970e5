"""What the user corrected: speakers who are one person, and turns that are somebody else's.

The timeline goes on as if nothing had been corrected. What it reports is told as the corrections say, so that nothing
the stitcher finds later overrules them, and taking one back leads to where the stream would be without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..labels import Labels, runs_of
from ..stitching.links import Link, Together
from .records import Record, RevisionRecord, SpeakerRecord, TurnRecord

Bools = NDArray[np.bool_]
Speaker = int | None
Columns = dict[Speaker, Bools]
Turns = Mapping[int, TurnRecord]
EDGE_FRAMES = 30  # about 0.5 s: as much as a run of the final labels may begin or end beyond the live turn


@dataclass(eq=False, slots=True)
class Merged:
    """Speaker `gone` is `into`, and so are the `adopted`, who split off what was theirs by then."""

    gone: int
    into: int
    together: Together
    adopted: set[int] = field(default_factory=set)

    def applied(self, speaker: Speaker, turn: TurnRecord) -> Speaker:
        """Whose the turn is that was `speaker`'s."""
        return self.into if speaker == self.gone or speaker in self.adopted else speaker


@dataclass(eq=False, slots=True)
class Assigned:
    """A turn of `old` is `speaker`'s; `link` has its frames. `others`: the turns that were there at the same time.

    `lost`: the turn was retracted, and what takes its place is meant.
    """

    turn: int
    old: Speaker
    speaker: int
    link: Link
    others: tuple[int, ...] = ()
    lost: bool = False

    def applied(self, speaker: Speaker, turn: TurnRecord) -> Speaker:
        """Whose the turn is that was `speaker`'s."""
        return self.speaker if turn.id == self.turn or (self.lost and self._replaces(turn)) else speaker

    def follow(self, turn: TurnRecord) -> None:
        """Keep to the turn, which may still grow."""
        self.lost = turn.state == "retracted"
        if not self.lost:
            self.link.start_frame, self.link.end_frame = turn.start_frame, turn.end_frame

    def meets(self, turn: TurnRecord) -> bool:
        """Whether a turn overlaps the frames."""
        return turn.start_frame < self.link.end_frame and self.link.start_frame < turn.end_frame

    def _replaces(self, turn: TurnRecord) -> bool:
        inside = min(turn.end_frame, self.link.end_frame) - max(turn.start_frame, self.link.start_frame)
        return turn.id not in self.others and 2 * inside > turn.end_frame - turn.start_frame


Correction = Merged | Assigned


class Corrections:
    """All corrections of one stream, oldest first; `told` is what listeners hear instead of the timeline's records."""

    def __init__(self) -> None:
        self.made: list[Correction] = []
        self.void: dict[int, Speaker] = {}  # speakers whom the user made and took back, and whose their speech is
        self.known: set[int] = set()  # speakers who have appeared, as listeners were told

    def __bool__(self) -> bool:
        return bool(self.made or self.void)

    def resolve(self, speaker: Speaker) -> Speaker:
        """Whom a speaker was merged into; themselves otherwise."""
        speaker = self._plain(speaker)
        for one in self.made:
            if isinstance(one, Merged) and (speaker == one.gone or speaker in one.adopted):
                speaker = one.into
        return speaker

    def speaker_of(self, turn: TurnRecord, count: int | None = None) -> Speaker:
        """Whose a turn of the timeline is, by the first `count` corrections, or all of them."""
        speaker = self._plain(turn.speaker)
        for one in self.made[:count]:
            speaker = one.applied(speaker, turn)
        return speaker

    def shown(self, turns: Sequence[TurnRecord]) -> Sequence[TurnRecord]:
        """Turns of the timeline as they are told."""
        return [replace(turn, speaker=self.speaker_of(turn)) for turn in turns] if self else turns

    def told(self, records: Iterable[Record], turns: Turns, stitcher_ids: Mapping[Speaker, Speaker]) -> list[Record]:
        """Records of the timeline as they are told; `turns` are all it has, `stitcher_ids` those of its speakers."""
        told = [one for record in records for one in self._told(record, turns, stitcher_ids)]
        return [*told, *self._left([one for one in told if isinstance(one, RevisionRecord)], turns)]

    def appear(self, speakers: Iterable[Speaker], frame: int) -> list[Record]:
        """Tell of the speakers of whom nobody was told yet."""
        new = sorted({speaker for speaker in speakers if speaker is not None} - self.known)
        self.known.update(new)
        return [SpeakerRecord(speaker, frame) for speaker in new]

    def moved(self, turns: Sequence[TurnRecord]) -> Sequence[TurnRecord]:
        """The turns with only those speakers corrected who were assigned: merged speakers are two voices still."""
        return [replace(turn, speaker=self._unmerged(turn)) for turn in turns] if self else turns

    def home(self, labels: Labels, own: Speaker, turns: Sequence[TurnRecord]) -> int | None:
        """The merged speaker whose speech before the merge most of the final speaker `own` was; None for others."""
        column = labels.active[:, labels.speakers.index(own)]
        merges = [one for one in self.made if isinstance(one, Merged)]
        shown = self.shown(turns) if merges else ()
        for one in merges:
            theirs = np.zeros(len(column), bool)
            speaker = self.resolve(one.into)
            for turn in [turn for turn in shown if turn.speaker == speaker]:
                end = min(turn.end_frame, one.together.before_frame)
                theirs[max(0, turn.start_frame - labels.first_frame) : max(0, end - labels.first_frame)] = True
            if 2 * (column & theirs).sum() > column.sum():
                return one.into
        return None

    def final(self, labels: Labels, numbers: dict[Speaker, Speaker], turns: Sequence[TurnRecord]) -> Labels:
        """Labels of the whole stream with public speakers as corrected; `turns` are those of before the end."""
        columns: Columns = {}
        for n, own in enumerate(labels.speakers):
            if own in numbers:
                _add(columns, numbers[own], labels.active[:, n])
        for count, one in enumerate(self.made):
            if isinstance(one, Merged):
                for gone in sorted({one.gone, *one.adopted} & columns.keys()):
                    _add(columns, one.into, columns.pop(gone))
            else:
                near = [turn for turn in turns if turn.id != one.turn and one.meets(turn)]
                _assign(columns, one, [(turn, self.speaker_of(turn, count)) for turn in near], labels.first_frame)
        speakers = sorted(columns, key=lambda speaker: (speaker is None, speaker or 0))
        active = np.stack([columns[speaker] for speaker in speakers], axis=1) if speakers else labels.active[:, :0]
        return Labels(labels.first_frame, active, tuple(speakers))

    def _plain(self, speaker: Speaker) -> Speaker:
        while speaker in self.void:
            speaker = self.void[speaker]
        return speaker

    def _unmerged(self, turn: TurnRecord) -> Speaker:
        speaker = self._plain(turn.speaker)
        for one in self.made:
            speaker = one.applied(speaker, turn) if isinstance(one, Assigned) else speaker
        return speaker

    def _told(self, record: Record, turns: Turns, stitcher_ids: Mapping[Speaker, Speaker]) -> list[Record]:
        match record:
            case TurnRecord():
                for one in self.made:
                    if isinstance(one, Assigned) and one.turn == record.id:
                        one.follow(record)
                turn = replace(record, speaker=self.speaker_of(record))
                return [*self.appear([turn.speaker], record.committed_frame), turn]
            case RevisionRecord():
                return self._revised(record, turns)
            case SpeakerRecord(state="appeared"):
                self._adopt(record.id, stitcher_ids)
                return self.appear([record.id], record.at_frame) if self.resolve(record.id) == record.id else []
            case SpeakerRecord():
                return []  # merged: `_left` says who has no turn by the corrections

    def _revised(self, record: RevisionRecord, turns: Turns) -> list[Record]:
        groups: dict[tuple[Speaker, Speaker], list[int]] = {}
        for id_ in record.turns:
            old, new = (self.speaker_of(replace(turns[id_], speaker=side)) for side in (record.old, record.new))
            if old != new:
                groups.setdefault((old, new), []).append(id_)
        told = self.appear([new for _, new in groups], record.at_frame)
        return [*told, *(replace(record, turns=tuple(ids), old=o, new=n) for (o, n), ids in groups.items())]

    def _adopt(self, speaker: int, stitcher_ids: Mapping[Speaker, Speaker]) -> None:
        for one in self.made:
            inside = isinstance(one, Merged) and stitcher_ids.get(speaker) in one.together.ids
            if isinstance(one, Merged) and inside and speaker not in (one.gone, one.into):
                one.adopted.add(speaker)

    def _left(self, revisions: Sequence[RevisionRecord], turns: Turns) -> list[Record]:
        """Tell which speakers these revisions, as they are told, left without a turn."""
        into = {one.old: one for one in revisions if one.old in self.known}
        held = {self.speaker_of(turn) for turn in turns.values()} if into else set()
        gone = {old: one for old, one in into.items() if old is not None and old not in held}
        self.known.difference_update(gone)
        return [SpeakerRecord(old, one.at_frame, "merged", into=one.new) for old, one in gone.items()]


def _add(columns: Columns, speaker: Speaker, active: Bools) -> None:
    columns[speaker] = columns[speaker] | active if speaker in columns else active.copy()


def _assign(columns: Columns, one: Assigned, told: Sequence[tuple[TurnRecord, Speaker]], first_frame: int) -> None:
    """In its frames the speech of the old speaker is the new one's, and where they are silent, all that nobody else
    was said to say."""
    start, end = max(0, one.link.start_frame - first_frame), max(0, one.link.end_frame - first_frame)
    moved = np.zeros(len(next(iter(columns.values()))), bool) if columns else np.zeros(0, bool)
    silent = np.zeros_like(moved)
    silent[start:end] = True
    if one.old in columns:
        _take(columns[one.old], silent, moved)
    silent &= ~moved
    for speaker in [speaker for speaker in columns if speaker not in (one.old, one.speaker)]:
        free = silent.copy()
        for turn, theirs in told:
            if theirs == speaker:
                free[max(0, turn.start_frame - first_frame) : max(0, turn.end_frame - first_frame)] = False
        _take(columns[speaker], free, moved)
    _add(columns, one.speaker, moved)


def _take(column: Bools, where: Bools, moved: Bools) -> None:
    """Move the column's frames `where`, with the ends of its runs that lie just beyond."""
    taken = column & where
    for start, end in runs_of(column):
        inside = np.flatnonzero(taken[start:end])
        if len(inside):
            first, last = start + int(inside[0]), start + int(inside[-1]) + 1
            taken[start if first - start <= EDGE_FRAMES else first : first] = True
            taken[last : end if end - last <= EDGE_FRAMES else last] = True
    moved |= taken
    column &= ~taken
