"""Diarization error by pyannote.metrics: overlap scored, one mapping of speakers for a whole recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from turnstream.errors import TurnstreamError

from .recordings import Extents, Recording, Turns

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


@dataclass(frozen=True, slots=True)
class Jaccard:
    """Sum of the speakers' errors, and the number of speakers; they add up over recordings."""

    error: float = 0.0
    speakers: float = 0.0

    def __add__(self, other: Jaccard) -> Jaccard:
        return Jaccard(self.error + other.error, self.speakers + other.speakers)

    @property
    def jer(self) -> float:
        """The mean error of a speaker, 0 to 1."""
        return self.error / (self.speakers or 1.0)


def score(recording: Recording, turns: Turns, collars_s: Sequence[float] = COLLARS_S) -> tuple[Errors, ...]:
    """Errors of `turns` in the annotated part of a recording, one for each collar (on either side of a boundary).

    Raises TurnstreamError where pyannote.metrics is not installed.
    """
    return tuple(errors_of(recording.reference, turns, recording.extents_s, collar_s) for collar_s in collars_s)


def errors_of(reference: Turns, hypothesis: Turns, extents_s: Extents, collar_s: float) -> Errors:
    """Errors of the hypothesis within these parts of a recording. Raises TurnstreamError, as `score`."""
    metrics, given = _metrics(), (_annotation(reference), _annotation(hypothesis))
    # pyannote.metrics takes the width of the whole collar, both sides of a boundary together
    parts = metrics.DiarizationErrorRate(collar=2 * collar_s)(*given, uem=_timeline(extents_s), detailed=True)
    return Errors(*(parts[k] for k in ("total", "false alarm", "missed detection", "confusion")))


def jaccard_of(reference: Turns, hypothesis: Turns, extents_s: Extents, collar_s: float) -> Jaccard:
    """The Jaccard error (second DIHARD challenge) of the same. Raises TurnstreamError, as `score`."""
    metrics, given = _metrics(), (_annotation(reference), _annotation(hypothesis))
    parts = metrics.JaccardErrorRate(collar=2 * collar_s)(*given, uem=_timeline(extents_s), detailed=True)
    return Jaccard(parts["speaker error"], parts["speaker count"])


def _metrics() -> ModuleType:
    try:
        from pyannote.metrics import diarization
    except ImportError:
        raise TurnstreamError(MISSING) from None
    module: ModuleType = diarization
    return module


def _annotation(turns: Turns) -> Any:
    from pyannote.core import Annotation, Segment

    made = Annotation()
    for n, turn in enumerate(turns):
        made[Segment(turn.start_s, turn.end_s), n] = turn.speaker
    return made


def _timeline(extents_s: Extents) -> Any:
    from pyannote.core import Segment, Timeline

    return Timeline([Segment(*extent) for extent in extents_s])


def pooled(errors: Iterable[Errors]) -> Errors:
    """The sum."""
    return sum(errors, Errors())
