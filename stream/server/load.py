"""How many sessions there is room for: the user's number, or a first measurement, corrected by how it goes.

A first measurement depends on what else the machine does in that second. What counts is whether sessions keep up: the
time that their audio takes, waiting for a model thread included, over the length of that audio.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

LOG = logging.getLogger(__name__)
JUDGE_S = 10.0  # of audio and work for each judgment
LEAST_AUDIO_S = 5.0  # of all sessions; from less nothing follows
BEHIND, AT_EASE = 0.9, 0.4  # audio that takes more than its length falls behind; in between nothing changes
MOST_GROWTH = 2  # times the first measurement


@dataclass(frozen=True, slots=True)
class Progress:
    """Of one session since its beginning: the audio processed, and the time that it took."""

    audio_s: float
    processing_s: float


class Pace:
    """Processing time over audio time of the sessions that were there at the last call and are now, since then."""

    def __init__(self) -> None:
        self._before: dict[str, Progress] = {}

    def factor(self, now: Mapping[str, Progress]) -> float | None:
        """None where there was too little audio to tell."""
        both = [(progress, self._before[session]) for session, progress in now.items() if session in self._before]
        self._before = dict(now)
        audio_s = sum(progress.audio_s - past.audio_s for progress, past in both)
        taken_s = sum(progress.processing_s - past.processing_s for progress, past in both)
        return taken_s / audio_s if audio_s >= LEAST_AUDIO_S else None


class Capacity:
    """`sessions` is what there is room for now. It never ends a session: where it falls, newcomers are refused."""

    def __init__(self, sessions: int, *, fixed: bool):
        self.sessions, self.fixed = sessions, fixed
        self.most = sessions if fixed else MOST_GROWTH * sessions

    def judge(self, factor: float | None, running: int) -> None:
        """One fewer than now where sessions fall behind; one more where all places are taken and all is at ease."""
        before = self.sessions
        if factor is None or self.fixed:
            return
        if factor > BEHIND:
            self.sessions = max(1, min(before, running - 1))
        elif factor < AT_EASE and running >= before:
            self.sessions = min(before + 1, self.most)
        if self.sessions != before:
            LOG.info("room for %d sessions, was %d: audio takes %.2f of its time", self.sessions, before, factor)
