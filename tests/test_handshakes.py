"""TLS handshakes: how many there may be, whom they hold up, and that nothing is lost between them and what follows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import subprocess
import sys
from asyncio import sslproto
from pathlib import Path
from typing import Any

import pytest
from server_kit import closed_with, serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from benchmarks.flooder import ABORT
from turnstream.server import handshakes, listener
from turnstream.server import server as server_module
from turnstream.server.bounded_socket import Socket
from turnstream.server.handshakes import Entrant, Handshakes

HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *curve, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return {"tls_certificate": certificate, "tls_key": key}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Handshakes]:
    """Those of each listener."""
    found: list[Handshakes] = []
    begin = Handshakes.__init__
    monkeypatch.setattr(
        Handshakes, "__init__", lambda self, *arguments: (found.append(self), begin(self, *arguments))[1]
    )
    return found


class Client:
    """TLS without a socket: what it sends is sent by the test, in pieces of its choice."""

    def __init__(self, certificate: Path):
        self.heard, self.said = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=certificate)
        self.tls = context.wrap_bio(self.heard, self.said, server_hostname="127.0.0.1")

    def hello(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.said.read()


async def ends(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    return True


def run(client: Any) -> None:
    asyncio.run(asyncio.wait_for(client, 30))


def test_handshakes_are_bounded_and_keep_nobody_out(files: Any, made: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "MOST_SHAKING", 8)
    monkeypatch.setattr(listener, "SPEAKS_WITHIN_S", 0)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        trusting = ssl.create_default_context(cafile=files["tls_certificate"])
        async with serving(diarizer, handshake_s=60.0, **files) as (_, url):
            port = int(url.rsplit(":", 1)[1])
            bare = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            assert (await closed_with(url.replace("ws:", "wss:"), b"", ssl=trusting))[0] == 1000
            assert await asyncio.wait_for(ends(bare[0][0]), 5)
            assert len(made[0]) == 7  # the newcomer took the place of one, and is through
            for _, writer in bare:
                writer.close()

    run(client())


def test_those_who_are_through_or_gone_hold_no_place(files: Any, made: Any):
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        trusting = ssl.create_default_context(cafile=files["tls_certificate"])
        async with serving(diarizer, **files) as (_, url):
            for said in (b"", HEALTH, b"\x16\x03\x01\x02\x00\x01\x00"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
                writer.write(said)
                if said == HEALTH:  # no TLS at all
                    await ends(reader)
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            for _ in range(3):
                assert (await closed_with(url.replace("ws:", "wss:"), b"", ssl=trusting))[0] == 1000
            while len(made[0]):
                await asyncio.sleep(0.01)

    run(client())


def test_a_handshake_that_does_not_go_on_ends(files: Any, made: Any):
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer, handshake_s=0.3, **files) as (_, url):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
            writer.write(Client(files["tls_certificate"]).hello()[:100])
            assert await ends(reader)
            assert len(made[0]) == 0
            writer.close()

    run(client())


@pytest.mark.skipif(sys.platform != "linux", reason="the other address is 127.0.0.2")
def test_the_many_of_one_address_are_not_all_before_another(files: Any, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    shake_hands = Entrant.shake_hands

    async def noting(self: Entrant, *arguments: Any) -> None:
        order.append(self.transport.get_extra_info("peername")[0])
        await shake_hands(self, *arguments)

    monkeypatch.setattr(Entrant, "shake_hands", noting)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        hello = Client(files["tls_certificate"]).hello()
        async with serving(diarizer, **files) as (_, url):
            address, sockets = ("127.0.0.1", int(url.rsplit(":", 1)[1])), []
            for source in [*["127.0.0.2"] * 100, "127.0.0.1"]:  # the loop has no turn meanwhile
                sockets.append(socket.create_connection(address, source_address=(source, 0)))
                sockets[-1].sendall(hello)
            while len(order) < 101:
                await asyncio.sleep(0.01)
            for one in sockets:
                one.close()

    run(client())
    assert order.index("127.0.0.1") < 30


def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(files: Any):
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer, **files) as (_, url):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
            one = Client(files["tls_certificate"])
            writer.write(one.hello())
            while one.tls.version() is None or one.said.pending == 0:
                one.heard.write(await reader.read(1 << 16))
                with contextlib.suppress(ssl.SSLWantReadError):
                    one.tls.do_handshake()
            one.tls.write(HEALTH)
            writer.write(one.said.read())  # in one piece
            answer = b""
            while b"ok" not in answer:
                one.heard.write(await reader.read(1 << 16))
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += one.tls.read()
            assert answer.startswith(b"HTTP/1.1 200")
            writer.close()

    run(client())


def protocols() -> set[int]:
    """Of TLS, those that are not freed."""
    return {id(one) for one in gc.get_objects() if type(one) is sslproto.SSLProtocol}  # a dead proxy raises


def test_a_handshake_that_fails_leaves_nothing_to_collect(files: Any, made: Any):
    """What OpenSSL holds for it, 90 KiB, is not counted by Python's collector, which may come late."""
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer, **files) as (_, url):
            hello = Client(files["tls_certificate"]).hello()
            for said in (hello, hello[:100], HEALTH):
                with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as one:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                    one.sendall(said)
                    await asyncio.sleep(0.1)
            while len(made[0]):
                await asyncio.sleep(0.01)
            assert not protocols() - of_others

    gc.collect()
    of_others = protocols()
    gc.disable()
    try:
        run(client())
    finally:
        gc.enable()


def test_little_is_read_at_a_time_of_tls_too(files: Any, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    receive = Socket.data_received
    monkeypatch.setattr(Socket, "data_received", lambda self, data: (sizes.append(len(data)), receive(self, data))[1])
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        trusting = ssl.create_default_context(cafile=files["tls_certificate"])
        async with (
            serving(diarizer, **files) as (_, url),
            connect(url.replace("ws:", "wss:"), ssl=trusting) as one,
        ):
            await one.send(bytes(1 << 20))
            await one.send('{"type":"stop"}')
            while "final" not in str(await one.recv()):
                pass

    run(client())
    assert sum(sizes) > 1 << 20
    assert max(sizes) <= 2 * handshakes.READ_BYTES


def test_many_who_connect_while_the_loop_is_busy_wait_instead_of_being_dropped():
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer) as (_, url), contextlib.AsyncExitStack() as stack:
            for _ in range(200):  # the loop has no turn meanwhile
                stack.enter_context(socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=0.5))

    asyncio.run(asyncio.wait_for(client(), 30))
