"""Sessions that come faster than real time leave the processor to live ones: they take turns, and rest in between.

A window that is being computed cannot be put off for a live one that has come meanwhile. So where live sessions run,
the others compute for half of the time, together on half of the model threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

REST = 1.0  # times what was computed


class SlowLane:
    """`turn` lets a session that is not live compute, once its turn has come; `is_any_live` is asked each time."""

    def __init__(self, threads: int, is_any_live: Callable[[], bool]):
        self._is_any_live = is_any_live
        self._places = asyncio.Semaphore(max(1, threads // 2))

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Where nobody is live, there is no order and no rest."""
        if not self._is_any_live():
            yield
            return
        async with self._places:
            begun_s = time.monotonic()
            yield
            await asyncio.sleep(REST * (time.monotonic() - begun_s))
