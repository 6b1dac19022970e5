"""The end of a websocket: the reason first, then the close, by force where the client does not take part."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.exceptions import ConnectionClosed

from ..protocol.messages import CloseCode, Error
from .bounded_socket import Socket
from .dialects import Dialect, error_reason

LAST_WORDS_S = 3.0  # for an error message to leave
CLOSE_S = 5.0  # for a client to agree that it is over


class Closing:
    """Of one websocket."""

    def __init__(self, socket: Socket, dialect: Dialect):
        self._socket, self._dialect = socket, dialect

    async def refuse(self, error: Error) -> None:
        """Says why, as far as the client listens, and closes."""
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                if error.close != CloseCode.TOO_SLOW:
                    for text in self._dialect.say(error, None):
                        await self._socket.send(text)
        await self.close(error.close, error_reason(error))

    async def close(self, code: int, reason: str = "") -> None:
        """Closes the websocket, by force where the client does not read what was sent before."""
        rest = asyncio.create_task(self._read_out())
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code, reason)
        except TimeoutError:
            self._socket.transport.abort()
        await rest

    async def _read_out(self) -> None:
        """Takes what the client had sent before it knew of the end, or its answer would stay behind that."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._socket.recv()
