"""Turns from labels: provisional, committed a chosen latency behind the audio, corrected by revisions, final.

The timeline owns the public names: speakers are numbered in the order in which they first appear here, turns in the
order in which they are made, and no number is used twice. Given the same labels it gives the same records.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

from ..errors import TurnstreamError
from ..events import TurnState
from ..labels import Labels
from ..limits import MAX_LATENCY_S, MIN_LATENCY_S
from .corrections import Corrections
from .matching import Span, final_ids, map_speakers, match_turns, overlap_frames
from .records import FinalRecord, Record, RevisionRecord, SpeakerRecord, TurnRecord, rttm_of
from .revisions import Candidate, Reviser, Verdict
from .runs import FILL_FRAMES, frames_of, runs_between
from .turn_table import TurnTable, successors


class Timeline:
    """Turns of one stream; `update` once a hop, `finish` once at the end.

    `latency_s` (0.5 to 5) is how far behind the newest frame turns are committed; `revision_interval_s` is the least
    audio between two batches of revisions; turns that ended more than `revision_reach_s` ago are not revised any more.
    Raises TurnstreamError for numbers out of range.
    """

    def __init__(self, latency_s: float = 1.0, *, revision_interval_s: float = 1.0, revision_reach_s: float = math.inf):
        if not MIN_LATENCY_S <= latency_s <= MAX_LATENCY_S:
            raise TurnstreamError(f"latency must be {MIN_LATENCY_S} to {MAX_LATENCY_S} s, got {latency_s}")
        if not 0 <= revision_interval_s < math.inf:
            raise TurnstreamError(f"revision interval must be 0 s or more, got {revision_interval_s}")
        if not revision_reach_s >= 0:
            raise TurnstreamError(f"revision reach must be 0 s or more, got {revision_reach_s}")
        self.latency_frames = frames_of(latency_s)
        self._reach_frames = math.inf if revision_reach_s == math.inf else frames_of(revision_reach_s)
        self.committed_frame = 0
        self._horizon = 0
        self._table = TurnTable()
        self._open: dict[int, TurnRecord] = {}  # those that may still grow
        self._recent: list[int] = []  # those with a committed part that labels still reach
        self._numbers: dict[int | None, int | None] = {None: None}  # stitcher's id -> public speaker
        self._stitcher_ids: dict[int | None, int | None] = {None: None}  # and back
        self._merged: set[int] = set()  # public speakers who were reported as merged
        self._final_numbers: dict[int | None, int | None] | None = None
        self.successors: dict[int, int] = {}  # live speakers without a final turn, and whose their speech is
        self._last_turn_id = 0
        self._live: list[Span] = []  # what was committed, as it was then
        self._live_piece: dict[int, int] = {}  # turn id -> its last piece in _live
        self._reviser = Reviser(frames_of(revision_interval_s))
        self._before_final: tuple[TurnRecord, ...] | None = None  # the turns when the stream ended
        self.corrections = Corrections()  # by the user

    @property
    def turns(self) -> tuple[TurnRecord, ...]:
        """Every turn as it stands, in order of id."""
        return tuple(self._table.by_id.values())

    def turn(self, turn_id: int) -> TurnRecord | None:
        """The turn of this id, as it stands without corrections."""
        return self._table.by_id.get(turn_id)

    def around(self, turn: TurnRecord) -> list[TurnRecord]:
        """The other turns that overlap this one."""
        near = self._table.overlapping([(turn.start_frame, turn.end_frame)])
        return [other for other in near if other.id != turn.id and overlap_frames(turn, other)]

    @property
    def present(self) -> set[int]:
        """The speakers who appeared and were not merged into others, without corrections."""
        return set(self.speakers) - self._merged

    def stitcher_id(self, speaker: int | None) -> int | None:
        """The stitcher's id of a public speaker."""
        return self._stitcher_ids[speaker]

    def add_speaker(self, stitcher_id: int) -> int:
        """The public number of somebody whom the user made a speaker."""
        number = len(self._numbers)
        self._numbers[stitcher_id], self._stitcher_ids[number] = number, stitcher_id
        return number

    @property
    def horizon_frame(self) -> int:
        """Up to where labels were taken."""
        return self._horizon

    @property
    def speakers(self) -> tuple[int, ...]:
        """Public speakers in order of appearance."""
        return tuple(number for number in self._numbers.values() if number is not None)

    @property
    def numbers(self) -> dict[int, int]:
        """The stitcher's ids and their public speakers; after `finish`, the ids of the final labels."""
        numbers = self._numbers if self._final_numbers is None else self._final_numbers
        return {own: public for own, public in numbers.items() if own is not None and public is not None}

    def rttm(self, file_id: str) -> str:
        """RTTM of every turn as it stands."""
        return rttm_of(file_id, [(t.start_frame, t.end_frame, t.speaker) for t in self.turns])

    def live_rttm(self, file_id: str) -> str:
        """RTTM of everything committed so far, as it was first committed: what a listener learned in time."""
        return rttm_of(file_id, [(run.start_frame, run.end_frame, run.speaker) for run in self._live])

    def update(self, labels: Labels, horizon_frame: int) -> list[Record]:
        """Take the newest labels, which must reach from the last commit to `horizon_frame`; returns what changed.

        Speakers come before the revisions and turns that name them; turns come in order of id.
        """
        self._check(labels, horizon_frame)
        self._horizon = max(self._horizon, horizon_frame)
        verdicts = self._verdicts(labels)
        records = self._number(v.speaker for v in verdicts)
        revisions = self._apply(verdicts)
        records += revisions
        before = dict(self._open)
        runs = self._provisional_runs(labels)
        records += self._number(run.speaker for run in runs)
        public = [replace(run, speaker=self._numbers[run.speaker]) for run in runs]
        after = match_turns(before, public, self.committed_frame, self._new_turn_id)
        self.committed_frame = max(self.committed_frame, self._horizon - self.latency_frames)
        return self._told([*records, *self._settle(before, after), *self._merge(revisions)])

    def onset(self, start_frame: int, end_frame: int) -> list[Record]:
        """Somebody talks in frames that no labels reach yet, nobody knows who: a provisional turn of speaker None.

        Nothing where a turn was reported there already. The next `update` takes the turn over or retracts it.
        """
        start = max(start_frame, self.committed_frame)
        if end_frame <= start or any(turn.end_frame > start - FILL_FRAMES for turn in self._open.values()):
            return []
        turn = TurnRecord(self._new_turn_id(), None, start, end_frame, start, "provisional")
        self._open[turn.id] = turn
        self._table.put(turn)
        return self._told([turn])

    def finish(self, labels: Labels, end_frame: int | None = None) -> FinalRecord:
        """Replace everything by `labels` of the whole stream, up to `end_frame`; speakers keep their live numbers.

        The speakers of `labels` may be numbered differently from those of `update`: each takes the number of the live
        speaker with whom it shares most time, one to one. Turns keep the id of the live turn that they overlap most.
        What the user corrected stays so; after one more correction, or one less, this can be called again.
        """
        end = labels.end_frame if end_frame is None else min(end_frame, labels.end_frame)
        self._commit_rest(end)
        live = self._before_final = self.turns if self._before_final is None else self._before_final
        numbers: dict[int | None, int | None] = {None: None, **map_speakers(labels, self.corrections.moved(live))}
        runs = runs_between(labels, 0, end)
        count = itertools.count(len(self.speakers) + 1)
        for run in runs:
            if run.speaker not in numbers:
                home = self.corrections.home(labels, run.speaker, live)
                numbers[run.speaker] = next(count) if home is None else home
        self._final_numbers = {own: self.corrections.resolve(number) for own, number in numbers.items()}
        public = [replace(run, speaker=numbers[run.speaker]) for run in runs]
        if self.corrections:
            public = runs_between(self.corrections.final(labels, numbers, live), 0, end)
        before, self._table = self.corrections.shown(live), TurnTable()
        turns = final_ids(public, before, itertools.count(self._last_turn_id + 1).__next__)
        for turn in sorted(turns, key=lambda turn: turn.id):
            self._table.put(turn)
        self.successors = successors(before, self._table)
        return FinalRecord.of(turns)

    def _told(self, records: list[Record]) -> list[Record]:
        """The records as the user corrected them."""
        return self.corrections.told(records, self._table.by_id, self._stitcher_ids) if self.corrections else records

    def _new_turn_id(self) -> int:
        self._last_turn_id += 1
        return self._last_turn_id

    def _check(self, labels: Labels, horizon_frame: int) -> None:
        if horizon_frame < self._horizon:
            raise ValueError(f"expected a horizon of at least frame {self._horizon}, got {horizon_frame}")
        if horizon_frame > 0 and not labels.first_frame <= self.committed_frame <= horizon_frame <= labels.end_frame:
            raise ValueError(
                f"expected labels of frames {self.committed_frame} to {horizon_frame},"
                f" got {labels.first_frame} to {labels.end_frame}"
            )

    def _number(self, stitcher_ids: Iterable[int | None]) -> list[Record]:
        """Give public numbers to speakers seen for the first time; report those that are back after a merge."""
        appeared: list[Record] = []
        for speaker in stitcher_ids:
            known = self._numbers.get(speaker)
            if known is not None and known in self._merged:
                self._merged.remove(known)
                appeared.append(SpeakerRecord(known, self._horizon))
            if speaker not in self._numbers:
                number = len(self._numbers)
                self._numbers[speaker], self._stitcher_ids[number] = number, speaker
                appeared.append(SpeakerRecord(number, self._horizon))
        return appeared

    def _provisional_runs(self, labels: Labels) -> list[Span]:
        """Runs after the last commit in order of start, named by the stitcher's ids."""
        talking = {self._stitcher_ids[t.speaker] for t in self._open.values() if t.committed_frame > t.start_frame}
        return runs_between(labels, self.committed_frame, self._horizon, talking)

    def _candidate(self, turn: TurnRecord) -> Candidate:
        return Candidate(turn, self._stitcher_ids[turn.speaker])

    def _verdicts(self, labels: Labels) -> list[Verdict]:
        """What is to be revised now, within the reach."""
        turns = self._table.by_id
        self._recent = [i for i in self._recent if turns[i].end_frame > labels.first_frame]
        self._reviser.consider([self._candidate(turns[i]) for i in self._recent], labels)
        if labels.changes:
            touched = self._table.overlapping((change.start_frame, change.end_frame) for change in labels.changes)
            committed = [turn for turn in touched if turn.committed_frame > turn.start_frame]
            self._reviser.consider_changes([self._candidate(turn) for turn in committed], labels.changes)
        oldest = self._horizon - self._reach_frames
        return [v for v in self._reviser.take(self._horizon) if turns[v.turn_id].end_frame >= oldest]

    def _apply(self, verdicts: list[Verdict]) -> list[RevisionRecord]:
        """Change the speakers; verdicts of one kind become one revision."""
        groups: dict[tuple[int | None, int | None, str], list[Verdict]] = {}
        for verdict in verdicts:
            old, new = self._table.by_id[verdict.turn_id].speaker, self._numbers[verdict.speaker]
            if old != new:
                groups.setdefault((old, new, verdict.reason), []).append(verdict)
        revisions: list[RevisionRecord] = []
        for (old, new, _), group in groups.items():
            ids = tuple(verdict.turn_id for verdict in group)
            revisions.append(RevisionRecord(ids, old, new, group[0].reason, self._horizon))
            for turn_id in ids:
                self._store(replace(self._table.by_id[turn_id], speaker=new))
        return revisions

    def _merge(self, revisions: Iterable[RevisionRecord]) -> list[Record]:
        """Tell which speakers these revisions left without a turn."""
        into = {r.old: r.new for r in revisions if r.old is not None and not self._table.holds(r.old)}
        self._merged.update(into)
        return [SpeakerRecord(old, self._horizon, "merged", into=new) for old, new in into.items()]

    def _store(self, turn: TurnRecord) -> None:
        self._table.put(turn)
        if turn.id in self._open:
            self._open[turn.id] = turn

    def _settle(self, before: dict[int, TurnRecord], after: dict[int, TurnRecord]) -> list[Record]:
        """Commit up to the new commit frame and report every turn that changed."""
        records: list[Record] = []
        for turn_id in sorted({*before, *after}):
            if turn_id not in after:
                self._table.remove(turn_id)
                del self._open[turn_id]
                records.append(replace(before[turn_id], state="retracted"))
                continue
            turn = self._open[turn_id] = self._committed(after[turn_id])
            self._table.put(turn)
            if turn.state == "committed":
                del self._open[turn_id]
            if turn != before.get(turn_id):
                records.append(turn)
        return records

    def _committed(self, turn: TurnRecord) -> TurnRecord:
        """The turn with its part before the commit frame committed, and the new part of that noted for live RTTM."""
        committed = max(turn.start_frame, min(turn.end_frame, self.committed_frame))
        if committed > turn.committed_frame:
            if turn.committed_frame == turn.start_frame:
                self._recent.append(turn.id)
            told = self.corrections.speaker_of(turn)
            self._note_live(turn.id, Span(turn.committed_frame, committed, told))
        state: TurnState = "committed" if turn.end_frame < self.committed_frame else "provisional"
        return replace(turn, committed_frame=committed, state=state)

    def _note_live(self, turn_id: int, run: Span) -> None:
        number = self._live_piece.get(turn_id)
        last = None if number is None else self._live[number]
        if number is not None and last and (last.speaker, last.end_frame) == (run.speaker, run.start_frame):
            self._live[number] = replace(last, end_frame=run.end_frame)
        else:
            self._live_piece[turn_id] = len(self._live)
            self._live.append(run)

    def _commit_rest(self, end_frame: int) -> None:
        """Commit what is left at the end of the stream; nothing reaches beyond `end_frame`."""
        self.committed_frame = max(self.committed_frame, end_frame)
        for turn in list(self._open.values()):
            end = max(turn.committed_frame, min(turn.end_frame, end_frame))
            self._table.put(self._committed(replace(turn, end_frame=end)))
        self._open.clear()
