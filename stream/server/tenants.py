"""Who shares a server: tenants with a token each, and how many sessions they may have at once."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TurnstreamError
from ..files import read_at_most
from ..json_text import load_json

TOKEN_FORM = r"[A-Za-z0-9._~-]{16,200}"  # what may stand in a subprotocol; 16 characters cannot be guessed
NAME_FORM = r"[A-Za-z0-9._-]{1,64}"
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Tenant:
    """`sessions` at once on one server, None for as many as there is room for. Raises TurnstreamError."""

    name: str
    token: str
    sessions: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.token, str) or not re.fullmatch(TOKEN_FORM, self.token):
            raise TurnstreamError(
                "expected a token of 16 to 200 letters, digits and . _ ~ - for each tenant, got another"
            )
        if self.sessions is not None and (type(self.sessions) is not int or self.sessions < 1):
            raise TurnstreamError(f"expected 1 session or more for the tenant {self.name}, got {self.sessions}")


def find_tenant(tenants: Iterable[Tenant], tokens: Iterable[str | None]) -> Tenant | None:
    """Whose one of the tokens is; takes the same time for every wrong one."""
    given = [(token or "").encode(errors="replace") for token in tokens]
    equal = [t for t in tenants for token in given if hmac.compare_digest(token, t.token.encode())]
    return equal[0] if equal else None


def read_tenants(path: Path) -> tuple[Tenant, ...]:
    """The tenants of a file, JSON such as {"acme": {"token": "...", "sessions": 8}}. Raises TurnstreamError."""
    try:
        found = load_json(read_at_most(path, MOST_BYTES))
    except (OSError, ValueError) as error:
        raise TurnstreamError(
            f"cannot read the tenants in {path}: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not isinstance(found, dict) or not found:
        raise TurnstreamError(f"expected tenants by name in {path}, got none")
    tenants = tuple(_tenant(name, values, path) for name, values in found.items())
    if len({tenant.token for tenant in tenants}) < len(tenants):
        raise TurnstreamError(f"expected a token of its own for each tenant in {path}, got one twice")
    return tenants


def _tenant(name: str, values: Any, path: Path) -> Tenant:
    if not re.fullmatch(NAME_FORM, name):
        raise TurnstreamError(f"expected names of letters, digits and . _ - for tenants in {path}, got {name[:64]!r}")
    if not isinstance(values, dict) or not {"token"} <= set(values) <= {"token", "sessions"}:
        raise TurnstreamError(f"expected a token, and sessions or not, for the tenant {name} in {path}, got others")
    return Tenant(name, **values)
