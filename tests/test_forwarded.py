"""Who a client is, behind proxies that are believed and before ones that are not."""

from __future__ import annotations

import pytest

from turnstream.server.config import ServerConfig, ServerError

BEHIND = ServerConfig(proxies=("10.0.0.0/8", "127.0.0.1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.1.2.3", "203.0.113.7", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # a stranger says anything
        ("10.1.2.3", "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # and its own claim comes first
        ("127.0.0.1", "203.0.113.7, 10.9.9.9", "203.0.113.7"),  # two proxies
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.7, nonsense", "10.1.2.3"),
        ("unknown", "203.0.113.7", "unknown"),
        ("10.1.2.3", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_client_is_the_last_one_nobody_vouches_for(peer: str, forwarded: str, client: str) -> None:
    assert BEHIND.client_of(peer, forwarded) == client
    assert ServerConfig().client_of(peer, forwarded) == peer


def test_a_proxy_is_an_address_or_a_network() -> None:
    with pytest.raises(ServerError, match="the network of a proxy, got example"):
        ServerConfig(proxies=("example",))
