"""Hops of a server's sessions: lengthened under pressure within what clients allow, before anyone is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_kit import serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.protocol.messages import CloseCode, Start, encode
from turnstream.server import sessions as sessions_module
from turnstream.server.hops import DEFAULT_HOP_S, HopRange, fitted, least_load, load

HOPS_S = st.sampled_from([0.34, 0.5, 0.7, 1.0, 2.0])
RANGES = st.lists(st.builds(HopRange.of, HOPS_S, HOPS_S), max_size=30)


def test_a_session_at_the_default_hop_is_the_unit():
    assert load(DEFAULT_HOP_S) == 1
    assert load(2 * DEFAULT_HOP_S) == pytest.approx(0.6)


@given(RANGES, st.floats(-0.1, 1.1))
def test_hops_are_lengthened_as_far_as_needed_the_newest_first(ranges: list[HopRange], share: float):
    least, most = least_load(ranges), sum(load(hops.asked_s) for hops in ranges)
    room = least + share * (most - least)
    hops_s = fitted(ranges, room)
    long = [hop_s > hops.asked_s for hop_s, hops in zip(hops_s, ranges, strict=True)]
    assert all(hop_s in (hops.asked_s, hops.most_s) for hop_s, hops in zip(hops_s, ranges, strict=True))
    cost = sum(map(load, hops_s))
    assert cost <= room + 1e-9 or cost == pytest.approx(least)
    if any(long):  # one fewer would not have been enough
        oldest = long.index(True)
        shorter = [
            hops.asked_s if n == oldest else hop_s for n, (hop_s, hops) in enumerate(zip(hops_s, ranges, strict=True))
        ]
        assert sum(map(load, shorter)) > room
        assert all(long[n] or ranges[n].asked_s == ranges[n].most_s for n in range(oldest, len(ranges)))


def test_a_server_lengthens_hops_before_it_refuses_anyone(monkeypatch: pytest.MonkeyPatch):
    """Room for two at the default hop is room for three at twice that; the clients are told, and told again."""
    monkeypatch.setattr(sessions_module, "measure_capacity", lambda models: 2)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer, max_sessions=None) as (server, url):
            sockets = []
            for _ in range(3):
                sockets.append(await connect(url))
                await sockets[-1].send(encode(Start()))
                assert json.loads(await sockets[-1].recv())["config"]["hop"] == 0.506
            strict = await connect(url)
            await strict.send(encode(Start(max_hop_s=0.5)))
            assert json.loads(await strict.recv())["code"] == "over_capacity"
            await strict.wait_closed()
            assert strict.close_code == CloseCode.OVER_CAPACITY
            hops_s = await engine_hops(server, 3)
            assert hops_s == [1.012, 1.012, 1.012]
            await sockets[0].send('{"type":"stop"}')
            while json.loads(await sockets[0].recv())["type"] != "final":
                pass
            server.table.judge_capacity()
            assert await engine_hops(server, 2) == [0.506, 0.506]

    asyncio.run(asyncio.wait_for(client(), 20))


async def engine_hops(server: Any, count: int) -> list[float]:
    """Of the running sessions, once what is queued was taken; the same is told in their status."""
    await asyncio.sleep(0.2)
    running = [session for session in server.table.sessions.values() if not session.finished]
    assert len(running) == count
    return [session.status().hop_s for session in running]
