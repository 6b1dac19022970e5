"""Two accounts of who talked, one as the reference: DER by place in the stream, talking time, boundaries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment
from pyannote.core import Timeline as Extent
from pyannote.metrics.diarization import DiarizationErrorRate
from pyannote.metrics.identification import IdentificationErrorRate

from turnstream.clients.evaluation.recordings import Turns
from turnstream.clients.evaluation.scoring import Errors
from turnstream.rttm import RttmSegment

NOBODY = "unknown"  # how RTTM files of the engine name speech that is nobody's yet
Span = tuple[float, float]


def annotation(turns: Turns) -> Annotation:
    """As pyannote has it; turns of one speaker that touch or overlap become one."""
    made = Annotation()
    for n, turn in enumerate(turns):
        made[Segment(turn.start_s, turn.end_s), n] = turn.speaker
    return made.support()


def mapped(reference: Turns, hypothesis: Turns) -> Turns:
    """The hypothesis, joined, under the reference's names: one mapping for all of it, the one with the least errors.

    Speech that is nobody's is nobody's in both: it stands for no speaker.
    """
    own = {turn.speaker for turn in hypothesis} - {NOBODY}
    said = annotation(hypothesis).rename_labels({label: f"own {label}" for label in own})
    truth, known = (a.subset({NOBODY}, invert=True) for a in (annotation(reference), said))
    return _turns(said.rename_labels(DiarizationErrorRate().optimal_mapping(truth, known)))


def errors_in(reference: Turns, hypothesis: Turns, spans: Sequence[Span]) -> list[Errors]:
    """Errors within each span of seconds, no collar, overlap scored; names are taken as they are (see `mapped`)."""
    metric, (truth, said) = IdentificationErrorRate(), (annotation(reference), annotation(hypothesis))
    found = []
    for start_s, end_s in spans:
        span = Segment(start_s, end_s)
        parts = metric(truth.crop(span), said.crop(span), uem=Extent([span]), detailed=True)
        found.append(Errors(*(parts[k] for k in ("total", "false alarm", "missed detection", "confusion"))))
    return found


def talk_seconds(turns: Turns) -> float:
    """Seconds of every speaker, overlap counted for each."""
    return sum(turn.end_s - turn.start_s for turn in _turns(annotation(turns)))


def speakers(turns: Turns) -> int:
    """How many talk, the unknown one not counted."""
    return len({turn.speaker for turn in turns} - {NOBODY})


def boundaries(reference: Turns, hypothesis: Turns, within_s: float = 1.0) -> tuple[NDArray[np.float64], int]:
    """Distances in seconds from each start (end) of the hypothesis to the same speaker's nearest start (end).

    Those with none in the reference within `within_s` are counted only: the second value.
    """
    distances: list[float] = []
    unmatched = 0
    truth, said = _turns(annotation(reference)), _turns(annotation(hypothesis))
    for side in ("start_s", "end_s"):
        for speaker in {turn.speaker for turn in said}:
            there = np.array(sorted(getattr(turn, side) for turn in truth if turn.speaker == speaker))
            for here in (getattr(turn, side) for turn in said if turn.speaker == speaker):
                at = int(np.searchsorted(there, here))
                nearest = min((abs(float(t) - here) for t in there[max(0, at - 1) : at + 1]), default=np.inf)
                if nearest <= within_s:
                    distances.append(nearest)
                else:
                    unmatched += 1
    return np.array(distances), unmatched


def _turns(said: Annotation) -> Turns:
    return [RttmSegment(s.start, s.end, label) for s, _, label in said.itertracks(yield_label=True)]
