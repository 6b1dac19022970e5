"""Sessions faster than real time beside live ones: in turns, with rests; where nobody is live, as fast as they can."""

from __future__ import annotations

import asyncio
import copy
import time
from types import SimpleNamespace
from typing import Any

import pytest
from server_kit import serving
from silent_diarizer import SilentDiarizer, SilentModels
from websockets.asyncio.client import connect

from turnstream.server import arrival_pace, lane
from turnstream.server.lane import REST, SlowLane

WORK_S = 0.02


def took(threads: int, is_any_live: bool, sessions: int) -> tuple[int, float]:
    """The most that computed at once, and the seconds that all took; each computes twice."""
    now = most = 0

    async def compute(slow: SlowLane) -> None:
        nonlocal now, most
        for _ in range(2):
            async with slow.turn():
                now += 1
                most = max(most, now)
                await asyncio.sleep(WORK_S)
                now -= 1

    async def all_of_them() -> None:
        slow = SlowLane(threads, lambda: is_any_live)
        await asyncio.gather(*(compute(slow) for _ in range(sessions)))

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


@pytest.mark.parametrize("is_live", [True, False])
def test_the_server_lets_those_rest_that_are_not_live_beside_one_that_is(
    is_live: bool, monkeypatch: pytest.MonkeyPatch
):
    rests = list[float]()

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(lane, "asyncio", SimpleNamespace(Semaphore=asyncio.Semaphore, sleep=rest))
    monkeypatch.setattr(arrival_pace, "BURST_S", 0.3)
    monkeypatch.setattr(SilentModels, "client", copy.copy)  # each session says for itself whether it is live
    diarizer: Any = SilentDiarizer()

    async def clients() -> None:
        async with serving(diarizer) as (_, url), connect(url) as slow, connect(url) as fast:
            for _ in range(5):
                await slow.send(bytes(3_200))
                await asyncio.sleep(0.1)
            if not is_live:
                await slow.send('{"type":"stop"}')
                await slow.wait_closed()
            assert rests == []
            await fast.send(bytes(32_000))
            await fast.send('{"type":"stop"}')
            await fast.wait_closed()

    asyncio.run(asyncio.wait_for(clients(), 30))
    assert bool(rests) == is_live
