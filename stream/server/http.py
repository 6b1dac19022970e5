"""Plain HTTP on the port of the websocket: health, metrics and the web page; who may upgrade, and to what."""

from __future__ import annotations

import http
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .config import ServerConfig
from .sender import FORWARDED_HOST, Sender, listed

LOG = logging.getLogger(__name__)
PATHS = {"/v1": "turnstream", "/compat/pyannote": "pyannote", "/compat/diart": "diart"}
ONCE = ("Host", "Upgrade", "Origin", "Authorization", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
PAGE_ORIGIN = "X-Page-Origin"
REMEDY = "start it with --trusted-proxy behind a proxy, or"
WEBSOCKET_VERSION = "13"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; media-src blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

Page = Mapping[str, Response]


def dialect_name(path: str, config: ServerConfig) -> str | None:
    """What a websocket on this path speaks; None where there is none."""
    return config.root if path == "/" else PATHS.get(path)


def wants_upgrade(request: Request) -> bool:
    """Whether this asks for a websocket."""
    return "websocket" in request.headers.get("Upgrade", "").lower()


def explain(request: Request, sender: Sender, config: ServerConfig) -> Response:
    """The answer to plain HTTP where a websocket is: why none was opened, as far as that can be told.

    Browsers do not tell a page why; it asks here, and says where it comes from, which they leave out of such a request.
    """
    origins = request.headers.get_all(PAGE_ORIGIN)
    if wrong := refuse_origin(origins[-1] if origins else None, sender, config):
        return wrong
    said = "this address speaks websocket, got plain HTTP: connect to it with ws:// or wss:// (docs/protocol.md)"
    if request.headers.get_all("Sec-WebSocket-Key"):
        LOG.warning("websocket of %s refused with 426: its Upgrade header was lost", sender.address)
        said = "the websocket's Upgrade header was lost: a proxy in front has to pass on Upgrade and Connection"
    answer = text_response(426, said)
    answer.headers["Upgrade"] = "websocket"
    return answer


def malformed(request: Request) -> Response | None:
    """The answer to what is no request that can be understood; None where it can."""
    method = getattr(request, "method", "GET")  # older versions of websockets refuse the others themselves
    if method not in ("GET", "HEAD"):
        answer = text_response(405, f"expected GET or HEAD, got {method[:20]}")
        answer.headers["Allow"] = "GET, HEAD"
        return answer
    for name in ONCE:
        if (count := len(request.headers.get_all(name))) > 1:
            return text_response(400, f"expected one {name} header, got {count}")
    for name, address in _addresses(request):
        try:
            _ = urlsplit(address).port
        except ValueError:
            return text_response(400, f"expected an address in {name}, got {address[:100]!r}")
    return None


def _addresses(request: Request) -> list[tuple[str, str]]:
    headers = request.headers
    return [
        ("the request", request.path),
        ("Host", f"//{headers.get('Host', '')}"),
        ("Origin", headers.get("Origin", "")),
        *((FORWARDED_HOST, f"//{name}") for name in listed(headers, FORWARDED_HOST)),
        *((PAGE_ORIGIN, origin) for origin in headers.get_all(PAGE_ORIGIN)),
    ]


def refuse_host(sender: Sender, config: ServerConfig) -> Response | None:
    """The answer to a page that came here by a name of its own that leads to this machine; None where it did not."""
    if sender.host is None or config.admits_host(sender.host, sender.is_proxied):
        return None
    host = sender.host[:100]
    return text_response(403, f"this server does not go by the name {host!r}: {REMEDY} --origin with its address")


def without_body(answer: Response) -> Response:
    """The same answer to HEAD."""
    return Response(answer.status_code, answer.reason_phrase, answer.headers, b"")


def refuse_upgrade(request: Request, sender: Sender, config: ServerConfig) -> Response | None:
    """The answer to a websocket that may not be opened here; None where it may."""
    version = request.headers.get("Sec-WebSocket-Version", WEBSOCKET_VERSION)
    if version != WEBSOCKET_VERSION:
        answer = text_response(426, f"expected version {WEBSOCKET_VERSION} of websockets, got {version[:20]!r}")
        answer.headers["Sec-WebSocket-Version"] = WEBSOCKET_VERSION  # as RFC 6455 wants it (section 4.2.2)
        return answer
    if dialect_name(urlsplit(request.path).path, config) is None:
        return text_response(404, f"no websocket here: expected {', '.join(PATHS)}")
    return refuse_origin(request.headers.get("Origin"), sender, config)


def refuse_origin(origin: str | None, sender: Sender, config: ServerConfig) -> Response | None:
    """The answer to a page that may not connect; None where it may, and where no page asks."""
    if config.admits_origin(origin, sender.host, sender.is_proxied):
        return None
    said = f"pages of {(origin or '')[:100]!r} may not connect to this server, called {(sender.host or '')[:100]!r}"
    return text_response(403, f"{said}: {REMEDY} --origin with the page's address")


def load_page(folder: Path | None) -> Page:
    """The files of the web page by their path in the address; read once, so that no path leads anywhere else."""
    if folder is None:
        return {}
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in CONTENT_TYPES:
            found["/" + file.relative_to(folder).as_posix()] = response(
                200, file.read_bytes(), CONTENT_TYPES[file.suffix]
            )
    if "/index.html" in found:
        found["/"] = found["/index.html"]
    return found


def json_response(status: int, values: Mapping[str, object]) -> Response:
    """A JSON object."""
    return response(status, json.dumps(values).encode(), "application/json")


def text_response(status: int, text: str, kind: str = "text/plain; charset=utf-8") -> Response:
    """A line or more of text."""
    return response(status, text.encode() + b"\n", kind)


def response(status: int, body: bytes, kind: str) -> Response:
    """An answer that no browser takes for anything else."""
    size = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    return Response(status, http.HTTPStatus(status).phrase, Headers({**size, **SECURITY}), body)
