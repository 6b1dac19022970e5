"""How true speakers' labels hold over hours: flips, splits, merges, and who is known again when he returns.

Everything is counted on frames of FRAME_S in which one true speaker talks alone; benchmarks/README.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.drifts.compare import NOBODY
from turnstream.clients.evaluation.recordings import Turns

FRAME_S = 0.01
TURN_S = 1.0  # a turn has a label if its speaker talks so long alone in it
PAUSE_S = 0.5  # a longer pause ends a turn
HELD_S, HELD_SHARE = 10.0, 0.1  # an id holds a speaker with so much of his speech, in seconds and as a share
BEFORE_S, AFTER_S = 30.0, 10.0  # speech by which a returning speaker's ids are told
ABSENCES_S = (60.0, 600.0, 3600.0)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Said:
    """The ids told in a stream: `ids[n]` is the name of column n of `active` (frames, ids)."""

    ids: tuple[str, ...]
    active: NDArray[np.bool_]

    def dominating(self, frames: Ints) -> str | None:
        """The id with most of these frames; None where nobody's speech or silence has more than any id."""
        if not len(frames):
            return None
        counts = self.active[frames].sum(axis=0)
        best = int(counts.argmax()) if len(counts) else -1
        silent = len(frames) - int(self.active[frames].any(axis=1).sum())
        return self.ids[best] if best >= 0 and counts[best] > silent else None


@dataclass(frozen=True, slots=True)
class Return:
    """A speaker who was silent for `absent_s` talks again at `at_s`; the ids that most of his speech had."""

    speaker: str
    at_s: float
    absent_s: float
    before: str | None
    after: str | None
    after_is_new: bool  # the id was told for the first time

    @property
    def outcome(self) -> str:
        """recognised, nobody, new (an id of their own, or one just opened), other (an id that was there before)."""
        if self.after is None:
            return "nobody"
        if self.after == self.before:
            return "recognised"
        return "new" if self.after_is_new else "other"


@dataclass(frozen=True, slots=True)
class Identities:
    """Of one stream."""

    turns: int
    flips: int
    splits: int
    merges: int
    returns: tuple[Return, ...]


def identities(truth: Turns, told: Turns, duration_s: float) -> Identities:
    """Count everything; what the words mean: benchmarks/README.md."""
    size = round(duration_s / FRAME_S) + 1
    names, talking = _frames(truth, size)
    ids, active = _frames([turn for turn in told if turn.speaker != NOBODY], size)
    said = Said(ids, active)
    alone = talking & (talking.sum(axis=1) == 1)[:, None]
    solo = {name: np.flatnonzero(alone[:, n]) for n, name in enumerate(names)}
    labels = {name: _turn_labels(solo[name], said) for name in names}
    returns = [r for n, name in enumerate(names) for r in _returns(name, talking[:, n], solo[name], said)]
    splits, merges = splits_and_merges(overlaps(solo, said))
    return Identities(
        turns=sum(map(len, labels.values())),
        flips=sum(sum(a != b for a, b in pairwise(own)) for own in labels.values()),
        splits=splits,
        merges=merges,
        returns=tuple(sorted(returns, key=lambda r: r.at_s)),
    )


def overlaps(solo: Mapping[str, Ints], said: Said) -> dict[str, dict[str, float]]:
    """Seconds of each true speaker's solo speech with each id, as far as one id is told there alone."""
    single = said.active & (said.active.sum(axis=1) == 1)[:, None]
    return {
        name: dict(zip(said.ids, (single[frames].sum(axis=0) * FRAME_S).tolist(), strict=True))
        for name, frames in solo.items()
    }


def splits_and_merges(seconds: Mapping[str, Mapping[str, float]]) -> tuple[int, int]:
    """Ids too many for one speaker, and speakers too many for one id.

    seconds: of each true speaker with each id. An id holds a speaker with HELD_S and HELD_SHARE of his seconds or more.
    """
    holders = {
        (name, id)
        for name, own in seconds.items()
        for id, s in own.items()
        if s >= HELD_S and s >= HELD_SHARE * sum(own.values())
    }
    ids = {id for own in seconds.values() for id in own}
    mostly = {id: max(seconds, key=lambda name: seconds[name].get(id, 0.0)) for id in ids}
    own_ids = [sum(mostly[id] == name for holder, id in holders if holder == name) for name in seconds]
    held = [sum(holder_id == id for _, holder_id in holders) for id in ids]
    return sum(max(0, n - 1) for n in own_ids), sum(max(0, n - 1) for n in held)


def absence(seconds: float) -> float | None:
    """The longest of ABSENCES_S that `seconds` reach."""
    return max((least for least in ABSENCES_S if seconds >= least), default=None)


def _frames(turns: Turns, size: int) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    names = tuple(sorted({turn.speaker for turn in turns}))
    active = np.zeros((size, len(names)), bool)
    for turn in turns:
        active[round(turn.start_s / FRAME_S) : round(turn.end_s / FRAME_S), names.index(turn.speaker)] = True
    return names, active


def _turn_labels(solo: Ints, said: Said) -> list[str]:
    """The dominating id of each turn that is long enough and has one."""
    cuts = np.flatnonzero(np.diff(solo) > PAUSE_S / FRAME_S) + 1
    turns = [turn for turn in np.split(solo, cuts) if len(turn) >= TURN_S / FRAME_S]
    return [label for label in map(said.dominating, turns) if label is not None]


def _returns(name: str, talking: NDArray[np.bool_], solo: Ints, said: Said) -> list[Return]:
    """Every return after ABSENCES_S[0] or more, if he talks long enough alone to have labels on both sides."""
    frames = np.flatnonzero(talking)
    gaps = np.diff(frames)
    leaves = np.flatnonzero(gaps >= ABSENCES_S[0] / FRAME_S)
    ends = [*frames[leaves + 1].tolist(), len(talking)]
    found = []
    for leave, at, end in zip(leaves.tolist(), ends, ends[1:], strict=False):
        before = solo[solo < at][-round(BEFORE_S / FRAME_S) :]
        after = solo[(solo >= at) & (solo < end)][: round(AFTER_S / FRAME_S)]
        if min(len(before), len(after)) >= TURN_S / FRAME_S:
            label = said.dominating(after)
            fresh = label is not None and not said.active[:at, said.ids.index(label)].any()
            absent_s = float(gaps[leave] * FRAME_S)
            found.append(Return(name, at * FRAME_S, absent_s, said.dominating(before), label, fresh))
    return found


def outcomes(returns: Sequence[Return]) -> dict[str, int]:
    """How many of each outcome."""
    counts = dict.fromkeys(("recognised", "other", "new", "nobody"), 0)
    for one in returns:
        counts[one.outcome] += 1
    return counts
