"""TLS connections that never finish their handshake: how many there may be, and whom they hold up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from server_kit import closed_with, serving
from silent_diarizer import SilentDiarizer

from turnstream.server import listener


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *curve, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return {"tls_certificate": certificate, "tls_key": key}


def listener_of(monkeypatch: pytest.MonkeyPatch) -> list[listener.TlsListener]:
    made: list[listener.TlsListener] = []
    begin = listener.TlsListener.__init__
    monkeypatch.setattr(
        listener.TlsListener, "__init__", lambda self, *arguments: (made.append(self), begin(self, *arguments))[1]
    )
    return made


async def ends(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    return True


def test_handshakes_in_progress_are_bounded_and_keep_nobody_out(files: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listener, "MOST_SHAKING", 8)
    monkeypatch.setattr(listener, "SPEAKS_WITHIN_S", 0)
    made = listener_of(monkeypatch)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        trusting = ssl.create_default_context(cafile=files["tls_certificate"])
        async with serving(diarizer, handshake_s=60.0, **files) as (_, url):
            port = int(url.rsplit(":", 1)[1])
            bare = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            assert (await closed_with(url.replace("ws:", "wss:"), b"", ssl=trusting))[0] == 1000
            assert await asyncio.wait_for(ends(bare[0][0]), 5)
            assert len(made[0].shaking) == 7  # the newcomer took the place of one, and is through
            for _, writer in bare:
                writer.close()

    asyncio.run(asyncio.wait_for(client(), 30))


def test_those_who_are_through_or_gone_hold_no_place(files: Any, monkeypatch: pytest.MonkeyPatch):
    made = listener_of(monkeypatch)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        trusting = ssl.create_default_context(cafile=files["tls_certificate"])
        async with serving(diarizer, **files) as (_, url):
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
                writer.close()
                await writer.wait_closed()
            for _ in range(3):
                assert (await closed_with(url.replace("ws:", "wss:"), b"", ssl=trusting))[0] == 1000
            assert len(made[0].shaking) == 0

    asyncio.run(asyncio.wait_for(client(), 30))


def test_many_who_connect_while_the_loop_is_busy_wait_instead_of_being_dropped():
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer) as (_, url), contextlib.AsyncExitStack() as stack:
            for _ in range(200):  # the loop has no turn meanwhile
                stack.enter_context(socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=0.5))

    asyncio.run(asyncio.wait_for(client(), 30))
