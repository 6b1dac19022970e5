"""Where a request comes from: what the proxies that the operator trusts say of it, else what the socket says."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers

FORWARDED_FOR, FORWARDED_HOST = "X-Forwarded-For", "X-Forwarded-Host"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Sender:
    """The client's address, the name by which it called the server (None: none), whether a trusted proxy says so."""

    address: str
    host: str | None
    is_proxied: bool = False


def peer_of(connection: ServerConnection) -> str:
    """The address at the other end of the socket, or that for which a PROXY header says it speaks."""
    if client := getattr(connection, "client", None):
        return str(client)
    address = connection.remote_address
    return str(address[0]) if address else "unknown"


def sender_of(peer: str, headers: Headers, trusted: Iterable[Network]) -> Sender:
    """Who sent a request that came over a socket from `peer`.

    The client is the last address of X-Forwarded-For that is no trusted proxy itself: those before it are what the
    client claims. A request without that header was not forwarded, even where it comes from a proxy's machine.
    """
    trusted = tuple(trusted)
    hops = listed(headers, FORWARDED_FOR)
    if not (hops and _is_in(_address(peer), trusted)):
        return Sender(peer, headers.get("Host"))
    names = listed(headers, FORWARDED_HOST)
    return Sender(_client(hops, trusted) or peer, names[-1] if names else headers.get("Host"), is_proxied=True)


def is_trusted(peer: str, trusted: Iterable[Network]) -> bool:
    """Whether the address is that of a trusted proxy."""
    return _is_in(_address(peer), trusted)


def _client(hops: Sequence[str], trusted: Sequence[Network]) -> str | None:
    known = None
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            return known
        known = str(address)
        if not _is_in(address, trusted):
            return known
    return known


def listed(headers: Headers, name: str) -> list[str]:
    """The items of a header that may come in several lines, each of several items."""
    return [item.strip() for line in headers.get_all(name) for item in line.split(",") if item.strip()]


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # a scope may be any text
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)
