"""What the server does not let happen: strangers, floods, silence, readers that do not read, clients that are gone."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket as sockets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_kit import Listener, closed_with, hear_out, serving
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from turnstream.diarizer import Diarizer
from turnstream.protocol.messages import Start, encode
from turnstream.server import connection as server_connection
from turnstream.server import listener, server

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


def closing(diarizer: Diarizer, *frames: str | bytes, path: str = "/v1", **changes: Any) -> tuple[int | None, dict]:
    """The close code and the last message after these frames, from a server of its own."""

    async def client() -> tuple[int | None, dict]:
        async with serving(diarizer, **changes) as (_, url):
            return await closed_with(url + path, *frames)

    return asyncio.run(client())


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("{", "expected a JSON object, got '{'"),
        ('{"type":"start","sample_rate":44}', "sample_rate: expected a whole number of 8000 to 192000, got 44"),
        ('{"type":"start","speakers":["Anna"]}', "speakers: expected names of people that the server knows, got Anna"),
        ('{"type":"name","speaker":"S1","name":"A"}', "expected start before anything else, got name"),
    ],
)
def test_bad_messages_close_with_one_sentence(diarizer: Diarizer, frame: str, says: str) -> None:
    code, last = closing(diarizer, frame)
    assert (code, last["type"], last["code"], last["close"]) == (4400, "error", "malformed", 4400)
    assert last["message"].startswith(says)
    assert "seq" not in last


def test_a_query_string_is_checked_as_start_is(diarizer: Diarizer) -> None:
    code, last = closing(diarizer, path="/v1?encoding=mp3")
    assert code == 4400
    assert last["message"].startswith("encoding: expected one of pcm_s16le")


def test_a_second_start_and_an_unknown_speaker_are_errors(diarizer: Diarizer) -> None:
    assert closing(diarizer, bytes(100), '{"type":"start"}')[1]["message"] == "expected start once, got start"
    code, last = closing(diarizer, bytes(100), '{"type":"name","speaker":"S7","name":"A"}')
    assert (code, last["expected"]) == (4400, "a speaker of this session (none, for nobody has appeared)")


def test_other_versions_are_refused(diarizer: Diarizer) -> None:
    code, last = closing(diarizer, '{"type":"start","version":2}')
    assert (code, last["code"], last["expected"]) == (4406, "unknown_version", "version 1")

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            async with connect(url, subprotocols=["turnstream.v2", "turnstream.v1"]) as socket:
                assert socket.subprotocol == "turnstream.v1"
            with pytest.raises(InvalidStatus, match="400"):
                await connect(url, subprotocols=["turnstream.v2"])

    asyncio.run(asyncio.wait_for(client(), 60))


def test_sessions_beyond_capacity_and_of_one_address_are_refused(diarizer: Diarizer) -> None:
    async def client(expected: int, code: str, **limits: int) -> None:
        async with serving(diarizer, **limits) as (_, url):
            async with connect(url) as first, connect(url) as second:
                for socket in (first, second):
                    await socket.send(bytes(3_200))
                    await socket.recv()
                closed, last = await closed_with(url, bytes(3_200))
                assert (closed, last["code"]) == (expected, code)
                for socket in (first, second):
                    await socket.send('{"type":"stop"}')
                    assert await hear_out(socket, Listener()) == 1000
            assert (await closed_with(url, b""))[0] == 1000

    asyncio.run(client(4503, "over_capacity", max_sessions=2))
    asyncio.run(client(4429, "too_many_sessions", max_sessions_per_address=2))


def test_a_flood_of_connections_leaves_room_for_health(diarizer: Diarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_UNDECIDED", 8)

    async def client() -> None:
        async with serving(diarizer, max_sessions=1, handshake_s=0.5) as (running, url), connect(url) as good:
            await good.send(bytes(3_200))
            await good.recv()  # its session has begun
            codes = await asyncio.gather(*(closed_with(url) for _ in range(40)))
            assert {code for code, _ in codes} == {4408, 4503}
            assert sum(code == 4408 for code, _ in codes) <= 9
            assert running.table.running == 1
            await good.send('{"type":"stop"}')
            assert await hear_out(good, Listener()) == 1000

    asyncio.run(asyncio.wait_for(client(), 60))


def test_silence_before_the_start_and_after_it_ends_the_connection(diarizer: Diarizer) -> None:
    code, last = closing(diarizer, handshake_s=0.3)
    assert (code, last["code"]) == (4408, "timeout")
    listener = Listener()

    async def client() -> int | None:
        async with serving(diarizer, idle_s=0.4) as (running, url):
            async with connect(url) as socket:
                await socket.send(bytes(3_200))
                closed = await hear_out(socket, listener)
            await asyncio.sleep(0.05)
            assert not running.table.sessions
            return closed

    assert asyncio.run(client()) == 4408
    assert (listener.final.reason, listener.final.duration_s) == ("idle", 0.1)


def test_a_session_has_its_longest_length(diarizer: Diarizer) -> None:
    listener = Listener()

    async def client() -> int | None:
        async with serving(diarizer, session_s=2.0) as (_, url), connect(url) as socket:
            await socket.send(bytes(96_000))
            return await hear_out(socket, listener)

    assert asyncio.run(client()) == 4410
    assert listener.final.reason == "session_too_long"


def test_messages_over_the_limit_are_not_taken(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer, max_message_bytes=10_000) as (_, url):
            listener = Listener()
            async with connect(url) as socket:
                await socket.send(bytes(10_000))
                listener.hear(await socket.recv())
                await socket.send(bytes(10_001))
                assert await hear_out(socket, listener) == 1009
            async with connect(f"{url}?session={listener.started.session}&seq={listener.seq}") as socket:
                listener.hear(await socket.recv())
                assert listener.started.position == 5_000

    asyncio.run(asyncio.wait_for(client(), 60))


def test_sessions_that_are_over_cannot_be_resumed(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer, resume_s=0.4) as (running, url):
            assert (await closed_with(f"{url}?session=abc"))[0] == 4404
            async with connect(url) as socket:
                await socket.send(bytes(320))
                session = json.loads(await socket.recv())["session"]
            assert len(running.table.sessions) == 1
            await asyncio.sleep(0.8)
            assert not running.table.sessions
            assert (await closed_with(f"{url}?session={session}"))[1]["code"] == "unknown_session"

    asyncio.run(asyncio.wait_for(client(), 60))


def test_a_client_that_does_not_read_is_closed_and_can_come_back(
    diarizer: Diarizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the server talk (names that change) and reads nothing; what waits stays small all the while."""
    monkeypatch.setattr(listener, "BUFFER_BYTES", 4_096)

    async def client() -> None:
        async with serving(diarizer, slow_s=0.5, status_s=0.001) as (running, url):
            narrow = sockets.socket()
            narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
            narrow.connect(("127.0.0.1", int(url.rsplit(":", 1)[1])))
            narrow.setblocking(False)
            async with connect(url, sock=narrow, max_queue=1, ping_interval=None) as socket:
                await socket.send(bytes(3_200))
                session = None
                while not running.metrics.refused:
                    await asyncio.sleep(0.05)
                    session = next(iter(running.table.sessions.values()), session)
                    assert session is not None
                    assert len(session.journal) <= 3
                assert running.metrics.refused == {"too_slow": 1}
                socket.transport.abort()
            listener = Listener()
            async with connect(url, ping_interval=None) as socket:
                await socket.send(encode(Start(session=session.id)))
                await socket.send(b"")
                assert await hear_out(socket, listener) == 1000
            assert listener.final.duration_s == 0.1

    asyncio.run(asyncio.wait_for(client(), 60))


def test_a_half_open_connection_gives_its_session_free(diarizer: Diarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose machine is gone answers no ping; nothing ends the connection but the server."""
    monkeypatch.setattr(server_connection, "PROBE_S", 0.2)
    monkeypatch.setattr(server_connection, "PONG_S", 0.2)

    async def client() -> None:
        async with serving(diarizer, resume_s=30.0) as (running, url):
            port = int(url.rsplit(":", 1)[1])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            key = base64.b64encode(os.urandom(16)).decode()
            lines = [f"GET /v1?sample_rate=8000 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade"]
            lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}\r\n\r\n"]
            writer.write("\r\n".join(lines).encode())
            assert b"101" in await reader.readline()
            while not running.table.sessions:
                await asyncio.sleep(0.01)
            session = next(iter(running.table.sessions.values()))
            begun_s = time.monotonic()
            while session.owner is not None:
                await asyncio.sleep(0.01)
            assert time.monotonic() - begun_s < 10
            code, last = await closed_with(f"{url}?session={session.id}", b"")
            assert (code, last["type"]) == (1000, "final")
            writer.close()

    asyncio.run(asyncio.wait_for(client(), 60))


def test_connections_that_send_no_request_or_half_a_one_go_away(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer, handshake_s=0.3) as (_, url):
            for sent in (b"", b"GET /v1 HTTP/1.1\r\nHost:", b"\x16\x03\x01 no TLS here", b"POST / HTTP/1.1\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
                writer.write(sent)
                async with asyncio.timeout(5):
                    assert b"101" not in await reader.read()
                writer.close()
            assert (await closed_with(url, b""))[0] == 1000

    asyncio.run(asyncio.wait_for(client(), 60))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.text(max_size=40) | st.binary(max_size=40), min_size=1, max_size=6))
def test_whatever_comes_the_server_says_why_or_goes_on(diarizer: Diarizer, frames: list[str | bytes]) -> None:
    code, last = closing(diarizer, *frames, '{"type":"stop"}')
    assert (code, last["type"]) in ((1000, "final"), (4400, "error"))
