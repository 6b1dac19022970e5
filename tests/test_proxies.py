"""Proxies that the environment names: never between a machine and itself, and named when they fail."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

import pytest

from turnstream.clients.remote.connection import ClientError, LostError, open_socket, proxy_for

WITHOUT_SOCKS = pytest.mark.skipif(find_spec("python_socks") is not None, reason="python-socks is installed")
FAR = "ws://turnstream.invalid:8765/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "ws", "wss", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "localhost", "LOCALHOST", "a.localhost"])
def test_this_machine_is_reached_without_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert proxy_for(f"ws://{host}:8765/v1") is None
    assert proxy_for(f"wss://{host}/v1") is None


def test_the_environment_chooses_the_proxy(monkeypatch: pytest.MonkeyPatch):
    assert proxy_for(FAR) is None
    monkeypatch.setenv("http_proxy", "http://plain.invalid:1")
    assert proxy_for(FAR) == "http://plain.invalid:1"
    assert proxy_for(FAR.replace("ws:", "wss:")) is None
    monkeypatch.setenv("https_proxy", "http://both.invalid:2")
    assert proxy_for(FAR) == proxy_for(FAR.replace("ws:", "wss:")) == "http://both.invalid:2"
    monkeypatch.setenv("no_proxy", "turnstream.invalid")
    assert proxy_for(FAR) is None


async def answering(answer: bytes) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "it refuses (HTTP 407)"),
        (b"hello\r\n", "it does not answer as a proxy does"),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch):
    async def ask() -> str:
        server = await answering(answer)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{port}")
        with pytest.raises(LostError) as error:
            await open_socket(FAR, None)
        server.close()
        assert f"cannot connect to {FAR} through the proxy http://127.0.0.1:{port}: {said}" == str(error.value)
        return str(error.value)

    assert "secret" not in asyncio.run(ask())


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        pytest.param("socks5h://127.0.0.1:1", "pip install 'python-socks[asyncio]'", marks=WITHOUT_SOCKS),
        ("gopher://127.0.0.1:1", "expected http://, https:// or socks5h://"),
        ("http://127.0.0.1:1", "Connection refused"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_sentence(proxy: str, said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ClientError) as error:
        asyncio.run(open_socket(FAR, None))
    assert f"through the proxy {proxy}: {said}" in str(error.value)
