"""How long audio takes from its arrival until what follows from it is known."""

from __future__ import annotations

import time
from collections import deque


class Arrivals:
    """When the audio of one session arrived, up to which position; what was processed is forgotten."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, float]] = deque()  # (sample behind the piece, when it came)

    def add(self, position: int) -> None:
        """Audio up to sample `position` is here."""
        self._waiting.append((position, time.monotonic()))

    def processed(self, position: int) -> float:
        """Seconds since the newest audio up to sample `position` came."""
        came_s = self._waiting[0][1] if self._waiting else time.monotonic()
        while self._waiting and self._waiting[0][0] <= position:
            came_s = self._waiting.popleft()[1]
        return time.monotonic() - came_s
