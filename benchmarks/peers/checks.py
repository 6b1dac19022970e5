"""Is what a peer gives sane? Checked before it is timed; what is measured on the way is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers.process import Answer, NotRun
from benchmarks.results import Figure
from turnstream.clients.evaluation.recordings import Recording, Turns
from turnstream.clients.evaluation.scoring import pooled, score
from turnstream.rttm import RttmSegment

# Two float32 results, each within 1e-3 of the exact one: PyTorch's is up to 0.7e-3 from its float64 on demo windows.
# Two classes may tie: one frame of 35,340, where they are 2e-5 apart in float64.
BOUNDS = {"log_probabilities": 2e-3, "frames_of_another_class": 1e-3, "cosine_distance": 1e-6}
LEAST_SPEAKERS = 2  # whole pipelines, on the demo recording
MOST_DER = 0.5  # the same, collar 0


def same_outputs(expected: Path, got: Path) -> dict[str, Figure]:
    """Differences between two files of outputs. Raises NotRun where they are too large."""
    with np.load(expected) as ours, np.load(got) as theirs:
        found = differences({name: ours[name] for name in ours}, {name: theirs[name] for name in theirs})
    for name, most in BOUNDS.items():
        if found.get(name, 0.0) > most:
            raise NotRun(f"not timed: {name} {found[name]:.2g} from ours, more than {most:g}")
    return {name: Figure(value, "", "error") for name, value in found.items()}


def differences(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far outputs are apart, by the names of BOUNDS; what is not a number is infinitely far.

    Windows that begin before the audio are nearly all zeros, whose norms divide rounding errors by a deviation of
    almost nothing: PyTorch's own float32 is 0.04 from its float64 there. There only the classes are compared.

    Shapes: log_probabilities (W, T, 7), starts (W,), embeddings (E, D) of unit norm or none. Raises NotRun for others.
    """
    for name, own in ours.items():
        shape = theirs[name].shape if name in theirs else None
        if shape != own.shape:
            raise NotRun(f"not timed: expected {name} of shape {own.shape}, got {shape}")
    own, other = (outputs["log_probabilities"].astype(np.float64) for outputs in (ours, theirs))
    full = ours["starts"] >= 0
    found = {
        "log_probabilities": _largest(own[full] - other[full]),
        "frames_of_another_class": float((own.argmax(axis=-1) != other.argmax(axis=-1)).mean()),
    }
    if "embeddings" in ours:
        found["cosine_distance"] = _largest(1 - (ours["embeddings"] * theirs["embeddings"]).sum(axis=-1, dtype=float))
    return found


def _largest(values: np.ndarray) -> float:
    return float(np.nan_to_num(np.abs(values), nan=np.inf).max(initial=0.0))


def sane_turns(answer: Answer, demo: Recording) -> dict[str, Figure]:
    """Speakers found and DER on the demo recording. Raises NotRun for fewer than two, or for mostly errors."""
    found = accuracy([answer], [demo])
    speakers, der = found["speakers"].value, found["der"].value
    if speakers < LEAST_SPEAKERS or der > MOST_DER:
        raise NotRun(f"not timed: {speakers:.0f} speakers on the demo recording, which has two, DER {100 * der:.0f} %")
    return found


def accuracy(answers: Sequence[Answer], recordings: Sequence[Recording]) -> dict[str, Figure]:
    """DER over recordings, collar 0 and 0.25 s on either side, and speakers found in all of them together."""
    turns = [turns_of(answer) for answer in answers]
    errors = [score(recording, told) for recording, told in zip(recordings, turns, strict=True)]
    exact, lenient = (pooled(error[n] for error in errors).der for n in range(2))
    speakers = sum(len({turn.speaker for turn in told}) for told in turns)
    return {
        "speakers": Figure(speakers, "", "error", "neither"),
        "der": Figure(exact, "", "error"),
        "der_collar_0.25": Figure(lenient, "", "error"),
    }


def turns_of(answer: Answer) -> Turns:
    """The turns that a system told as [start s, end s, speaker]."""
    return [RttmSegment(start, end, str(speaker)) for start, end, speaker in answer.result]
