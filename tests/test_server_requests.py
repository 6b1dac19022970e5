"""Plain HTTP requests get the status that they deserve. The models are stand-ins."""

from __future__ import annotations

from typing import Any

import pytest
from server_kit import UPGRADE, ask, run, serving
from silent_diarizer import SilentDiarizer

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


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


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
