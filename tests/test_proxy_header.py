"""PROXY headers: read alike however they are cut, believed from trusted proxies alone, sent by a real HAProxy."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_kit import serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.ports import free_port
from turnstream.protocol.messages import Error, Start, Started, decode_server, encode
from turnstream.server.config import ServerConfig, ServerError
from turnstream.server.proxy_header import BINARY, BINARY_BYTES, ProxyHeader, ProxyHeaderError, read_header

REST = b"GET / HTTP/1.1\r\n"
HAPROXY = """
defaults
    mode {mode}
    timeout connect 1s
    timeout client 30s
    timeout server 30s
frontend clients
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    option httpchk GET /health
    server a 127.0.0.1:{server} check inter 200ms {sends}
"""


def binary(command: int = 0x21, kind: int = 0x11, client: str = "203.0.113.5", more: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    address = socket.inet_pton(family, client)
    rest = address + address + struct.pack(">HH", 1000, 443) + more
    return BINARY + struct.pack(">BBH", command, kind, len(rest)) + rest


GOOD: dict[str, tuple[bytes, str | None]] = {
    "text 4": (b"PROXY TCP4 203.0.113.5 10.0.0.1 1000 443\r\n", "203.0.113.5"),
    "text 6": (b"PROXY TCP6 2001:db8::5 2001:db8::1 1000 443\r\n", "2001:db8::5"),
    "text unknown": (b"PROXY UNKNOWN\r\n", None),
    "text unknown with more": (b"PROXY UNKNOWN a b c d e\r\n", None),
    "binary 4": (binary(), "203.0.113.5"),
    "binary 6": (binary(kind=0x21, client="2001:db8::5"), "2001:db8::5"),
    "binary with more": (binary(more=b"\x04\0\x03abc"), "203.0.113.5"),
    "binary local": (binary(command=0x20), None),
    "binary unix": (binary(kind=0x31), None),
    "binary local without addresses": (BINARY + b"\x20\0\0\0", None),
}
BAD = {
    "none": (REST, "got none"),
    "half a word": (b"PROXI TCP4", "got none"),
    "too long": (b"PROXY " + b"a" * 200, "at most 107 bytes"),
    "a word for an address": (b"PROXY TCP4 localhost 10.0.0.1 1 2\r\n", "expected an address"),
    "another family": (b"PROXY TCP4 2001:db8::5 2001:db8::1 1 2\r\n", "expected an IPv4 address"),
    "no ports": (b"PROXY TCP4 203.0.113.5 10.0.0.1\r\n", "two addresses and two ports"),
    "of no version": (binary(command=0x11), "expected version 2"),
    "of no command": (binary(command=0x22), "expected version 2"),
    "short of addresses": (BINARY + b"\x21\x11\0\x08" + bytes(8), "expected 12 bytes of addresses, got 8"),
    "endless": (BINARY + b"\x21\x11\xff\xff", f"at most {BINARY_BYTES} bytes"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_complete_with_its_last_byte(name: str) -> None:
    header, client = GOOD[name]
    assert read_header(header + REST) == ProxyHeader(client, len(header))
    assert [read_header(header[:size]) for size in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_said(name: str) -> None:
    data, says = BAD[name]
    with pytest.raises(ProxyHeaderError, match=says.replace("bytes of addresses,", "bytes of addresses in .*,")):
        read_header(data)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: BINARY + b"\x21" + tail)))
def test_any_bytes_are_a_header_or_none(data: bytes) -> None:
    try:
        header = read_header(data)
    except ProxyHeaderError:
        return
    assert header is None or header.size <= len(data)


async def begin(url: str, source: str = "127.0.0.1") -> tuple[ClientConnection, Any]:
    """A session of a client at this address: its connection, and what it is told first."""
    connection = await connect(url + "/v1", local_addr=(source, 0))
    await connection.send(encode(Start()))
    return connection, decode_server(await connection.recv())[1]


@pytest.mark.parametrize("mode", ["tcp", "http"])
@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2"])
def test_haproxy_says_who_its_clients_are(mode: str, sends: str, tmp_path: Path) -> None:
    """One session for each address: the second one of the same client is refused, that of another is not."""
    if shutil.which("haproxy") is None:
        pytest.skip("no haproxy: apt install haproxy")
    diarizer: Any = SilentDiarizer()

    async def sessions() -> list[Any]:
        options: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ("127.0.0.1",)}
        async with serving(diarizer, max_sessions_per_address=1, **options) as (_, url):
            port, config = free_port(), tmp_path / "haproxy.cfg"
            config.write_text(HAPROXY.format(mode=mode, port=port, server=url.rsplit(":", 1)[1], sends=sends))
            with subprocess.Popen(["haproxy", "-db", "-f", config], stderr=subprocess.DEVNULL) as balancer:
                try:
                    while True:
                        with socket.socket() as asked:
                            if asked.connect_ex(("127.0.0.1", port)) == 0:
                                break
                        await asyncio.sleep(0.02)
                    await asyncio.sleep(0.5)  # two checks: they are answered, or the server would be down
                    began = [await begin(f"ws://127.0.0.1:{port}", f"127.0.0.{n}") for n in (5, 5, 6)]
                    for connection, _ in began:
                        await connection.close()
                finally:
                    balancer.terminate()
        return [message for _, message in began]

    first, again, other = asyncio.run(asyncio.wait_for(sessions(), 30))
    assert isinstance(first, Started)
    assert isinstance(again, Error)
    assert again.close == 4429
    assert isinstance(other, Started)


async def raw(url: str, header: bytes, source: str) -> bytes:
    """The answer to a request for /health behind this header."""
    port = int(url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        for byte in header:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def ask(header: bytes, source: str) -> bytes:
    diarizer: Any = SilentDiarizer()

    async def asking() -> bytes:
        async with serving(diarizer, proxy_protocol=True, trusted_proxies=("127.0.0.1",)) as (_, url):
            return await raw(url, header, source)

    return asyncio.run(asyncio.wait_for(asking(), 30))


def test_a_proxy_has_to_send_it_byte_by_byte_or_not(caplog: pytest.LogCaptureFixture) -> None:
    assert ask(GOOD["binary 4"][0], "127.0.0.1").startswith(b"HTTP/1.1 200")
    with caplog.at_level(logging.WARNING):
        assert ask(b"", "127.0.0.1") == b""
    assert caplog.messages == ["connection of the proxy 127.0.0.1 refused: expected a PROXY header, got none"]


@pytest.mark.parametrize("name", ["text 4", "binary 4"])
def test_nobody_else_can_send_it(name: str) -> None:
    """From elsewhere a connection is a client's, and this is no request."""
    assert ask(b"", "127.0.0.9").startswith(b"HTTP/1.1 200")
    assert b" 200 " not in ask(GOOD[name][0], "127.0.0.9")


def test_what_a_client_claims_in_its_request_counts_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    diarizer: Any = SilentDiarizer()

    async def session() -> None:
        async with serving(diarizer, proxy_protocol=True, trusted_proxies=("127.0.0.1",)) as (_, url):
            listening = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))
            listening.sendall(GOOD["text 4"][0])
            headers = {"X-Forwarded-For": "198.51.100.7"}
            async with connect(url + "/v1", sock=listening, additional_headers=headers) as connection:
                await connection.send(encode(Start()))
                await connection.recv()

    with caplog.at_level(logging.INFO):
        asyncio.run(asyncio.wait_for(session(), 30))
    assert any(message.endswith("of 203.0.113.5 begins") for message in caplog.messages)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "expected trusted proxies"),
        ({"tls_certificate": Path("c"), "tls_key": Path("k"), "trusted_proxies": ("::1",)}, "expected TLS to end"),
    ],
)
def test_options_that_do_not_go_together_are_said(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ServerError, match=says):
        ServerConfig(proxy_protocol=True, **options)
