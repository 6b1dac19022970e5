"""Plain HTTP on the port of the websocket: health, metrics and the web page; who may upgrade, and to what."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .config import ServerConfig

PATHS = {"/v1": "turnstream", "/compat/pyannote": "pyannote", "/compat/diart": "diart"}
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
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
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


def refuse_upgrade(request: Request, config: ServerConfig) -> Response | None:
    """The answer to a websocket that may not be opened here; None where it may."""
    if dialect_name(urlsplit(request.path).path, config) is None:
        return text_response(404, f"no websocket here: expected {', '.join(PATHS)}")
    origins = request.headers.get_all("Origin")
    if not config.admits_origin(origins[0] if origins else None, request.headers.get("Host")):
        return text_response(403, f"pages of {origins[0][:100]!r} may not connect to this server")
    return None


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
