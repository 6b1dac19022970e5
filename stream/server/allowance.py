"""How much of something a client may have in a time: a bucket that fills steadily and holds a burst."""

from __future__ import annotations

import time


class Allowance:
    """`per_s` units come in a second, and up to `burst` are saved."""

    def __init__(self, per_s: float, burst: float):
        self._per_s, self._burst = per_s, burst
        self._left, self._counted_s = burst, time.monotonic()

    def take(self, units: float) -> float:
        """Takes them, whether they are there or not; the seconds until what was taken too much has come."""
        now_s = time.monotonic()
        self._left = min(self._burst, self._left + self._per_s * (now_s - self._counted_s)) - units
        self._counted_s = now_s
        return max(0.0, -self._left / self._per_s)
