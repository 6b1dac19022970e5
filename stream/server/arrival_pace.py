"""Whether audio comes as it is spoken, or faster."""

from __future__ import annotations

import time

BURST_S = 3.0  # a stream may be this far ahead of its pace and still count as live
LATELY_S = 2.0  # without audio for longer, nobody waits for what a session says
PACE = 1.25  # times real time; above 1, so that a live stream that sent what it had kept counts as live again


class ArrivalPace:
    """Of one session, from its beginning."""

    def __init__(self) -> None:
        self._begun_s = self._at_s = time.monotonic()
        self._ahead_s = 0.0

    def note(self, audio_s: float) -> None:
        """So much audio came."""
        now_s = time.monotonic()
        self._ahead_s = max(0.0, self._ahead_s - PACE * (now_s - self._at_s)) + audio_s
        self._at_s = now_s

    @property
    def is_at_real_time(self) -> bool:
        """Whether what came is not far ahead of its pace."""
        return self._ahead_s <= BURST_S

    @property
    def is_settled(self) -> bool:
        """Whether audio came lately, and has for long enough to tell its pace."""
        now_s = time.monotonic()
        return now_s - self._at_s < LATELY_S and now_s - self._begun_s > BURST_S
