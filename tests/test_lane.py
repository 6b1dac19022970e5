"""Sessions faster than real time beside live ones: in turns, with rests; where nobody is live, as fast as they can."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from server_kit import serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.models.batcher import Batcher
from turnstream.server import lane
from turnstream.server.lane import REST, SlowLane
from turnstream.server.session import BURST_S

WORK_S = 0.02


def took(threads: int, serves_live: bool, sessions: int) -> tuple[int, float]:
    """The most that computed at once, and the seconds that all took; each computes twice."""
    models = cast(Batcher, SimpleNamespace(threads=threads, serves_live=serves_live))
    now = most = 0

    async def session(slow: SlowLane) -> None:
        nonlocal now, most
        for _ in range(2):
            async with slow.turn():
                now += 1
                most = max(most, now)
                await asyncio.sleep(WORK_S)
                now -= 1

    async def all_of_them() -> None:
        slow = SlowLane(models)
        await asyncio.gather(*(session(slow) for _ in range(sessions)))

    begun_s = time.monotonic()
    asyncio.run(all_of_them())
    return most, time.monotonic() - begun_s


@pytest.mark.parametrize(("threads", "at_once"), [(1, 1), (2, 1), (4, 2)])
def test_beside_live_sessions_half_of_the_threads_and_half_of_the_time(threads: int, at_once: int):
    most, lasted_s = took(threads, True, 4)
    assert most == at_once
    assert lasted_s >= 8 * WORK_S * (1 + REST) / at_once


def test_where_nobody_is_live_all_compute_at_once():
    assert took(2, False, 4)[0] == 4


@pytest.mark.parametrize("serves_live", [True, False])
def test_the_server_lets_only_those_rest_that_are_not_live(serves_live: bool, monkeypatch: pytest.MonkeyPatch):
    rests = list[float]()

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(lane, "asyncio", SimpleNamespace(Semaphore=asyncio.Semaphore, sleep=rest))
    diarizer: Any = SilentDiarizer()
    diarizer.models.serves_live = serves_live

    async def client(seconds: float) -> None:
        diarizer.models.live = True
        async with serving(diarizer) as (_, url), connect(url) as socket:
            await socket.send(np.zeros(int(seconds * 16_000), "<i2").tobytes())
            await socket.send('{"type":"stop"}')
            async for _ in socket:
                pass

    asyncio.run(client(BURST_S - 1))
    assert rests == []
    asyncio.run(client(BURST_S + 1))
    assert bool(rests) == serves_live
