"""Tenants: each has a token, a number of sessions, and no way to the sessions of the others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from server_kit import closed_with, serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.clients.remote.client import Client
from turnstream.errors import TurnstreamError
from turnstream.protocol.messages import Start, encode
from turnstream.server.config import ServerConfig, ServerError
from turnstream.server.tenants import Tenant, find_tenant, read_tenants

ACME, OTHER = Tenant("acme", "a" * 20, 2), Tenant("other", "b" * 20)


def test_each_tenant_has_so_many_sessions_and_no_others() -> None:
    diarizer: Any = SilentDiarizer()

    async def clients() -> None:
        async with (
            serving(diarizer, tenants=(ACME, OTHER)) as (_, url),
            Client(url, token=ACME.token) as one,
            Client(url, token=ACME.token),
        ):
            code, last = await closed_with(url, encode(Start(token=ACME.token)))
            assert (code, last["message"]) == (4429, "expected at most 2 sessions of acme, got one more")
            async with Client(url, token=OTHER.token):
                pass
            assert one.started
            code, _ = await closed_with(url, encode(Start(token=OTHER.token, session=one.started.session)))
            assert code == 4404
            assert (await closed_with(url, encode(Start(token="c" * 20))))[0] == 4401
            assert (await closed_with(url, encode(Start())))[0] == 4401
            assert one.trouble is None

    asyncio.run(asyncio.wait_for(clients(), 60))


def test_whose_a_session_is_goes_with_it(tmp_path: Path) -> None:
    diarizer: Any = SilentDiarizer()

    async def clients() -> None:
        options = {"tenants": (ACME, OTHER), "store": str(tmp_path)}
        async with serving(diarizer, **options) as (_, url), connect(url + "/v1") as socket:
            await socket.send(encode(Start(token=ACME.token)))
            session = json.loads(await socket.recv())["session"]
        async with serving(diarizer, **options) as (_, url):
            assert (await closed_with(url, encode(Start(token=OTHER.token, session=session))))[0] == 4404
            code, last = await closed_with(url, encode(Start(token=ACME.token, session=session)), '{"type":"stop"}')
            assert (code, last["type"]) == (1000, "final")

    asyncio.run(asyncio.wait_for(clients(), 60))


def test_tenants_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tenants.json"
    path.write_text(json.dumps({"acme": {"token": "a" * 20, "sessions": 2}, "other": {"token": "b" * 20}}))
    assert read_tenants(path) == (ACME, OTHER)
    assert find_tenant((ACME, OTHER), [None, "x", "b" * 20]) == OTHER
    assert find_tenant((ACME, OTHER), [None, "", "é"]) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot read the tenants"),
        ("[]", "expected tenants by name"),
        ("{}", "expected tenants by name"),
        ('{"a b":{"token":"aaaaaaaaaaaaaaaa"}}', "expected names of letters"),
        ('{"a":{"token":"short"}}', "expected a token of 16 to 200"),
        ('{"a":{"token":["aaaaaaaaaaaaaaaaaaaa"]}}', "expected a token of 16 to 200"),
        ('{"a":{}}', "expected a token, and sessions or not"),
        ('{"a":{"token":"aaaaaaaaaaaaaaaa","room":2}}', "expected a token, and sessions or not"),
        ('{"a":{"token":"aaaaaaaaaaaaaaaa","sessions":0}}', "expected 1 session or more"),
        ('{"a":{"token":"aaaaaaaaaaaaaaaa","sessions":true}}', "expected 1 session or more"),
        ('{"a":{"token":"aaaaaaaaaaaaaaaa"},"b":{"token":"aaaaaaaaaaaaaaaa"}}', "a token of its own"),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence_without_its_secrets(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "tenants.json"
    path.write_text(text)
    with pytest.raises(TurnstreamError, match=says) as told:
        read_tenants(path)
    assert "aaaa" not in str(told.value)


def test_tenants_let_others_in_as_a_token_does() -> None:
    assert ServerConfig(host="0.0.0.0", tenants=(ACME,)).tenant_of(ACME.token) == ACME
    with pytest.raises(ServerError, match="got both"):
        ServerConfig(token="c" * 20, tenants=(ACME,))
