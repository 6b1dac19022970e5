"""When committed turns change their speaker: clear majorities only, in batches bounded in rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..labels import Change, Labels
from ..limits import Reason
from .matching import overlap_frames
from .records import TurnRecord

NEW_SHARE = 0.6  # of a turn's committed frames must be the new speaker's
OLD_SHARE = 0.4  # of them may still be the old speaker's
TALKING_SHARE = 0.5  # a turn is not given to a speaker who already talks during this share of it


@dataclass(frozen=True, slots=True)
class Candidate:
    """A turn with a committed part, and the stitcher's id of its speaker."""

    turn: TurnRecord
    speaker: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The turn belongs to `speaker` (the stitcher's id; None, unknown, is never acted on)."""

    turn_id: int
    speaker: int | None
    reason: Reason


class Reviser:
    """Collects verdicts about committed turns and lets them go at most once in `interval_frames`."""

    def __init__(self, interval_frames: int):
        self._interval_frames = interval_frames
        self._last_frame: int | None = None
        self._pending: dict[int, Verdict] = {}

    def consider(self, recent: list[Candidate], labels: Labels) -> None:
        """Take or withdraw verdicts on `recent` turns, as the newest labels say."""
        column = {speaker: n for n, speaker in enumerate(labels.speakers)}
        for candidate in recent:
            self._note(candidate, _majority(candidate, labels, column), recent)

    def consider_changes(self, turns: list[Candidate], changes: Iterable[Change]) -> None:
        """Take verdicts on turns of any age that re-decisions older than the labels name, or name differently."""
        by_pair: dict[tuple[int | None, int | None], list[Change]] = {}
        for change in changes:
            by_pair.setdefault((change.old, change.new), []).append(change)
        for (old, new), group in by_pair.items():
            for candidate in turns:
                if candidate.speaker in (old, None) and _covered(candidate.turn, group) >= NEW_SHARE:
                    reason = _reason(candidate.speaker, group[0].reason)
                    self._note(candidate, Verdict(candidate.turn.id, new, reason), turns)

    def take(self, frame: int) -> list[Verdict]:
        """All pending verdicts in order of turn id, or none while the last batch is too near."""
        if not self._pending or (self._last_frame is not None and frame - self._last_frame < self._interval_frames):
            return []
        batch = [self._pending[turn_id] for turn_id in sorted(self._pending)]
        self._pending.clear()
        self._last_frame = frame
        return batch

    def _note(self, candidate: Candidate, verdict: Verdict | None, others: list[Candidate]) -> None:
        if (
            verdict is None
            or verdict.speaker is None  # a speaker once reported is not taken back for none
            or verdict.speaker == candidate.speaker
            or _talking(candidate.turn, verdict.speaker, others) > TALKING_SHARE
        ):
            self._pending.pop(candidate.turn.id, None)
        else:
            self._pending[candidate.turn.id] = verdict


def _majority(candidate: Candidate, labels: Labels, column: dict[int | None, int]) -> Verdict | None:
    turn = candidate.turn
    start = max(0, turn.start_frame - labels.first_frame)
    end = max(start, min(turn.committed_frame - labels.first_frame, len(labels.active)))
    if not column or end == start:
        return None
    share = labels.active[start:end].sum(axis=0) / (turn.committed_frame - turn.start_frame)
    old = column.get(candidate.speaker)
    old_share = 0.0 if old is None else float(share[old])
    new = int(share.argmax())
    if new == old or share[new] < NEW_SHARE or old_share > OLD_SHARE:
        return None
    return Verdict(turn.id, labels.speakers[new], _reason(candidate.speaker, "reassigned"))


def _reason(old: int | None, reason: Reason) -> Reason:
    return "named" if old is None else reason


def _covered(turn: TurnRecord, changes: list[Change]) -> float:
    frames = sum(
        max(0, min(turn.committed_frame, change.end_frame) - max(turn.start_frame, change.start_frame))
        for change in changes
    )
    return frames / (turn.committed_frame - turn.start_frame)


def _talking(turn: TurnRecord, speaker: int | None, others: list[Candidate]) -> float:
    frames = sum(
        overlap_frames(turn, other.turn) for other in others if other.speaker == speaker and other.turn.id != turn.id
    )
    return frames / (turn.end_frame - turn.start_frame)
