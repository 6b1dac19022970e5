"""Who may begin: the token, wherever it comes, is asked for before anything is held for a connection."""

from __future__ import annotations

import asyncio
import logging

from websockets.http11 import Request

from ..protocol.messages import SUBPROTOCOL, TOKEN_SUBPROTOCOL, CloseCode, Error
from ..wire import ProtocolError
from .bounded_socket import Socket
from .config import ServerConfig
from .tenants import Tenant

LOG = logging.getLogger(__name__)
WRONG_TOKEN_S = 0.5  # a guess takes this long


class Refused(Exception):
    """The connection is closed with `code`; the sentence goes to the client."""

    def __init__(self, code: CloseCode, message: str, expected: str | None = None):
        super().__init__(message)
        self.error = Error(code.name.lower(), message, expected, code)


class Admission:
    """Of one websocket, which may send little until `admitted`."""

    def __init__(self, socket: Socket, address: str, config: ServerConfig):
        self._socket, self._address, self._config = socket, address, config
        assert socket.request is not None
        self._offered = offered_tokens(socket.request)
        self.tenant: Tenant | None = None  # whose token was given
        self._admit_with(*self._offered)

    @property
    def admitted(self) -> bool:
        """Whether it has given a token, where there has to be one."""
        return self.tenant is not None

    async def check_handshake(self, last_chance: bool) -> None:
        """Refuses wrong tokens and, where it was the last chance to give one, none. Raises Refused."""
        if not self.admitted and (self._offered or last_chance):
            await self._refuse()

    async def check(self, token: str | None) -> None:
        """Refuses who has not given the token, now or with the handshake. Raises Refused."""
        self._admit_with(token)
        if not self.admitted:
            await self._refuse()

    def _admit_with(self, *tokens: str | None) -> None:
        if not self.admitted and (tenant := self._config.tenant_of(*tokens)):
            self.tenant = tenant
            self._socket.trust()

    def refusal(self) -> Refused:
        """What one without the token is told."""
        LOG.warning("wrong token, or none, from %s", self._address)
        return Refused(CloseCode.UNAUTHORIZED, "expected the server's token, got none or another one", "a token")

    async def _refuse(self) -> None:
        await asyncio.sleep(WRONG_TOKEN_S)
        raise self.refusal()


def offered_tokens(request: Request) -> list[str]:
    """What came as a token with the handshake: as a bearer's, and as subprotocols."""
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
    names = [name.strip() for name in offered]
    found = [name.removeprefix(TOKEN_SUBPROTOCOL) for name in names if name.startswith(TOKEN_SUBPROTOCOL)]
    kind, _, token = (request.headers.get("Authorization") or "").partition(" ")
    return [*found, token.strip()] if kind.lower() == "bearer" else found


def select_subprotocol(offered: list[str]) -> str | None:
    """The subprotocol to answer with. Raises ProtocolError where the client speaks other versions only."""
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    if others := [name for name in offered if name.startswith("turnstream.")]:
        raise ProtocolError(SUBPROTOCOL, others[0])
    return None
