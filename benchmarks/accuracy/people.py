"""How many people an engine tells of in one recording, and how wrong it is, part by part. Counted on frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.engine import Outcome
from benchmarks.drifts.identities import identities
from turnstream.clients.evaluation.recordings import Recording, Turns
from turnstream.stitching.linear_assignment import best_pairs
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
PART_S = 600.0
OWNED_SHARE = 0.5  # of an id's speech that must be one person's for that person to own it

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class People:
    """Of one meeting: `true` people, ids `told` at any time, those `alive` before the end, and in the `final` result.

    `stray_s` is the talk of ids alive that are nobody's first id. `der` maps rows to DER in %, `parts` to DER in % of
    each ten minutes under the same mapping of speakers. Flips, by row, and revised seconds are an hour's.
    """

    name: str
    minutes: float
    true: int
    told: int
    alive: int
    stray: int
    stray_s: float
    final: int
    der: dict[str, float]
    parts: dict[str, list[float]]
    flips: dict[str, float]
    revised_s: float
    hop_ms: float


def people(recording: Recording, outcome: Outcome, latency_s: float, rows: dict[str, Turns]) -> People:
    """Everything counted; `rows` are further hypotheses to score, by name."""
    truth = recording.reference_frames()
    hours = recording.duration_s / 3600
    kinds = {"live": f"live {latency_s:g} s", "revised": f"revised {latency_s:g} s", "final": "final"}
    said = {**{kind: outcome.turns[row] for kind, row in kinds.items()}, **rows}
    scored = {kind: errors(truth, turns) for kind, turns in said.items()}
    owned = owners(truth, said["revised"])
    strays = [outcome.alive_s[number] for number in outcome.alive_s if f"S{number}" not in owned]
    live_rows = {"live": said["live"], **{kind: turns for kind, turns in rows.items() if not kind.endswith("final")}}
    flips = {
        kind: identities(recording.reference, turns, recording.duration_s).flips for kind, turns in live_rows.items()
    }
    return People(
        name=recording.name,
        minutes=recording.duration_s / 60,
        true=len(recording.speakers),
        told=outcome.told,
        alive=len(outcome.alive_s),
        stray=len(strays),
        stray_s=sum(strays),
        final=outcome.speakers,
        der={kind: der(*found) for kind, found in scored.items()},
        parts={kind: by_part(*found) for kind, found in scored.items()},
        flips={kind: count / hours for kind, count in flips.items()},
        revised_s=outcome.revised_s[latency_s] / hours,
        hop_ms=1000 * float(np.mean(outcome.stitch_s)),
    )


def errors(truth: Bools, turns: Turns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Wrong and spoken (frame, speaker) pairs of each frame, speakers mapped one to one for the whole recording."""
    _, said = frames_of(turns, len(truth))
    correct = np.zeros(len(truth), np.int64)
    for one, other in best_pairs(truth.T.astype(np.float32) @ said.astype(np.float32)):
        correct += truth[:, one] & said[:, other]
    spoken, told = truth.sum(axis=1), said.sum(axis=1)
    return np.maximum(spoken, told) - correct, spoken


def der(wrong: NDArray[np.int64], spoken: NDArray[np.int64]) -> float:
    """Wrong over spoken frames, in %."""
    return 100 * float(wrong.sum()) / max(1, int(spoken.sum()))


def by_part(wrong: NDArray[np.int64], spoken: NDArray[np.int64]) -> list[float]:
    """DER of each part of PART_S, in %."""
    cuts = range(round(PART_S / FRAME_S), len(wrong), round(PART_S / FRAME_S))
    return [der(w, s) for w, s in zip(np.split(wrong, cuts), np.split(spoken, cuts), strict=True) if s.any()]


def owners(truth: Bools, turns: Turns) -> set[str]:
    """Ids that are one person's first id: mapped to them, and mostly their speech."""
    names, said = frames_of(turns, len(truth))
    shared = truth.T.astype(np.float32) @ said.astype(np.float32)
    talk = np.maximum(said.sum(axis=0), 1)
    return {names[id] for one, id in best_pairs(shared) if shared[one, id] >= OWNED_SHARE * talk[id]}


def frames_of(turns: Turns, length: int) -> tuple[Sequence[str], Bools]:
    """Names and the frames in which each talks, (length, names)."""
    names = sorted({turn.speaker for turn in turns})
    active = np.zeros((length, len(names)), bool)
    for turn in turns:
        start, end = (
            max(0, round((at * SAMPLE_RATE_HZ - FRAME_OFFSET_SAMPLES) / FRAME_SAMPLES))
            for at in (turn.start_s, turn.end_s)
        )
        active[start:end, names.index(turn.speaker)] = True
    return names, active
