"""Who a request is from: what trusted proxies add to it counts, what its client claims does not."""

from __future__ import annotations

import pytest
from websockets.datastructures import Headers

from turnstream.server.config import ServerConfig, ServerError
from turnstream.server.sender import sender_of

CONFIG = ServerConfig(trusted_proxies=("127.0.0.1", "10.0.0.0/8", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("127.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.5"], "203.0.113.5"),
        ("127.0.0.1", ["6.6.6.6", "203.0.113.5"], "203.0.113.5"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.5, 10.1.2.3"], "203.0.113.5"),
        ("::ffff:127.0.0.1", ["::ffff:203.0.113.5"], "203.0.113.5"),
        ("2001:db8::1", ["2001:db9::5"], "2001:db9::5"),
        ("127.0.0.1", ["10.1.2.3, 10.1.2.4"], "10.1.2.3"),
        ("127.0.0.1", ["6.6.6.6, unknown, 10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["fe80::1%\x9b31m"], "fe80::1"),
        ("127.0.0.1", ["<script>"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [" , "], "127.0.0.1"),
        ("203.0.113.9", ["6.6.6.6"], "203.0.113.9"),
        ("unknown", ["6.6.6.6"], "unknown"),
    ],
)
def test_the_client_is_the_last_one_that_no_trusted_proxy_is(peer: str, forwarded: list[str], address: str):
    headers = Headers([("X-Forwarded-For", line) for line in forwarded])
    assert sender_of(peer, headers, CONFIG.networks).address == address


def test_without_trusted_proxies_only_the_socket_counts():
    headers = Headers([("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil.example"), ("Host", "localhost")])
    found = sender_of("127.0.0.1", headers, ServerConfig().networks)
    assert (found.address, found.host, found.is_proxied) == ("127.0.0.1", "localhost", False)


def test_the_name_is_the_one_that_the_proxy_was_called_by():
    headers = Headers([("X-Forwarded-For", "6.6.6.6"), ("Host", "127.0.0.1:8765")])
    assert sender_of("127.0.0.1", headers, CONFIG.networks).host == "127.0.0.1:8765"
    headers["X-Forwarded-Host"] = "talk.example.org"
    assert sender_of("127.0.0.1", headers, CONFIG.networks).host == "talk.example.org"
    assert sender_of("203.0.113.9", headers, CONFIG.networks).host == "127.0.0.1:8765"


@pytest.mark.parametrize(
    ("origin", "host", "is_proxied", "good"),
    [
        ("https://talk.example.org", "talk.example.org", True, True),
        ("https://talk.example.org", "talk.example.org:443", True, True),
        ("https://TALK.example.org", "talk.example.org", True, True),
        ("https://talk.example.org:8443", "talk.example.org:8443", True, True),
        ("https://talk.example.org:8443", "talk.example.org", True, False),
        ("https://evil.example", "talk.example.org", True, False),
        ("https://talk.example.org", "talk.example.org", False, False),  # a name that leads here (DNS rebinding)
        ("https://page.example:443", "127.0.0.1:8765", False, True),
        ("http://page.example", "127.0.0.1:8765", False, False),
        ("null", None, True, False),
    ],
)
def test_a_trusted_proxy_answers_for_the_name_not_for_the_page(
    origin: str, host: str | None, is_proxied: bool, good: bool
):
    config = ServerConfig(origins=("https://page.example/",), trusted_proxies=("127.0.0.1",))
    assert config.admits_origin(origin, host, is_proxied) is good


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.0/33", ""])
def test_what_is_no_address_of_a_proxy_is_said(text: str):
    with pytest.raises(ServerError, match=r"expected trusted proxies such as 127.0.0.1 or 10.0.0.0/8, got "):
        ServerConfig(trusted_proxies=(text,))
