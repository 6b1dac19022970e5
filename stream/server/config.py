"""The server's configuration, checked before anything listens; and who may connect."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import TurnstreamError
from .tenants import TOKEN_FORM, Tenant, find_tenant

ROOTS = ("turnstream", "pyannote", "diart")
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
ANYBODY = "anybody"  # the tenant of a server without tenants


class ServerError(TurnstreamError):
    """The server cannot run with this configuration."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Where to listen, who may connect, and every limit. Raises ServerError for values that contradict each other."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    tenants: tuple[Tenant, ...] = ()  # or a token for each of them
    open_to_all: bool = False  # listen beyond this machine without a token
    origins: tuple[str, ...] = ()  # of pages from elsewhere that may connect; `*` is any
    proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For is believed
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    people: Path | None = None  # the folder of known people; None: the user's own
    page: Path | None = None  # the folder of the web page; None: no page
    store: str | None = None  # where snapshots of sessions are kept; None: a session ends with its process
    snapshot_s: float = 30.0  # between two snapshots of a session
    root: str = "turnstream"  # what a websocket on / speaks
    max_sessions: int | None = None  # None: measured at the start
    max_sessions_per_address: int = 32
    max_message_bytes: int = 1 << 20
    max_values_per_s: int = 48_000 * 64  # samples times channels of one session, which are decoded and mixed down
    vanished_s: float = 5.0  # a session whose client is gone keeps its place for so long where others wait
    handshake_s: float = 10.0
    idle_s: float = 60.0
    session_s: float = 8 * 3600.0
    resume_s: float = 60.0
    slow_s: float = 15.0  # a message may wait this long for its client to read
    status_s: float = 3.0
    shutdown_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.is_local and not self.wants_token and not self.open_to_all:
            raise ServerError(f"listening on {self.host} lets others in: expected a token, got none")
        if self.token is not None and not re.fullmatch(TOKEN_FORM, self.token):
            raise ServerError(
                f"expected a token of 16 to 200 letters, digits and . _ ~ -, got {len(self.token)} others"
            )
        if self.token is not None and self.tenants:
            raise ServerError("expected one token or tenants with theirs, got both")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ServerError("expected a TLS certificate and its key, got only one of them")
        if self.root not in ROOTS:
            raise ServerError(f"expected one of {', '.join(ROOTS)} on /, got {self.root}")
        if not 0 <= self.port <= 65_535:
            raise ServerError(f"expected a port of 0 to 65535, got {self.port}")
        counts = (self.max_sessions, self.max_sessions_per_address, self.max_message_bytes)
        times = [self.handshake_s, self.idle_s, self.session_s, self.resume_s, self.slow_s, self.status_s]
        times.append(self.snapshot_s)
        if any(count is not None and count < 1 for count in counts) or any(not 0 < t < 1e7 for t in times):
            raise ServerError("expected limits above 0")
        for origin in self.origins:
            if origin != "*" and not (urlsplit(origin).scheme and urlsplit(origin).netloc):
                raise ServerError(f"expected an origin such as https://example.org, got {origin}")

        for proxy in self.proxies:
            if not _is_network(proxy):
                raise ServerError(f"expected the address or the network of a proxy, got {proxy}")

    def client_of(self, peer: str, forwarded: str) -> str:
        """Who is behind a connection of `peer`, by its X-Forwarded-For where the peer is to be believed.

        Each proxy appends whom it heard from: the last one whom nobody vouches for is the client.
        """
        client = peer
        for claimed in reversed([part.strip() for part in forwarded.split(",")]):
            if not self._is_proxy(client) or not _is_address(claimed):
                break
            client = claimed
        return client

    def _is_proxy(self, address: str) -> bool:
        if not self.proxies or not _is_address(address):
            return False
        found = ipaddress.ip_address(address)
        return any(found in ipaddress.ip_network(proxy, strict=False) for proxy in self.proxies)

    @property
    def keep_s(self) -> float:
        """How long a store keeps what nobody saves again: longer than sessions go without, and clients may wait."""
        return max(self.resume_s, self.idle_s) + 4 * self.snapshot_s

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        if not _is_address(self.host):
            return self.host == "localhost"
        return ipaddress.ip_address(self.host).is_loopback

    def tls(self) -> ssl.SSLContext | None:
        """TLS from the files, if any were named. Raises ServerError where they are no certificate and key."""
        if self.tls_certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_certificate, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or "not a certificate and its key"
            raise ServerError(f"TLS from {self.tls_certificate} and {self.tls_key} failed: {reason}") from None
        return context

    @property
    def wants_token(self) -> bool:
        """Whether nobody gets in without one."""
        return self.token is not None or bool(self.tenants)

    def tenant_of(self, *tokens: str | None) -> Tenant | None:
        """Whom one of these tokens lets in, None for nobody; takes the same time for every wrong one."""
        if not self.wants_token:
            return Tenant(ANYBODY, "~" * 16)
        own = (Tenant(ANYBODY, self.token),) if self.token is not None else self.tenants
        return find_tenant(own, tokens)

    def admits_origin(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of `origin` may connect: one of this server (`host` is how the page calls it) or a listed one.

        No origin is no browser. A page that called the server by a name that is not the server's is a stranger's.
        """
        if origin is None or "*" in self.origins or origin in self.origins:
            return True
        return self.admits_host(host or "") and urlsplit(origin).netloc == (host or "")

    def admits_host(self, host: str) -> bool:
        """Whether the server goes by this name, the `Host` of a request: a name of its machine, or any address.

        Without this, any page could reach a server without a token by a name of its own that leads here (DNS
        rebinding); with a token it gains nothing, and the server may stand behind a proxy of another name.
        """
        if self.wants_token or "*" in self.origins:
            return True
        name = urlsplit(f"//{host}").hostname or ""
        listed = [urlsplit(origin).hostname for origin in self.origins]
        return name in (*LOCAL_NAMES, self.host, *listed) or _is_address(name)


def _is_network(name: str) -> bool:
    try:
        ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False
    return True


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
