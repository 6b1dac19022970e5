"""What a server holds for clients that flood it: connections, messages, answers; and that others have their turn."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_kit import QUICK, STOP, UPGRADE, ask, closed_with, run, serving
from silent_diarizer import SilentDiarizer

from turnstream.events import Turn
from turnstream.protocol.messages import MAX_CLIENT_LETTERS
from turnstream.server import connection, listener
from turnstream.server import server as server_module
from turnstream.server.allowance import Allowance
from turnstream.server.bounded_socket import Socket
from turnstream.server.dialects import Native
from turnstream.server.journal import Journal
from turnstream.server.outgoing import Outgoing


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


def bare(port: int, said: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    """A connection that is made at once, whatever the event loop does, and has said that."""
    one = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    one.sendall(said)
    one.setblocking(False)
    return one


def test_a_request_in_the_middle_of_a_burst_is_answered(diarizer: Any, monkeypatch: pytest.MonkeyPatch):
    """From the address of the burst, too: were all of it accepted before one request is read, it would have to go."""
    monkeypatch.setattr(server_module, "MOST_SILENT", 64)
    monkeypatch.setattr(listener, "SPEAKS_WITHIN_S", 0)

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            port = int(url.rsplit(":", 1)[1])
            before = [bare(port) for _ in range(100)]
            asking = bare(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            after = [bare(port) for _ in range(100)]
            assert (await asyncio.get_running_loop().sock_recv(asking, 100)).startswith(b"HTTP/1.1 200")
            for one in (*before, asking, *after):
                one.close()
            assert (await ask(url, "GET /health HTTP/1.1\nHost: localhost"))[0] == 200  # behind all of the burst

    run(client())


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="only Linux holds silent connections back")
def test_silent_connections_are_not_accepted_for_a_moment(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer) as (server, url):
            silent = [bare(int(url.rsplit(":", 1)[1])) for _ in range(300)]
            assert (await ask(url, "GET /health HTTP/1.1\nHost: localhost"))[0] == 200
            assert len(server._silent) <= 1  # the one that asked
            for one in silent:
                one.close()

    run(client())


def test_answers_that_are_not_taken_hold_no_descriptors(diarizer: Any, monkeypatch: pytest.MonkeyPatch):
    """A client of HTTP that does not close its side gives way to newcomers, but has its answer."""
    monkeypatch.setattr(server_module, "MOST_SILENT", 64)
    health, nothing = (b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in (b"health", b"v1/nothing"))

    async def client() -> None:
        loop = asyncio.get_running_loop()
        async with serving(diarizer) as (server, url):
            port = int(url.rsplit(":", 1)[1])
            staying = []
            for number in range(100):
                staying.append(bare(port, nothing if number % 2 else health))
                answer = await loop.sock_recv(staying[-1], 100)
                assert answer.startswith(b"HTTP/1.1 404" if number % 2 else b"HTTP/1.1 200")
            assert len(server._silent) == 64
            assert (
                len([one for one in gc.get_objects() if type(one) is Socket and not one.transport.is_closing()]) <= 64
            )
            for one in staying:
                one.close()

    run(client())


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_websockets_that_stay_leave_descriptors_for_others(diarizer: Any, monkeypatch: pytest.MonkeyPatch):
    """With 256 of them, as on macOS; 300 websockets from many addresses, none of which ever answers."""
    monkeypatch.setattr(listener.resource, "getrlimit", lambda what: (256, 256))
    ask_for_websocket = f"GET /v1 HTTP/1.1\nHost: localhost\n{UPGRADE}\n\n".replace("\n", "\r\n").encode()

    async def client() -> None:
        async with serving(diarizer, max_sessions=8) as (_, url):
            port, before, most = int(url.rsplit(":", 1)[1]), descriptors(), 0
            staying = []
            for number in range(300):
                staying.append(bare(port, ask_for_websocket, f"127.0.0.{2 + number % 7}"))
                await asyncio.sleep(0.002)
                most = max(most, descriptors() - before - len(staying))
            assert (await ask(url, "GET /health HTTP/1.1\nHost: localhost"))[0] == 200
            assert 16 < most < 160
            for one in staying:
                one.close()

    run(client())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 30)), min_size=1, max_size=30))
def test_an_allowance_is_never_more_than_what_came_and_what_was_saved(asked: list[tuple[float, int]]):
    """However it is asked: who waits as long as it says has had at most the burst and the rate."""
    with pytest.MonkeyPatch.context() as patch:
        clock_s = [100.0]
        patch.setattr("turnstream.server.allowance.time", SimpleNamespace(monotonic=lambda: clock_s[0]))
        allowance, taken = Allowance(10.0, 20.0), 0
        for pause_s, units in asked:
            clock_s[0] += pause_s
            clock_s[0] += allowance.take(units)
            taken += units
            assert taken <= 20.0 + 10.0 * (clock_s[0] - 100.0) + 1e-6
        assert allowance.take(0) <= 1e-6


@pytest.mark.parametrize(("frame", "units"), [(b"\0" * 160, 1), ('{"type":"KeepAlive"}'.ljust(320), 3)])
def test_messages_that_are_too_many_but_not_tiny_wait(
    diarizer: Any, monkeypatch: pytest.MonkeyPatch, frame: bytes | str, units: int
):
    monkeypatch.setattr(connection, "MESSAGES_PER_S", 600)
    monkeypatch.setattr(connection, "MESSAGES_BURST", 60)

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            begun_s = time.monotonic()
            assert (await closed_with(url, *[frame] * 200, STOP))[0] == 1000
            assert time.monotonic() - begun_s > (200 * units - 60) / 600

    run(client())


@pytest.mark.parametrize("path", ["/v1", "/compat/pyannote"])
def test_long_json_is_refused_before_it_is_read(diarizer: Any, path: str):
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            longest = '{"type":"x","a":"' + "é" * (MAX_CLIENT_LETTERS - 19) + '"}'
            assert len(longest) == MAX_CLIENT_LETTERS
            code, said = await closed_with(url + path, longest, longest + " ")
            assert code == 4400
            if path == "/v1":
                assert said["message"] == "expected JSON of at most 65536 characters, got 65537"

    run(client())


def test_thousands_of_messages_after_a_resume_leave_others_their_turn():
    """To a client that reads as fast as it can, so that nothing else would ever wait."""
    count, turns = 1000, 0
    journal = Journal()
    for number in range(1, count + 1):
        journal.add(Turn(f"T{number}", "S1", None, 1.0, 2.0, 2.0, "committed"), 0.0)
    sent = list[str]()

    async def send(text: str) -> None:
        sent.append(text)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def talk() -> None:
        session: Any = SimpleNamespace(journal=journal, owner="me", failed=False, moved=False, finished=True)
        beside = asyncio.create_task(others())
        config = replace(QUICK, slow_s=1e6)
        await Outgoing(SimpleNamespace(send=send), Native(), config).run(session, "me")  # type: ignore[arg-type]
        beside.cancel()

    run(talk())
    assert len(sent) == count
    assert turns > count / 20
