"""Runs of frames in which one speaker talks, as labels say, without gaps and turns too short to be any."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..labels import Labels, runs_of, smooth_runs
from ..windows import FRAME_SAMPLES, SAMPLE_RATE_HZ
from .matching import Span

FILL_FRAMES = 12  # gaps under 0.2 s are closed: shorter than a pause between two words
DROP_FRAMES = 6  # turns under 0.1 s are left out: shorter than a syllable


def frames_of(seconds: float) -> int:
    """The least number of frames that are no shorter."""
    return math.ceil(round(seconds * SAMPLE_RATE_HZ) / FRAME_SAMPLES)


def runs_between(labels: Labels, start: int, end: int, talking: Iterable[int | None] = ()) -> list[Span]:
    """Smoothed runs of all speakers in [start, end), by start; `talking` ones were talking up to `start`."""
    active = labels.active[max(0, start - labels.first_frame) : max(0, end - labels.first_frame)]
    offset = max(start, labels.first_frame)
    runs = []
    for n, speaker in enumerate(labels.speakers):
        found = [(s + offset, e + offset) for s, e in runs_of(active[:, n])]
        if speaker in talking:
            found.insert(0, (start - DROP_FRAMES, start))
        for s, e in smooth_runs(found, FILL_FRAMES, DROP_FRAMES):
            if e > start:
                runs.append(Span(max(s, start), e, speaker))
    return sorted(runs, key=lambda run: (run.start_frame, run.end_frame))
