"""How steady labels are, as a listener sees it who keeps a table of turns and applies the records in order.

The definitions, with formulas, are in benchmarks/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from turnstream.clients.evaluation.recordings import Recording, Turns, within
from turnstream.labels import runs_of
from turnstream.rttm import RttmSegment
from turnstream.timeline.records import Record, RevisionRecord, TurnRecord
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ, frame_seconds

MOST_SPEAKERS = 62  # bits of a label; one more stands for somebody unknown, and all further speakers share the last
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
Labels = NDArray[np.int64]  # the speakers of a frame, a bit each


class Listener:
    """Follows the records of one timeline over `end_frame` frames.

    Shapes: `now`, `committed`, `first`: (frames,) int64, a bit for each speaker; `first_s`, `changed_s`: (frames,)
    seconds of audio heard when a frame was first said to hold speech, and when its label last changed (nan: never).
    """

    def __init__(self, end_frame: int):
        self._turns: dict[int, TurnRecord] = {}
        self._count = np.zeros((end_frame, 4), np.int16)  # turns that cover a frame, by speaker
        self._horizon = 0
        self.now = np.zeros(end_frame, np.int64)
        self.first = np.zeros(end_frame, np.int64)
        self.committed = np.zeros(end_frame, np.int64)
        self.final = np.zeros(end_frame, np.int64)
        self.first_s = np.full(end_frame, np.nan)
        self.changed_s = np.full(end_frame, np.nan)
        self.revised_s = 0.0

    def hear(self, records: Sequence[Record], horizon_frame: int, heard_s: float) -> None:
        """What was told when `heard_s` seconds of audio had come, reaching up to `horizon_frame`."""
        before = {i: self._turns.get(i) for record in records for i in _ids(record)}
        for record in records:
            self._apply(record)
        after = {i: self._turns.get(i) for i in before}
        for turn in before.values():
            self._cover(turn, -1)
        for turn in after.values():
            self._cover(turn, 1)
        touched = [turn for turn in (*before.values(), *after.values()) if turn is not None]
        if touched:
            self._note(slice(min(t.start_frame for t in touched), max(t.end_frame for t in touched)), heard_s)
        for i, turn in after.items():
            self._commit(before[i], turn)
        self.first[self._horizon : horizon_frame] = self.now[self._horizon : horizon_frame]
        self._horizon = max(self._horizon, horizon_frame)

    def end(self, turns: Iterable[TurnRecord], duration_s: float) -> None:
        """The final result: what is still open is committed with it, and labels that it changes were not settled."""
        for turn in self._turns.values():
            self._commit(turn, replace(turn, committed_frame=max(turn.committed_frame, turn.end_frame)))
        self.final = labels_of(turns, len(self.now))
        differs = self.final != self.now
        self.changed_s[differs] = duration_s
        self.first_s[differs & (self.now == 0) & np.isnan(self.first_s)] = duration_s

    def first_turns(self) -> Turns:
        """What was said of each frame when it was first in reach."""
        bits = [bit for bit in range(MOST_SPEAKERS + 1) if (self.first >> bit & 1).any()]
        return [
            RttmSegment(frame_seconds(start), frame_seconds(end), f"S{bit}")
            for bit in bits
            for start, end in runs_of((self.first >> bit & 1).astype(bool))
        ]

    def _apply(self, record: Record) -> None:
        if isinstance(record, TurnRecord):
            if record.state == "retracted":
                self._turns.pop(record.id, None)
            else:
                self._turns[record.id] = record
        elif isinstance(record, RevisionRecord):
            for i in record.turns:
                turn = self._turns[i]
                self.revised_s += (turn.committed_frame - turn.start_frame) * FRAME_S
                self._turns[i] = replace(turn, speaker=record.new)

    def _cover(self, turn: TurnRecord | None, times: int) -> None:
        if turn is not None:
            bit = _bit(turn.speaker)
            if bit >= self._count.shape[1]:
                self._count = np.pad(self._count, ((0, 0), (0, bit)))
            self._count[turn.start_frame : turn.end_frame, bit] += times

    def _note(self, place: slice, heard_s: float) -> None:
        label = _packed(self._count[place] > 0)
        changed = label != self.now[place]
        self.changed_s[place][changed] = heard_s
        self.first_s[place][(label != 0) & np.isnan(self.first_s[place])] = heard_s
        self.now[place] = label

    def _commit(self, before: TurnRecord | None, turn: TurnRecord | None) -> None:
        """The part of a turn that is committed now and was not before, as it is committed."""
        if turn is not None:
            fresh = before is None or before.committed_frame == before.start_frame
            start = turn.start_frame if fresh else before.committed_frame
            self.committed[start : turn.committed_frame] |= 1 << _bit(turn.speaker)


@dataclass(frozen=True, slots=True)
class Stability:
    """Of one recording at one latency; arrays over frames of reference speech, in seconds."""

    first_s: NDArray[np.float64]
    stable_s: NDArray[np.float64]
    speech_frames: int
    changed_frames: int
    revised_s: float
    duration_s: float


def stability(recording: Recording, listener: Listener) -> Stability:
    """What a listener saw of the frames in which the reference has speech.

    Frames that end as silence have no label, so neither a first nor a stable one.
    """
    speech = recording.reference_frames()[: recording.end_frame].any(axis=1)
    times = (np.arange(recording.end_frame) + 0.5) * FRAME_S + FRAME_OFFSET_SAMPLES / SAMPLE_RATE_HZ
    speech &= within(times, recording.extents_s)
    told, ended = speech & ~np.isnan(listener.first_s), speech & (listener.final != 0)
    return Stability(
        first_s=(listener.first_s - times)[told],
        stable_s=(listener.changed_s - times)[ended],
        speech_frames=int(speech.sum()),
        changed_frames=int((speech & (listener.committed != listener.final)).sum()),
        revised_s=listener.revised_s,
        duration_s=recording.duration_s,
    )


def summary(parts: Sequence[Stability]) -> dict[str, float]:
    """Pooled over recordings."""
    first, stable = (np.concatenate([getattr(part, key) for part in parts]) for key in ("first_s", "stable_s"))
    speech, changed = (sum(getattr(part, key) for part in parts) for key in ("speech_frames", "changed_frames"))
    hours = sum(part.duration_s for part in parts) / 3600
    return {
        "first_label_median_s": _quantile(first, 0.5),
        "first_label_p90_s": _quantile(first, 0.9),
        "stable_label_median_s": _quantile(stable, 0.5),
        "stable_label_p90_s": _quantile(stable, 0.9),
        "committed_not_final_share": changed / max(1, speech),
        "revised_s_per_hour": sum(part.revised_s for part in parts) / hours,
    }


def labels_of(turns: Iterable[TurnRecord], end_frame: int) -> Labels:
    """The speakers of every frame, a bit each."""
    labels = np.zeros(end_frame, np.int64)
    for turn in turns:
        labels[turn.start_frame : turn.end_frame] |= 1 << _bit(turn.speaker)
    return labels


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def _bit(speaker: int | None) -> int:
    return 0 if speaker is None else min(speaker, MOST_SPEAKERS)


def _packed(active: NDArray[np.bool_]) -> Labels:
    return active.astype(np.int64) @ (1 << np.arange(active.shape[1], dtype=np.int64))


def _ids(record: Record) -> tuple[int, ...]:
    match record:
        case TurnRecord():
            return (record.id,)
        case RevisionRecord():
            return record.turns
    return ()
