"""What a server does by itself while it runs: it forgets, watches the models and corrects its capacity."""

from __future__ import annotations

import asyncio
import logging

from .. import heap
from ..models.batcher import Batcher
from .load import JUDGE_S
from .metrics import Metrics
from .sessions import SessionTable

LOG = logging.getLogger(__name__)
SWEEP_S = 60.0
FORGET_S = 1.0  # at most, between two looks at those who did not come back
WATCH_S = 0.25
LAG_FADES = 0.9  # each time: half of it within 2 s
TRIM_S = 60.0
STALLED_S = 60.0  # without any answer; a batch takes a fraction of a second


async def forget(table: SessionTable, resume_s: float) -> None:
    """Forgets sessions whose client did not come back in time."""
    while True:
        await asyncio.sleep(min(FORGET_S, resume_s / 4))
        await table.forget_lost()


async def watch(table: SessionTable, models: Batcher, metrics: Metrics) -> None:
    """Measures how late the event loop is, and notices models that no longer answer."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + WATCH_S
        await asyncio.sleep(WATCH_S)
        metrics.loop_lag_s = max(loop.time() - due_s, LAG_FADES * metrics.loop_lag_s)
        if not table.failed.is_set() and (not models.is_alive or models.stalled_s > STALLED_S):
            LOG.error("the models do not answer any more")
            table.fail()


async def judge(table: SessionTable) -> None:
    """Corrects the capacity by how the sessions go."""
    while True:
        await asyncio.sleep(JUDGE_S)
        table.judge_capacity()


async def sweep(table: SessionTable) -> None:
    """Clears the store of sessions whose clients never came back."""
    while table.keeper:
        await asyncio.sleep(SWEEP_S)
        await table.keeper.sweep()


async def trim() -> None:
    """Gives memory back that was needed for a moment."""
    while True:
        await asyncio.sleep(TRIM_S)
        await asyncio.to_thread(heap.trim)
