"""Diarization error by pyannote.metrics: overlap scored, one mapping of speakers for a whole recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnstream.errors import TurnstreamError

from .recordings import Recording, Turns

COLLARS_S = (0.0, 0.25)
MISSING = "measuring accuracy needs pyannote.metrics: pip install 'turnstream[tune]'"


@dataclass(frozen=True, slots=True)
class Errors:
    """Seconds of reference speech, and of each kind of error; they add up over recordings."""

    speech_s: float = 0.0
    false_alarm_s: float = 0.0
    missed_s: float = 0.0
    confusion_s: float = 0.0

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.speech_s + other.speech_s,
            self.false_alarm_s + other.false_alarm_s,
            self.missed_s + other.missed_s,
            self.confusion_s + other.confusion_s,
        )

    @property
    def der(self) -> float:
        """(false alarm + missed + confusion) / speech."""
        return (self.false_alarm_s + self.missed_s + self.confusion_s) / (self.speech_s or 1.0)

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """DER, false alarm, missed, confusion, each of the speech."""
        parts = (self.false_alarm_s, self.missed_s, self.confusion_s)
        false_alarm, missed, confusion = (part / (self.speech_s or 1.0) for part in parts)
        return self.der, false_alarm, missed, confusion


def score(recording: Recording, turns: Turns, collars_s: Sequence[float] = COLLARS_S) -> tuple[Errors, ...]:
    """Errors of `turns` in the annotated part of a recording, one for each collar (on either side of a boundary).

    Raises TurnstreamError where pyannote.metrics is not installed.
    """
    try:
        from pyannote.core import Annotation, Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate
    except ImportError:
        raise TurnstreamError(MISSING) from None

    def annotation(pieces: Turns) -> Annotation:
        made = Annotation()
        for n, turn in enumerate(pieces):
            made[Segment(turn.start_s, turn.end_s), n] = turn.speaker
        return made

    extent = Timeline([Segment(*extent) for extent in recording.extents_s])
    reference, hypothesis = annotation(recording.reference), annotation(turns)
    found = []
    for collar_s in collars_s:
        # pyannote.metrics takes the width of the whole collar, both sides of a boundary together
        parts = DiarizationErrorRate(collar=2 * collar_s)(reference, hypothesis, uem=extent, detailed=True)
        found.append(Errors(*(parts[k] for k in ("total", "false alarm", "missed detection", "confusion"))))
    return tuple(found)


def pooled(errors: Iterable[Errors]) -> Errors:
    """The sum."""
    return sum(errors, Errors())
