"""The messages of a session on their way to one client, which has to read them in time."""

from __future__ import annotations

import asyncio
import contextlib
import time

from ..events import Final
from ..protocol.messages import CloseCode
from .admission import Refused
from .bounded_socket import Socket
from .config import ServerConfig
from .dialects import Dialect
from .session import Moved, Replaced, ServerSession

MESSAGES_A_TURN = 16  # then the other connections have theirs


class Outgoing:
    """Of one websocket."""

    def __init__(self, socket: Socket, dialect: Dialect, config: ServerConfig):
        self._socket, self._dialect, self._config = socket, dialect, config

    async def run(self, session: ServerSession, owner: object) -> None:
        """Sends `owner` its messages, up to the final result. Raises Refused, Moved, or Replaced for another."""
        status_s = time.monotonic() + self._config.status_s
        sent = 0
        while session.owner is owner:
            entry = session.journal.take()
            if entry is not None:
                if time.monotonic() - entry.added_s > self._config.slow_s:
                    raise self._too_slow()
                seq, message = entry.seq, entry.message
                if isinstance(message, Final):  # it may be megabytes
                    texts = await session.intake.in_pool(self._dialect.say, message, seq)
                else:
                    texts = self._dialect.say(message, seq)
                await self._send_texts(texts)
                if (sent := sent + 1) % MESSAGES_A_TURN == 0:
                    await asyncio.sleep(0)  # after a resume there may be thousands
            elif session.moved:
                raise Moved
            elif session.failed:
                raise Refused(CloseCode.INTERNAL, "the server failed to process the audio")
            elif session.finished:
                return
            else:
                await self._something(session, status_s)
                if time.monotonic() >= status_s:
                    self._tell_status(session)
                    status_s = time.monotonic() + self._config.status_s
        raise Replaced

    async def _send_texts(self, texts: list[str]) -> None:
        try:
            async with asyncio.timeout(self._config.slow_s):
                for text in texts:
                    await self._socket.send(text)
        except TimeoutError:
            raise self._too_slow() from None

    def _too_slow(self) -> Refused:
        return Refused(CloseCode.TOO_SLOW, f"expected messages to be read within {self._config.slow_s:g} s")

    async def _something(self, session: ServerSession, until_s: float) -> None:
        session.changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                await session.changed.wait()

    def _tell_status(self, session: ServerSession) -> None:
        now_s = time.monotonic()
        if not session.finished:
            session.journal.add(session.status(), now_s)
            if max(now_s - session.begun_s, session.length_s) > self._config.session_s:
                session.end("session_too_long")
