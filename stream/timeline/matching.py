"""Which turn is which: new spans and reported turns, final and live speakers, matched by overlap only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..labels import Labels
from ..stitching.linear_assignment import best_pairs
from .records import TurnRecord

TAKEOVER_SHARE = 0.5  # a run takes over another speaker's provisional turn when half of the shorter one is shared


@dataclass(frozen=True, slots=True)
class Span:
    """A public speaker talking from `start_frame` to `end_frame` (exclusive)."""

    start_frame: int
    end_frame: int
    speaker: int | None


def overlap_frames(a: TurnRecord | Span, b: TurnRecord | Span) -> int:
    """Frames that both cover."""
    return max(0, min(a.end_frame, b.end_frame) - max(a.start_frame, b.start_frame))


def match_turns(
    turns: Mapping[int, TurnRecord], runs: Sequence[Span], commit_frame: int, new_id: Callable[[], int]
) -> dict[int, TurnRecord]:
    """The open turns as the runs (all at or after `commit_frame`) now say, by id; those missing are to be retracted.

    A turn with a committed part goes on in the run of its speaker that starts at `commit_frame`, or ends there.
    A wholly provisional turn moves to the run of its speaker that it overlaps most, then to any run at its time.
    """
    free = list(runs)
    matched: dict[int, TurnRecord] = {}
    for turn in turns.values():
        if turn.committed_frame > turn.start_frame:
            run = next((r for r in free if r.start_frame == commit_frame and r.speaker == turn.speaker), None)
            if run is not None:
                free.remove(run)
            matched[turn.id] = replace(turn, end_frame=commit_frame if run is None else run.end_frame)
    loose = [turn for turn in turns.values() if turn.id not in matched]
    for same_speaker in (True, False):
        for turn, run in _best_pairs(loose, free, same_speaker):
            loose.remove(turn)
            free.remove(run)
            matched[turn.id] = _turn(turn.id, run)
    for run in free:
        turn = _turn(new_id(), run)
        matched[turn.id] = turn
    return dict(sorted(matched.items()))


def final_ids(runs: Sequence[Span], turns: Sequence[TurnRecord], new_id: Callable[[], int]) -> tuple[TurnRecord, ...]:
    """Final turns: each run takes the id of the turn of its speaker that it overlaps most, one to one, or a new id."""
    order = sorted(turns, key=lambda turn: turn.start_frame)
    pairs = [(overlap, run_no, turn_id) for run_no, turn_id, overlap in _crossings(runs, order)]
    ids: dict[int, int] = {}
    taken: set[int] = set()
    for _, run_no, turn_id in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if run_no not in ids and turn_id not in taken:
            ids[run_no] = turn_id
            taken.add(turn_id)
    return tuple(
        TurnRecord(
            ids[n] if n in ids else new_id(), run.speaker, run.start_frame, run.end_frame, run.end_frame, "final"
        )
        for n, run in enumerate(runs)
    )


def map_speakers(labels: Labels, turns: Sequence[TurnRecord]) -> dict[int | None, int]:
    """Stitcher ids of `labels` -> public speakers of `turns`, one to one, sharing most frames in all."""
    public = sorted({turn.speaker for turn in turns if turn.speaker is not None})
    columns = [n for n, speaker in enumerate(labels.speakers) if speaker is not None]
    shared = np.zeros((len(labels.speakers), len(public)))
    for turn in turns:
        if turn.speaker is not None:
            start, end = (max(0, frame - labels.first_frame) for frame in (turn.start_frame, turn.end_frame))
            shared[:, public.index(turn.speaker)] += labels.active[start:end].sum(axis=0)
    return {labels.speakers[columns[row]]: public[column] for row, column in best_pairs(shared[columns])}


def _turn(turn_id: int, run: Span) -> TurnRecord:
    return TurnRecord(turn_id, run.speaker, run.start_frame, run.end_frame, run.start_frame, "provisional")


def _best_pairs(turns: list[TurnRecord], runs: list[Span], same_speaker: bool) -> list[tuple[TurnRecord, Span]]:
    """Pairs of a turn and a run in order of overlap, each at most once."""
    pairs = []
    for turn in turns:
        for number, run in enumerate(runs):
            overlap = overlap_frames(turn, run)
            shorter = min(turn.end_frame - turn.start_frame, run.end_frame - run.start_frame)
            least = 1 if same_speaker else TAKEOVER_SHARE * shorter
            if overlap >= least and (turn.speaker == run.speaker) == same_speaker:
                pairs.append((-overlap, turn.id, number, turn, run))
    chosen: list[tuple[TurnRecord, Span]] = []
    seen: set[tuple[str, int]] = set()
    for _, turn_id, number, turn, run in sorted(pairs, key=lambda pair: pair[:3]):
        if not seen & {("turn", turn_id), ("run", number)}:
            seen |= {("turn", turn_id), ("run", number)}
            chosen.append((turn, run))
    return chosen


def _crossings(runs: Sequence[Span], turns: Sequence[TurnRecord]) -> list[tuple[int, int, int]]:
    """(run number, turn id, overlap) of runs and turns of one speaker that overlap; `turns` in order of start."""
    by_speaker: dict[int | None, list[TurnRecord]] = {}
    for turn in turns:
        by_speaker.setdefault(turn.speaker, []).append(turn)
    found = []
    for number, run in enumerate(runs):
        for turn in by_speaker.get(run.speaker, []):
            if turn.start_frame >= run.end_frame:
                break
            overlap = overlap_frames(run, turn)
            if overlap:
                found.append((number, turn.id, overlap))
    return found
