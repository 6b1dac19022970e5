"""The server behind a real nginx and a real Caddy with the configurations of deploy/. The models are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import soundfile
from reverse_proxy import KINDS, NAME, NO_UPGRADE, Front, reverse_proxy
from server_kit import Listener, hear_out, serving
from silent_diarizer import SilentDiarizer
from tone_speakers import write_recording
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from turnstream.protocol.messages import Start, encode

TRUSTED = ("127.0.0.1",)
STOP = '{"type":"stop"}'
CLIENT = ("127.0.0.2", 0)  # not the proxy's address, so that the two can be told apart


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


def run(client: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(client, 60))


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def get(front: Front, path: str, *headers: str) -> tuple[int, str]:
    """Status and body over the proxy."""
    where: dict[str, Any] = {"ssl": front.trusting, "server_hostname": NAME}
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port, **where)
    lines = [f"GET {path} HTTP/1.1", f"Host: {NAME}:{front.port}", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


def page_socket(front: Front, **options: Any) -> connect:
    """A websocket as a page of the proxy's own address opens it."""
    here = {"host": "127.0.0.1", "port": front.port, "ssl": front.trusting, "proxy": None}
    return connect(front.url + "/v1", origin=front.origin, **here, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_and_its_session_work_through_the_proxy(
    diarizer: Any, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "index.html").write_text("<!doctype html>")
    audio, _ = soundfile.read(write_recording(tmp_path / "tones.wav", [(0.0, 19.3, 0)]), dtype="int16")

    async def client() -> None:
        async with serving(diarizer, trusted_proxies=TRUSTED, page=tmp_path) as (server, url):
            with reverse_proxy(kind, tmp_path, port_of(url)) as front:
                assert await get(front, "/") == (200, "<!doctype html>")
                assert (await get(front, "/health"))[0] == 200
                assert (await get(front, "/metrics"))[0] == 404
                listener = Listener()
                spoofed = {"X-Forwarded-For": "6.6.6.6"}
                async with page_socket(front, local_addr=CLIENT, additional_headers=spoofed) as socket:
                    await socket.send(encode(Start()))
                    listener.hear(await socket.recv())
                    (session,) = server.table.sessions.values()
                    assert session.address == CLIENT[0]
                    await socket.send(audio.tobytes())
                    await socket.send(STOP)
                    assert await hear_out(socket, listener) == 1000
                assert listener.final.duration_s == 20.0
                assert len(listener.final.turns) >= 1

    with caplog.at_level("INFO"):
        run(client())
    assert f"of {CLIENT[0]} begins" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_believed_is_refused_logged_and_told(
    diarizer: Any, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """A server without a token that knows nothing of its proxy: the reason and the remedy are said."""

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            port = port_of(url)
            with reverse_proxy(kind, tmp_path, port) as front:
                with pytest.raises(InvalidStatus, match="403"):
                    await page_socket(front, local_addr=CLIENT)
                assert f"websocket of 127.0.0.1 refused with 403: pages of '{front.origin}'" in caplog.text
                status, said = await get(front, "/v1")
                assert (status, "start it with --trusted-proxy" in said) == (403, True)
        async with serving(diarizer, origins=(front.origin,), port=port):
            with reverse_proxy(kind, tmp_path, port, listen=front.port) as front:
                assert (await get(front, "/v1", f"X-Page-Origin: {front.origin}"))[0] == 426
                assert (await get(front, "/v1", "X-Page-Origin: https://evil.example"))[0] == 403
                async with page_socket(front) as socket:
                    await socket.send(STOP)
                    assert await hear_out(socket, Listener()) == 1000

    with caplog.at_level("WARNING"):
        run(client())


def test_a_proxy_that_loses_the_upgrade_is_named(diarizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async def client() -> None:
        async with serving(diarizer, trusted_proxies=TRUSTED) as (_, url):
            with reverse_proxy("nginx", tmp_path, port_of(url), edits=NO_UPGRADE) as front:
                with pytest.raises(InvalidStatus) as error:
                    await page_socket(front)
                assert error.value.response.status_code == 426
                assert b"a proxy in front has to pass on Upgrade and Connection" in error.value.response.body
                status, said = await get(front, "/v1", f"X-Page-Origin: {front.origin}")
                assert (status, "speaks websocket, got plain HTTP" in said) == (426, True)

    with caplog.at_level("WARNING"):
        run(client())
    assert "refused with 426: its Upgrade header was lost" in caplog.text


def test_an_upgrade_loses_no_session(diarizer: Any, tmp_path: Path):
    """As docs/operating.md says: a second server, nginx reloaded, the first one stopped once it has no sessions."""

    async def client() -> None:
        async with serving(diarizer, trusted_proxies=TRUSTED) as (old, url):
            with reverse_proxy("nginx", tmp_path, port_of(url)) as front:
                async with page_socket(front) as before, serving(diarizer, trusted_proxies=TRUSTED) as (new, other):
                    await before.send(encode(Start()))
                    await before.recv()
                    front.lead_to(port_of(other))
                    async with page_socket(front) as after:
                        await after.send(encode(Start()))
                        await after.recv()
                        assert (old.table.running, new.table.running) == (1, 1)
                        await before.send(bytes(64_000))
                        await before.send(STOP)
                        listener = Listener()
                        assert await hear_out(before, listener) == 1000
                        assert listener.final.duration_s == 2.0
                        await after.send(STOP)
                        assert await hear_out(after, Listener()) == 1000

    run(client())
