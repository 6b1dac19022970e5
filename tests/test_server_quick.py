"""What one client does to the others: silent connections, floods, places that are taken. The models are stand-ins."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_kit import STOP, UPGRADE, Listener, ask, closed_with, hear_out, run, serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.clients.remote.client import Client
from turnstream.clients.remote.connection import ClientError
from turnstream.protocol.messages import CloseCode, Error, Start, encode
from turnstream.server import listener
from turnstream.server import server as server_module
from turnstream.server.admission import Refused
from turnstream.server.lobby import Lobby, survive_exhaustion


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


def test_a_server_whose_models_are_busy_answers_others_while_a_session_is_made(diarizer: Any):
    made, free = threading.Event(), threading.Event()

    def slow() -> None:
        made.set()
        assert free.wait(20)

    diarizer.models.initial_state = slow

    async def client() -> None:
        async with serving(diarizer, max_sessions=1) as (_, url), connect(url) as socket:
            await socket.send(encode(Start()))
            await asyncio.to_thread(made.wait, 20)
            code, last = await closed_with(url, encode(Start()))  # the place is taken already
            assert (code, last["code"]) == (4503, "over_capacity")
            free.set()
            await socket.send(STOP)
            assert await hear_out(socket, Listener()) == 1000

    run(client())


async def silent(url: str, count: int) -> list[Any]:
    """Sockets that are opened and say nothing."""
    return [await connect(url) for _ in range(count)]


def test_silent_websockets_do_not_keep_others_out_and_are_told_why_they_go(
    diarizer: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server_module, "MOST_UNDECIDED", 8)

    async def client() -> None:
        async with serving(diarizer, max_sessions=2, token="a-long-secret.token") as (_, url):
            sockets = await silent(url, 12)
            start = encode(Start(token="a-long-secret.token"))
            assert (await closed_with(url, start, STOP))[0] == 1000
            last = json.loads(await sockets[0].recv())
            assert (last["type"], last["code"], last["close"]) == ("error", "over_capacity", 4503)
            await sockets[0].wait_closed()
            assert sockets[0].close_code == 4503
            assert sockets[11].state.name == "OPEN"

    run(client())


def test_bare_connections_do_not_keep_others_out(diarizer: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "MOST_SILENT", 8)
    monkeypatch.setattr(listener, "SPEAKS_WITHIN_S", 0)

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            port = int(url.rsplit(":", 1)[1])
            bare = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            assert (await closed_with(url, STOP))[0] == 1000
            assert (await ask(url, "GET /health HTTP/1.1\nHost: localhost"))[0] == 200
            with contextlib.suppress(ConnectionError):
                assert await bare[0][0].read() == b""  # the first ones had to go
            for _, writer in bare:
                writer.close()

    run(client())


def test_in_the_lobby_the_greediest_address_gives_way():
    dismissed: list[str] = []
    lobby = Lobby(4)
    for who, address in (("a1", "a"), ("b1", "b"), ("b2", "b"), ("b3", "b"), ("c1", "c"), ("a2", "a")):
        lobby.enter(who, address, lambda who=who: dismissed.append(who))
    assert dismissed == ["b1", "b2"]
    lobby.leave("a1")
    lobby.enter("c2", "c", lambda: None)
    assert (dismissed, len(lobby)) == (["b1", "b2"], 4)


def test_running_out_of_descriptors_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture):
    async def exhaust() -> None:
        loop = asyncio.get_running_loop()
        survive_exhaustion(loop)
        for _ in range(3):
            error = OSError(errno.EMFILE, "Too many open files")
            loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})

    with caplog.at_level("WARNING"):
        asyncio.run(exhaust())
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == ("a connection cannot be accepted: Too many open files", None)


@pytest.mark.parametrize("code", [CloseCode.OVER_CAPACITY, CloseCode.UNKNOWN_SESSION])
def test_a_client_comes_back_to_a_server_that_is_full_for_a_moment(diarizer: Any, code: CloseCode):
    async def client() -> None:
        async with serving(diarizer) as (server, url):
            refusals, find = [Refused(code, "not now")], server.table.find
            server.table.find = lambda *who: raise_one(refusals) or find(*who)
            async with Client(url) as remote:
                await remote.send(bytes(32_000))
                await anext(aiter(remote))
                for connection in server._connections:
                    connection.transport.abort()
                await remote.send(bytes(32_000))
                assert (await remote.finish()).duration_s == 2.0
                assert not refusals

    if code == CloseCode.OVER_CAPACITY:
        run(client())
    else:
        with pytest.raises(ClientError, match="not now"):
            run(client())


def raise_one(errors: list[Refused]) -> None:
    if errors:
        raise errors.pop()


def test_every_close_code_is_documented():
    table = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()
    assert [code.value for code in CloseCode if f"| {code.value} |" not in table] == []


def frame(opcode: int, data: bytes) -> bytes:
    """As a client sends it, with a mask of zeros."""
    assert len(data) < 126
    return bytes([0x80 | opcode, 0x80 | len(data), 0, 0, 0, 0]) + data


FLOODS = {
    "bytes": frame(2, b"x"),
    "pings": frame(9, b""),
    "pongs": frame(10, b""),
    "keep-alives": frame(1, b'{"type":"KeepAlive"}'),
    "names": frame(1, b'{"type":"name","speaker":"S1","name":"A"}'),
}


async def flood(url: str, kind: str, begun: bool) -> tuple[int | None, Any]:
    """The close code and the last message that came."""
    listener = Listener()
    async with connect(url) as socket:
        if begun:
            await socket.send(encode(Start()))
            await socket.recv()
        socket.transport.write(FLOODS[kind] * 20_000)
        code = await hear_out(socket, listener)
    return code, listener.messages[-1]


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """Collecting what other tests left would count as time of the loop's thread."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("begun", [True, False])
def test_a_flood_of_tiny_messages_is_ended_and_delays_nobody(diarizer: Any, kind: str, begun: bool):
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            flooding, held_s = asyncio.create_task(asyncio.to_thread(asyncio.run, flood(url, kind, begun))), [0.0]
            while not flooding.done():
                begun_s = time.thread_time()  # of the loop itself: the machine may be busy with other things
                await asyncio.sleep(0.001)
                held_s.append(time.thread_time() - begun_s)
            code, last = await flooding
            assert code == 4400
            assert isinstance(last, Error)
            assert begun is False or "at most 200 a second" in last.message or kind == "names"
            assert max(held_s) < 0.1

    run(client())


def test_packets_of_10_ms_as_fast_as_they_go_are_no_flood(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            packets = [bytes(160)] * 3000
            start = encode(Start(sample_rate_hz=8000))
            assert (await closed_with(url, start, *packets, STOP))[0] == 1000

    run(client())


def test_a_client_that_is_gone_keeps_its_place_only_until_another_wants_it(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, max_sessions=1, resume_s=60.0) as (server, url):
            gone = await connect(url)
            await gone.send(encode(Start()))
            await gone.recv()
            assert (await closed_with(url, encode(Start())))[0] == 4503
            gone.transport.abort()
            (session,) = server.table.sessions.values()
            while session.detached_s is None:
                await asyncio.sleep(0.001)
            assert (await closed_with(url, encode(Start())))[0] == 4503
            session.detached_s -= server.config.vanished_s + 1
            assert (await closed_with(url, encode(Start()), STOP))[0] == 1000

    run(client())


def test_a_closed_page_gives_its_place_up_at_once_and_a_reloaded_one_comes_back(diarizer: Any):
    async def left(server: Any, url: str) -> str:
        """The id of a session whose client closed it with 1001, as browsers do."""
        socket = await connect(url)
        await socket.send(encode(Start()))
        started = json.loads(await socket.recv())["session"]
        await socket.close(1001)
        while not server.table.sessions[started].left:
            await asyncio.sleep(0.001)
        return str(started)

    async def client() -> None:
        async with serving(diarizer, max_sessions=1, resume_s=60.0) as (server, url):
            reloaded = await left(server, url)
            assert server.table.running == 0
            async with connect(url) as socket:
                await socket.send(encode(Start(session=reloaded)))
                assert json.loads(await socket.recv())["resumed"]
                assert server.table.running == 1
                assert (await closed_with(url, encode(Start())))[0] == 4503
                await socket.send(STOP)
                assert await hear_out(socket, Listener()) == 1000
            closed = await left(server, url)
            assert (await closed_with(url, encode(Start()), STOP))[0] == 1000
            assert (await closed_with(url, encode(Start(session=closed))))[0] == 4404
            forgotten = await left(server, url)
            server.table.sessions[forgotten].detached_s -= 11
            await server.table.forget_lost()
            assert (await closed_with(url, encode(Start(session=forgotten))))[0] == 4404

    run(client())


def test_a_page_reloaded_as_its_result_comes_gets_it_afterwards(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, resume_s=60.0) as (server, url):
            socket = await connect(url)
            await socket.send(encode(Start()))
            started = json.loads(await socket.recv())["session"]
            session = server.table.sessions[started]
            socket.transport.pause_reading()  # what the server sends stays unread
            await socket.send(STOP)
            while not session.finished or session.journal:
                await asyncio.sleep(0.001)
            socket.transport.write(b"\x88\x82\0\0\0\0" + (1001).to_bytes(2, "big"))
            while session.detached_s is None:
                await asyncio.sleep(0.001)
            socket.transport.abort()
            code, last = await closed_with(url, encode(Start(session=started, seq=1)))
            assert (code, last["type"]) == (1000, "final")

    run(client())


def test_those_who_are_turned_away_and_stay_are_bounded_too(diarizer: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "MOST_UNDECIDED", 4)
    monkeypatch.setattr(server_module, "SPARE_CONNECTIONS", 0)

    async def stay(port: int) -> Any:
        """Asks for a websocket, and never answers its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /v1 HTTP/1.1\nHost: localhost\n{UPGRADE}\n\n".replace("\n", "\r\n").encode())
        return reader, writer

    async def client() -> None:
        async with serving(diarizer, max_sessions=1) as (server, url):
            port, most = int(url.rsplit(":", 1)[1]), 0
            staying = []
            for _ in range(40):
                staying.append(await stay(port))
                await asyncio.sleep(0.005)
                most = max(most, len(server._connections))
            assert 6 < most <= 2 + 2 * 4 + 1
            for _, writer in staying:
                writer.close()

    run(client())
