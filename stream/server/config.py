"""The server's configuration, checked before anything listens; and who may connect."""

from __future__ import annotations

import functools
import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ..errors import TurnstreamError
from .sender import Network
from .tenants import TOKEN_FORM, Tenant, find_tenant

ROOTS = ("turnstream", "pyannote", "diart")
DEFAULT_PORTS = {"http": 80, "https": 443}
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
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks; what they say of their clients is believed
    proxy_protocol: bool = False  # they begin every connection with a PROXY header
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
        if self.proxy_protocol and not self.trusted_proxies:
            raise ServerError("expected trusted proxies for the PROXY protocol, got none")
        if self.proxy_protocol and self.tls_certificate is not None:
            raise ServerError("expected TLS to end at the proxy where it speaks the PROXY protocol, got a certificate")
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
            if origin != "*" and not _is_origin(origin):
                raise ServerError(f"expected an origin such as https://example.org, got {origin}")
        _ = self.networks

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

    @functools.cached_property
    def networks(self) -> tuple[Network, ...]:
        """The trusted proxies. Raises ServerError for what is no address and no network."""
        try:
            return tuple(ipaddress.ip_network(text, strict=False) for text in self.trusted_proxies)
        except ValueError:
            wrong = ", ".join(self.trusted_proxies)
            raise ServerError(f"expected trusted proxies such as 127.0.0.1 or 10.0.0.0/8, got {wrong}") from None

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

    def admits_origin(self, origin: str | None, host: str | None, is_proxied: bool = False) -> bool:
        """Whether a page of `origin` may connect: one of this server (`host` is how the page calls it) or a listed one.

        No origin is no browser. A page that called the server by a name that is not the server's is a stranger's.
        """
        if origin is None or "*" in self.origins:
            return True
        page = urlsplit(origin)
        if _place(page) in [_place(urlsplit(listed)) for listed in self.origins]:
            return True
        here = urlsplit(f"{page.scheme}://{host or ''}")
        return self.admits_host(host or "", is_proxied) and bool(page.netloc) and _place(page) == _place(here)

    def admits_host(self, host: str, is_proxied: bool = False) -> bool:
        """Whether the server goes by this name, the `Host` of a request: a name of its machine, or any address.

        Without this, any page could reach a server without a token by a name of its own that leads here (DNS
        rebinding). With a token it gains nothing; a trusted proxy decides itself which names lead here.
        """
        if self.wants_token or "*" in self.origins or is_proxied:
            return True
        name = urlsplit(f"//{host}").hostname or ""
        listed = [urlsplit(origin).hostname for origin in self.origins]
        return name in (*LOCAL_NAMES, self.host, *listed) or _is_address(name)


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and _place(parts)[1]) and parts.path in ("", "/") and not parts.query
    except ValueError:
        return False


def _place(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, whether the port is written or not."""
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
