"""Who may come in, and what there is but websockets: tokens, origins, TLS, health, metrics, the files of the page."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reverse_proxy import make_certificate
from server_kit import Listener, closed_with, hear_out, serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from turnstream.diarizer import Diarizer
from turnstream.protocol.messages import Start, encode
from turnstream.server import certificate as certificate_module
from turnstream.server import server
from turnstream.server.config import ServerConfig, ServerError

TOKEN = "a-long-secret.token"


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


def test_the_token_comes_by_header_subprotocol_or_first_message(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer, token=TOKEN) as (_, url):
            stop = '{"type":"stop"}'
            assert (await closed_with(url, encode(Start(token=TOKEN)), stop))[0] == 1000
            good = {"Authorization": f"Bearer {TOKEN}"}
            assert (await closed_with(url, stop, additional_headers=good))[0] == 1000
            offered = ["turnstream.v1", f"token.{TOKEN}"]
            assert (await closed_with(url, stop, subprotocols=offered))[0] == 1000
            for frame in (stop, encode(Start(token=TOKEN[:-1])), encode(Start(token="é" * 20)), bytes(10)):
                code, last = await closed_with(url, frame)
                assert (code, last["code"]) == (4401, "unauthorized")
                assert TOKEN not in json.dumps(last)
            bad = {"Authorization": f"Basic {TOKEN}"}
            assert (await closed_with(url, stop, additional_headers=bad))[0] == 4401
            assert (await closed_with(url + "/compat/pyannote", additional_headers=bad))[0] == 4401

    asyncio.run(asyncio.wait_for(client(), 60))


@pytest.mark.parametrize(
    ("origin", "host", "good"),
    [
        (None, "127.0.0.1:8765", True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("http://localhost:8765", "localhost:8765", True),
        ("https://page.example", "127.0.0.1:8765", True),
        ("http://localhost:3000", "localhost:8765", False),
        ("https://evil.example", "127.0.0.1:8765", False),
        ("http://evil.example:8765", "evil.example:8765", False),
        ("null", "127.0.0.1:8765", False),
        ("http://127.0.0.1:8765", None, False),
        ("http://192.168.1.5:8765", "192.168.1.5:8765", True),
        ("http://[2001:db8::5]:8765", "[2001:db8::5]:8765", True),
        ("http://192.168.1.5:3000", "192.168.1.5:8765", False),
    ],
)
def test_pages_from_elsewhere_are_not_let_in(origin: str | None, host: str | None, good: bool) -> None:
    config = ServerConfig(origins=("https://page.example",))
    assert config.admits_origin(origin, host) is good


def test_a_wrong_origin_gets_403_and_a_wrong_path_404(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            with pytest.raises(InvalidStatus, match="403"):
                await connect(url, origin="https://evil.example")  # type: ignore[arg-type]
            with pytest.raises(InvalidStatus, match="404"):
                await connect(url + "/v9")
            async with connect(url, origin=url.replace("ws:", "http:")) as socket:  # type: ignore[arg-type]
                await socket.send('{"type":"stop"}')
                assert await hear_out(socket, Listener()) == 1000

    asyncio.run(asyncio.wait_for(client(), 60))


async def get(url: str, path: str) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head, body


def test_health_metrics_and_what_is_not_there(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            await closed_with(url, bytes(32_000), b"")
            await closed_with(url, "{")
            head, body = await get(url, "/health")
            assert head.startswith("HTTP/1.1 200 OK")
            assert "Content-Security-Policy: default-src 'self'" in head
            assert "Content-Type: application/json" in head
            assert json.loads(body) | {"version": ""} == {"status": "ok", "sessions": 0, "capacity": 24, "version": ""}
            head, body = await get(url, "/metrics")
            assert "text/plain; version=0.0.4" in head
            assert "\nturnstream_sessions_opened_total 1.0\n" in body
            assert '\nturnstream_closed_total{reason="malformed"} 1.0\n' in body
            assert "\nturnstream_audio_seconds_total 1.0\n" in body
            for path in ("/../pyproject.toml", "/server.py", "/%2e%2e/README.md"):
                assert (await get(url, path))[0].startswith("HTTP/1.1 404")
            assert (await get(url, "/v9"))[0].startswith("HTTP/1.1 404")

    asyncio.run(asyncio.wait_for(client(), 60))


def test_the_web_page_is_the_files_of_its_folder_and_no_others(diarizer: Diarizer, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "parts" / "app.js").write_text("1")
    (tmp_path / "secret.pem").write_text("key")
    page = server.load_page(tmp_path)
    assert set(page) == {"/", "/index.html", "/parts/app.js"}

    async def client() -> None:
        async with serving(diarizer, page=tmp_path) as (_, url):
            head, body = await get(url, "/")
            assert head.startswith("HTTP/1.1 200 OK")
            assert "Content-Type: text/html; charset=utf-8" in head
            assert "X-Content-Type-Options: nosniff" in head
            assert body == "<!doctype html>"
            assert "Content-Type: text/javascript" in (await get(url, "/parts/app.js"))[0]
            assert (await get(url, "/secret.pem"))[0].startswith("HTTP/1.1 404")

    asyncio.run(asyncio.wait_for(client(), 60))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "0.0.0.0"}, "listening on 0.0.0.0 lets others in: expected a token, got none"),
        ({"token": "short"}, "expected a token of 16 to 200 letters"),
        ({"tls_key": Path("key.pem")}, "expected a TLS certificate and its key, got only one of them"),
        ({"root": "x"}, "expected one of turnstream, pyannote, diart on /, got x"),
        ({"port": 70_000}, "expected a port of 0 to 65535, got 70000"),
        ({"max_sessions": 0}, "expected limits above 0"),
        ({"idle_s": float("nan")}, "expected limits above 0"),
        ({"origins": ("example.org",)}, "expected an origin such as https://example.org, got example.org"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_listens(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ServerError) as error:
        ServerConfig(**changes)
    assert str(error.value).startswith(says)


def test_who_may_listen_where() -> None:
    assert ServerConfig(host="::1").is_local
    assert ServerConfig(host="localhost").is_local
    assert not ServerConfig(host="0.0.0.0", token=TOKEN).is_local
    assert not ServerConfig(host="example.org", open_to_all=True).is_local


def test_a_port_that_is_taken_is_one_sentence(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            port = int(url.rsplit(":", 1)[1])
            with pytest.raises(ServerError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
                async with serving(diarizer, port=port):
                    pass

    asyncio.run(asyncio.wait_for(client(), 60))


def secure(url: str) -> str:
    return url.replace("ws:", "wss:").replace("127.0.0.1", "localhost")


def test_tls_from_files(diarizer: Diarizer, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "localhost")

    async def client() -> None:
        trusting = ssl.create_default_context(cafile=certificate)
        async with serving(diarizer, tls_certificate=certificate, tls_key=key) as (_, url):
            assert (await closed_with(secure(url), b"", ssl=trusting))[0] == 1000
            with pytest.raises(InvalidMessage):
                await connect(url)

    asyncio.run(asyncio.wait_for(client(), 60))
    with pytest.raises(ServerError, match=r"TLS from .*cert.pem and .*cert.pem failed: "):
        ServerConfig(tls_certificate=certificate, tls_key=certificate).tls()
    with pytest.raises(ServerError, match="No such file"):
        ServerConfig(tls_certificate=tmp_path / "none.pem", tls_key=key).tls()


def test_a_certificate_that_is_renewed_is_used_at_once_and_sessions_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(certificate_module, "LOOK_S", 0.02)
    certificate, key = make_certificate(tmp_path, "localhost")
    trusting = [ssl.create_default_context(cafile=certificate)]
    stop = '{"type":"stop"}'

    async def logged(text: str) -> None:
        while text not in caplog.text:
            await asyncio.sleep(0.01)

    async def client() -> None:
        silent: Any = SilentDiarizer()
        async with serving(silent, tls_certificate=certificate, tls_key=key) as (_, plain):
            url = secure(plain)
            async with connect(url, ssl=trusting[0]) as socket:
                await socket.send(encode(Start()))
                await socket.recv()
                make_certificate(tmp_path, "localhost")
                await logged("was read again")
                with pytest.raises(ssl.SSLCertVerificationError):
                    await connect(url, ssl=trusting[0])
                trusting.append(ssl.create_default_context(cafile=certificate))
                assert (await closed_with(url, stop, ssl=trusting[1]))[0] == 1000
                key.write_text("no key")
                await logged("the certificate stays as it was: TLS from ")
                assert (await closed_with(url, stop, ssl=trusting[1]))[0] == 1000
                await socket.send(stop)
                assert await hear_out(socket, Listener()) == 1000

    with caplog.at_level("INFO"):
        asyncio.run(asyncio.wait_for(client(), 60))


def test_plain_http_where_the_websocket_is_explains_itself(
    diarizer: Diarizer, caplog: pytest.LogCaptureFixture
) -> None:
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            for path in ("/v1", "/", "/compat/diart"):
                head, body = await get(url, path)
                assert head.startswith("HTTP/1.1 426 Upgrade Required")
                assert "\r\nUpgrade: websocket" in head
                assert body.startswith("this address speaks websocket, got plain HTTP: connect to it with ws://")
            with pytest.raises(InvalidStatus, match="403"):
                await connect(url, origin="https://evil.example")  # type: ignore[arg-type]
            with pytest.raises(InvalidStatus, match="404"):
                await connect(url + "/v9")
            with pytest.raises(InvalidStatus, match="400"):
                await connect(url, subprotocols=["turnstream.v9"])  # type: ignore[list-item]

    asyncio.run(asyncio.wait_for(client(), 60))
    refused = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert [line.partition(": ")[0] for line in refused] == [
        f"websocket of 127.0.0.1 refused with {status}" for status in (403, 404, 400)
    ]
    assert "pages of 'https://evil.example' may not connect to this server, called '127.0.0.1:" in refused[0]
