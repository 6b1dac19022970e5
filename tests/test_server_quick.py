"""What one client does to the others: names that are looked up, silence that is queued. The models are stand-ins."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_kit import QUICK, Listener, closed_with, hear_out, serving
from silent_diarizer import MODEL, SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.clients.access_token import read_token
from turnstream.clients.options import ServeOptions, WeightOptions
from turnstream.clients.remote.client import Client
from turnstream.clients.remote.connection import ClientError
from turnstream.clients.serve import serve_until_stopped
from turnstream.errors import TurnstreamError
from turnstream.models.batcher import Batcher, Request
from turnstream.people.store import PeopleStore
from turnstream.protocol.messages import CloseCode, Config, Error, Limits, Start, Started, decode_server, encode
from turnstream.server import server as server_module
from turnstream.server.admission import WRONG_TOKEN_S, Refused
from turnstream.server.lobby import Lobby, survive_exhaustion
from turnstream.server.server import model_names
from turnstream.server.session import QUEUE_BYTES, QUEUE_S
from turnstream.server.worker import End, Lost, joined
from turnstream.stitching.clustering import unit
from turnstream.stitching.profile import Profile

CONFIG = Config("pcm_s16le", 16_000, 1, 1.0, True, False, ())
STOP = '{"type":"stop"}'


def voice(seed: int = 0) -> Profile:
    return Profile(unit(np.random.default_rng(seed).normal(size=192).astype(np.float32)), 10.0)


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


def run(client: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(client, 60))


def test_people_are_read_once_off_the_loop_and_again_after_a_change(
    diarizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = PeopleStore(tmp_path)
    for number in range(12):
        store.save(f"Person {number}", voice(number), MODEL)
    threads: list[threading.Thread] = []
    read = PeopleStore.read

    def counted(self: PeopleStore) -> Any:
        threads.append(threading.current_thread())
        return read(self)

    monkeypatch.setattr(PeopleStore, "read", counted)
    names = tuple(f"person {number}" for number in range(12))

    async def client() -> None:
        async with serving(diarizer, people=tmp_path) as (_, url):
            for _ in range(2):
                assert (await closed_with(url, encode(Start(speakers=names)), STOP))[0] == 1000
            assert len(threads) == 1
            assert threads[0] is not threading.main_thread()
            assert (await closed_with(url, encode(Start(speakers=("Zoë",)))))[0] == 4400
            assert len(threads) == 1
            store.save("Zoë", voice(99), MODEL)
            del threads[:]
            assert (await closed_with(url, encode(Start(speakers=("zoë", "ZOË"))), STOP))[0] == 1000
            assert len(threads) == 1

    run(client())


def test_people_of_another_model_and_a_folder_that_is_none_are_nobody(diarizer: Any, tmp_path: Path):
    PeopleStore(tmp_path / "store").save("Anna", voice(), "b" * 64)

    async def client(folder: Path) -> None:
        async with serving(diarizer, people=folder) as (_, url):
            code, last = await closed_with(url, encode(Start(speakers=("Anna",))))
            assert (code, last["message"]) == (
                4400,
                "speakers: expected names of people that the server knows, got Anna",
            )

    for folder in (tmp_path / "store", tmp_path / "nowhere"):
        run(client(folder))


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


def test_silence_that_a_client_skips_to_counts_as_audio_at_once(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, session_s=1000.0, status_s=60.0) as (server, url):
            async with connect(url) as socket:
                await socket.send(encode(Start()))
                session_id = json.loads(await socket.recv())["session"]
            session = server.table.sessions[session_id]
            for number in range(1, 4):
                ahead = {"session": session_id, "position": min(session.position + 600 * 16_000, number * 600 * 16_000)}
                async with connect(url) as socket:
                    await socket.send(json.dumps({"type": "start", **ahead}))
                    await socket.recv()
            assert session.ended == "session_too_long"
            assert session.length_s == 1200.0

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


async def ask(url: str, request: str) -> tuple[int, str, str]:
    """The status, the head and the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head, body


UPGRADE = (
    "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
)
REQUESTS = {
    "GET //[ HTTP/1.1\nHost: localhost": (400, "expected an address in the request"),
    "GET / HTTP/1.1\nHost: a\nHost: b": (400, "expected one Host header, got 2"),
    "GET / HTTP/1.1\nHost: [": (400, "expected an address in Host"),
    "GET / HTTP/1.1\nHost: localhost:99999": (400, "expected an address in Host"),
    f"GET /v1 HTTP/1.1\nHost: localhost\nUpgrade: h2c\n{UPGRADE}": (400, "expected one Upgrade header, got 2"),
    f"GET /v1 HTTP/1.1\nHost: localhost\nOrigin: http://[\n{UPGRADE}": (400, "expected an address in Origin"),
    f"GET /v1 HTTP/1.1\nHost: localhost\nOrigin: a\nOrigin: b\n{UPGRADE}": (400, "expected one Origin header, got 2"),
    f"GET /v1 HTTP/1.1\nHost: localhost\nAuthorization: Bearer a\nAuthorization: Bearer b\n{UPGRADE}": (
        400,
        "expected one Authorization header, got 2",
    ),
    "POST / HTTP/1.1\nHost: localhost\nContent-Length: 0": (405, "expected GET or HEAD, got POST"),
    "TRACE / HTTP/1.1\nHost: localhost": (405, "expected GET or HEAD, got TRACE"),
    "GET /metrics HTTP/1.1\nHost: evil.example:8765": (403, "does not go by the name 'evil.example:8765'"),
    "GET / HTTP/1.1\nHost: evil.example": (403, "does not go by the name 'evil.example'"),
    "GET /health HTTP/1.1\nHost: evil.example": (200, "capacity"),
    "GET /metrics HTTP/1.1\nHost: 127.0.0.1:8765": (200, "turnstream_sessions 0"),
    "GET /metrics HTTP/1.0": (200, "turnstream_sessions 0"),
    "HEAD /health HTTP/1.1\nHost: localhost": (200, ""),
}


@pytest.mark.parametrize("request_text", REQUESTS)
def test_http_requests_get_the_status_that_they_deserve(diarizer: Any, request_text: str):
    status, said = REQUESTS[request_text]

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            found, head, body = await ask(url, request_text)
            assert (found, "server log" in body) == (status, False)
            assert said in body
            if status == 405:
                assert "Allow: GET, HEAD" in head
            if request_text.startswith("HEAD"):
                assert (body, "Content-Length: 0" in head) == ("", False)

    run(client())


def test_a_server_with_a_token_may_stand_behind_a_proxy_of_another_name(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, token="a-long-secret.token") as (_, url):
            assert (await ask(url, "GET /metrics HTTP/1.1\nHost: speech.example"))[0] == 200
        async with serving(diarizer, origins=("https://speech.example",)) as (_, url):
            assert (await ask(url, "GET /metrics HTTP/1.1\nHost: speech.example"))[0] == 200

    run(client())


def test_a_wrong_token_is_logged_and_slowed(diarizer: Any, caplog: pytest.LogCaptureFixture):
    async def client() -> None:
        async with serving(diarizer, token="a-long-secret.token") as (_, url):
            begun_s = time.monotonic()
            assert (await closed_with(url, encode(Start(token="a-wrong-secret.token"))))[0] == 4401
            assert time.monotonic() - begun_s >= WRONG_TOKEN_S

    with caplog.at_level("WARNING"):
        run(client())
    assert "wrong token, or none, from 127.0.0.1" in caplog.text


def test_secrets_that_everyone_can_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "token"
    path.write_text("a-long-secret.token\n")
    path.chmod(0o644)
    assert read_token(str(path)) == "a-long-secret.token"
    assert f"{path} is a secret that everyone on this machine can read" in capsys.readouterr().err
    path.chmod(0o640)
    read_token(str(path))
    assert capsys.readouterr().err == ""
    with pytest.raises(TurnstreamError, match="cannot read the token in /dev/zero: expected at most"):
        read_token("/dev/zero")


def test_every_close_code_is_documented():
    table = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()
    assert [code.value for code in CloseCode if f"| {code.value} |" not in table] == []


@pytest.mark.parametrize(("name", "value"), [("is_alive", False), ("stalled_s", 1e9)])
def test_dead_models_end_sessions_and_are_seen_in_health(diarizer: Any, name: str, value: Any):
    async def client() -> None:
        async with serving(diarizer) as (server, url), connect(url) as socket:
            await socket.send(encode(Start()))
            await socket.recv()
            setattr(diarizer.models, name, value)
            assert await hear_out(socket, Listener()) == 4500
            assert server.table.failed.is_set()
            status, _, body = await ask(url, "GET /health HTTP/1.1\nHost: localhost")
            assert (status, json.loads(body)["status"]) == (503, "failed")
            assert (await closed_with(url, encode(Start())))[0] == 4500

    run(client())


def test_a_server_whose_models_are_dead_ends_its_process(
    diarizer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr("logging.basicConfig", lambda **options: None)
    diarizer.models.is_alive = False
    serve_until_stopped(diarizer, ServeOptions(QUICK, WeightOptions()))
    assert codes == [1]
    assert "the models do not answer any more" in capsys.readouterr().err


def test_the_lag_of_the_event_loop_is_measured(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer) as (server, url):
            await asyncio.sleep(0.3)
            time.sleep(0.6)
            await asyncio.sleep(0.05)
            assert server.metrics.loop_lag_s > 0.3
            _, _, body = await ask(url, "GET /metrics HTTP/1.1\nHost: localhost")
            assert "turnstream_event_loop_lag_seconds 0." in body
            assert "turnstream_model_wait_seconds 0" in body

    run(client())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_model_threads_that_are_dead_or_do_not_answer_are_noticed(monkeypatch: pytest.MonkeyPatch):
    computing, free = threading.Event(), threading.Event()
    monkeypatch.setattr(Batcher, "_load", lambda *_: None)

    def answer(self: Batcher, batch: list[Any]) -> None:
        computing.set()
        free.wait(20)
        if not free.is_set() or batch[0].kind == "embed":
            raise SystemExit  # the thread ends in silence
        batch[0].answer.set_result(None)

    monkeypatch.setattr(Batcher, "_answer", answer)
    monkeypatch.setattr("turnstream.models.batcher.on_cpu_kernels", lambda: False)
    batcher = Batcher({}, {})
    assert (batcher.is_alive, batcher.stalled_s, batcher.waiting_s) == (True, 0.0, 0.0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batcher.ask, "state")
        assert computing.wait(20)
        second = pool.submit(batcher.ask, "state")
        while not batcher._waiting:
            time.sleep(0.001)
        assert batcher.stalled_s > 0
        assert batcher.waiting_s > 0
        free.set()
        first.result(20)
        second.result(20)
    batcher._waiting.append(Request("embed", ([],), True))
    with batcher._changed:
        batcher._changed.notify()
    batcher._threads[0].join(20)
    assert not batcher.is_alive


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
        socket.transport.write(FLOODS[kind] * 60_000)
        code = await hear_out(socket, listener)
    return code, listener.messages[-1]


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


@pytest.mark.parametrize("cuts", [[1], [2, 3], [5, 1, 1]])
def test_pieces_of_audio_are_joined_and_nothing_else_is(cuts: list[int]):
    pieces: list[Any] = [bytes([n]) * cut for n, cut in enumerate(cuts)]
    assert joined([*pieces, Lost(5), Lost(6), *pieces, End("stop")]) == [
        b"".join(pieces),
        Lost(5),
        Lost(6),
        b"".join(pieces),
        End("stop"),
    ]


def test_a_session_of_more_samples_than_can_be_mixed_down_is_refused(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            code, last = await closed_with(url, encode(Start(sample_rate_hz=192_000, channels=128)))
            assert (code, last["message"]) == (
                4400,
                "expected sample_rate times channels of at most 3072000, got 24576000",
            )
            assert (await closed_with(url, encode(Start(sample_rate_hz=48_000, channels=64)), STOP))[0] == 1000

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


def test_the_work_that_a_session_may_ask_for_is_stated(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, max_values_per_s=32_000) as (_, url), connect(url) as socket:
            await socket.send(encode(Start(sample_rate_hz=16_000, channels=2)))
            assert json.loads(await socket.recv())["limits"]["values_per_s"] == 32_000
            await socket.send(STOP)
            assert await hear_out(socket, Listener()) == 1000

    run(client())


def test_a_server_that_states_no_bound_of_work_is_understood():
    started = Started(1, "a", False, 0, CONFIG, model_names(), Limits(1, 1.0, 1.0, 1.0))
    values = json.loads(encode(started))
    del values["limits"]["values_per_s"]
    assert decode_server(json.dumps(values)) == (None, started)


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 64), (16_000, 1)])
def test_audio_that_waits_is_bounded_in_bytes_and_in_seconds(diarizer: Any, rate_hz: int, channels: int):
    async def client() -> None:
        async with serving(diarizer) as (server, _):
            start = Start(sample_rate_hz=rate_hz, channels=channels, encoding="pcm_f32le")
            anybody = server.config.tenant_of()
            assert anybody
            session, owner, sent = await server.table.open(start, "here", anybody), object(), 0
            session.attach(owner)
            never = asyncio.Event()
            session.in_pool = lambda *_: never.wait()
            piece = bytes(1 << 20)
            with contextlib.suppress(TimeoutError):
                while sent < 40:
                    await asyncio.wait_for(session.put(owner, piece), 0.2)
                    sent += 1
            assert sent * len(piece) <= QUEUE_BYTES + 2 * len(piece)
            assert session.backlog_s <= QUEUE_S + len(piece) / (4 * rate_hz * channels)
            await server.table.close(session)

    run(client())


@pytest.mark.parametrize(("message_bytes", "frames"), [(1 << 20, 4), (1 << 21, 2), (1 << 28, 1), (100, 4)])
def test_frames_that_wait_are_bounded_in_bytes(diarizer: Any, message_bytes: int, frames: int):
    async def client() -> None:
        async with serving(diarizer, max_message_bytes=message_bytes) as (server, url), connect(url):
            while not server._connections:
                await asyncio.sleep(0.001)
            (connection,) = server._connections
            assert connection.max_queue_high == frames

    run(client())


TOKEN, WRONG = "a-long-secret.token", "a-wrong-secret.token"
UNPROVEN: dict[str, dict[str, Any]] = {
    "a wrong header": {"additional_headers": {"Authorization": f"Bearer {WRONG}"}},
    "a wrong subprotocol": {"subprotocols": ["turnstream.v1", f"token.{WRONG}"]},
    "none, and a query": {"path": "/v1?channels=1"},
    "none, and no start to come": {"path": "/compat/pyannote"},
}


@pytest.mark.parametrize("kind", UNPROVEN)
def test_who_cannot_prove_anything_any_more_is_refused_before_saying_a_word(diarizer: Any, kind: str):
    options = dict(UNPROVEN[kind])
    path = options.pop("path", "/v1")

    async def client() -> None:
        async with serving(diarizer, token=TOKEN, handshake_s=60.0) as (server, url):
            async with asyncio.timeout(10), connect(url + path, **options) as socket:
                assert await hear_out(socket, Listener()) == 4401
            assert not server.table.sessions

    run(client())


def test_one_right_token_of_several_is_enough(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, token=TOKEN) as (_, url):
            both = {"subprotocols": ["turnstream.v1", f"token.{WRONG}", f"token.{TOKEN}"]}
            assert (await closed_with(url, bytes(100_000), STOP, **both))[0] == 1000
            assert (await closed_with(url, encode(Start(token=TOKEN)), bytes(1_000_000), STOP))[0] == 1000

    run(client())


@pytest.mark.parametrize("frame", [bytes(100_000), " " * 100_000, encode(Start(token=WRONG)) + " " * 100_000])
def test_strangers_may_not_send_much(diarizer: Any, frame: str | bytes):
    async def client() -> None:
        async with serving(diarizer, token=TOKEN) as (_, url):
            async with asyncio.timeout(4):
                assert (await closed_with(url, frame))[0] == 4401

    run(client())


def test_the_token_comes_before_anything_else_that_start_may_be_wrong_about(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, token=TOKEN) as (_, url):
            for start in (Start(version=2), Start(session="abc"), Start(sample_rate_hz=192_000, channels=128)):
                assert (await closed_with(url, encode(start)))[0] == 4401

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
