"""Tokens: who has none may not send much, and is told at once. The models are stand-ins."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from server_kit import STOP, Listener, closed_with, hear_out, run, serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.clients.access_token import read_token
from turnstream.errors import TurnstreamError
from turnstream.protocol.messages import Start, encode
from turnstream.server.admission import WRONG_TOKEN_S

TOKEN, WRONG = "a-long-secret.token", "a-wrong-secret.token"

UNPROVEN: dict[str, dict[str, Any]] = {
    "a wrong header": {"additional_headers": {"Authorization": f"Bearer {WRONG}"}},
    "a wrong subprotocol": {"subprotocols": ["turnstream.v1", f"token.{WRONG}"]},
    "none, and a query": {"path": "/v1?channels=1"},
    "none, and no start to come": {"path": "/compat/pyannote"},
}


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


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
