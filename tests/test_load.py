"""How many sessions there is room for, from figures that are given: no clock and no machine takes part."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from server_kit import serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.protocol.messages import Start, encode
from turnstream.server import sessions as sessions_module
from turnstream.server.load import AT_EASE, BEHIND, MOST_GROWTH, Capacity, Pace, Progress


def judged(start: int, *figures: tuple[float | None, int], fixed: bool = False) -> list[int]:
    """The room after each (factor, running)."""
    capacity, found = Capacity(start, fixed=fixed), []
    for factor, running in figures:
        capacity.judge(factor, running)
        found.append(capacity.sessions)
    return found


def test_sessions_that_fall_behind_leave_less_room_and_never_none():
    assert judged(6, (1.0, 6), (1.0, 6), (1.0, 4), (1.0, 2), (1.0, 1), (1.0, 0)) == [5, 5, 3, 1, 1, 1]


def test_room_grows_one_by_one_where_it_is_wanted_and_there_is_ease():
    assert judged(2, (0.1, 2), (0.1, 3), (0.1, 4), (0.1, 4)) == [3, 4, 4, 4]
    assert Capacity(2, fixed=False).most == 2 * MOST_GROWTH
    assert judged(2, (0.1, 1), (0.1, 0)) == [2, 2]


def test_between_ease_and_falling_behind_nothing_changes():
    between = [AT_EASE, (AT_EASE + BEHIND) / 2, BEHIND, None]
    assert judged(4, *((factor, 4) for factor in between)) == [4, 4, 4, 4]


def test_after_a_busy_moment_the_room_comes_back():
    assert judged(4, (1.5, 4), (1.5, 3), (0.6, 2), (0.2, 2), (0.2, 3), (0.2, 4)) == [3, 2, 2, 3, 4, 5]


def test_the_users_number_stays():
    assert judged(4, (2.0, 4), (0.1, 4), fixed=True) == [4, 4]


def test_the_pace_is_that_of_the_time_since_it_was_asked():
    pace = Pace()
    assert pace.factor({}) is None
    assert pace.factor({"a": Progress(10.0, 5.0)}) is None
    assert pace.factor({"a": Progress(20.0, 10.0), "b": Progress(10.0, 99.0)}) == 0.5
    assert pace.factor({"a": Progress(22.0, 15.0), "b": Progress(12.0, 100.0)}) is None
    assert pace.factor({"a": Progress(32.0, 20.0), "b": Progress(22.0, 120.0)}) == 1.25
    assert pace.factor({"b": Progress(32.0, 140.0), "c": Progress(99.0, 1.0)}) == 2.0


@pytest.mark.parametrize(("max_sessions", "room"), [(None, 1), (2, 2)])
def test_the_room_under_way_is_told_and_ends_nobody(
    monkeypatch: pytest.MonkeyPatch, max_sessions: int | None, room: int
):
    monkeypatch.setattr(sessions_module, "measure_capacity", lambda models: 2)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer, max_sessions=max_sessions) as (server, url):
            sockets = [await connect(url) for _ in range(2)]
            for socket in sockets:
                await socket.send(encode(Start()))
                await socket.recv()
            for session in server.table.sessions.values():
                figures = iter([Progress(10.0, 5.0), Progress(20.0, 25.0)])
                session.progress = lambda figures=figures: next(figures)
            for _ in range(2):
                server.table.judge_capacity()
            assert server.table.capacity == room
            assert f"turnstream_capacity {room}" in await page(url, "/metrics")
            assert "turnstream_realtime_factor 2" in await page(url, "/metrics")
            assert json.loads(await page(url, "/health"))["capacity"] == room
            for socket in sockets:
                await socket.send('{"type":"stop"}')
                while json.loads(await socket.recv())["type"] != "final":
                    pass

    asyncio.run(asyncio.wait_for(client(), 20))


async def page(url: str, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    body = (await reader.read()).decode().partition("\r\n\r\n")[2]
    writer.close()
    return body
