"""One websocket: begins or resumes a session, moves audio in and messages out, and closes with a reason.

The session outlives it. Only I/O happens here; what takes time runs in the thread pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed

from ..protocol.messages import (
    VERSION,
    Assign,
    CloseCode,
    Error,
    Merge,
    Name,
    Start,
    Stop,
    Undo,
    start_of_query,
)
from ..wire import ProtocolError
from .admission import WRONG_TOKEN_S, Admission, Refused
from .allowance import Allowance
from .bounded_socket import SMALL_BYTES, SMALL_PER_S, Socket
from .closing import Closing
from .config import ServerConfig
from .dialects import Dialect, Heard
from .outgoing import Outgoing
from .sender import peer_of, sender_of
from .session import Moved, Replaced, ServerSession
from .sessions import SessionTable

MESSAGES_A_TURN = 16
MESSAGES_PER_S, MESSAGES_BURST = 1000, 2000  # audio at 20 times real time in packets of 20 ms; more waits in the sender
TEXT_UNIT = SMALL_BYTES  # characters of JSON that cost as much as a message
PROBE_S = 20.0  # without a frame for so long, the client is asked whether it is still there
PONG_S = 10.0
GOING_AWAY = 1001  # what browsers close with when a page is closed, left or reloaded
ENDINGS = {
    "stop": CloseCode.DONE,
    "shutdown": CloseCode.SHUTDOWN,
    "idle": CloseCode.TIMEOUT,
    "session_too_long": CloseCode.SESSION_TOO_LONG,
}


class Connection:
    """`run` is the whole life of one websocket; `begun` is called with it once it has a session."""

    def __init__(
        self,
        socket: Socket,
        dialect: Dialect,
        query: str,
        config: ServerConfig,
        sessions: SessionTable,
        begun: Callable[[object], None],
    ):
        self._socket, self._dialect, self._query = socket, dialect, query
        self._config, self._sessions, self._begun = config, sessions, begun
        self._session: ServerSession | None = None
        self.refused: str | None = None  # the error it was closed with
        self._closing, self._outgoing = Closing(socket, dialect), Outgoing(socket, dialect, config)
        self._allowance = Allowance(MESSAGES_PER_S, MESSAGES_BURST)
        self._admission = Admission(socket, self.address, config)
        self._dismissed: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()

    @property
    def address(self) -> str:
        """Of the client."""
        assert self._socket.request is not None
        return sender_of(peer_of(self._socket), self._socket.request.headers, self._config.networks).address

    def give_way(self) -> None:
        """Too many wait to begin: this one is turned away."""
        self._dismiss(Refused(CloseCode.OVER_CAPACITY, "too many connections wait to begin: try again later"))

    def cut_off(self) -> None:
        """Far too many do not go when they are told to."""
        self._socket.transport.abort()

    async def run(self) -> None:
        """Serves the client until either side ends it; never raises for what a client does."""
        try:
            await self._unless_dismissed()
        except ConnectionClosed:
            pass
        except Refused as refused:
            await self._refuse(refused.error)
        except ProtocolError as error:
            await self._refuse(Refused(CloseCode.MALFORMED, str(error), error.expected).error)
        except Moved:
            await self._closing.close(CloseCode.RESTART)
        except Replaced:
            await self._refuse(Refused(CloseCode.REPLACED, "the session went on with another connection").error)
        finally:
            await self._leave()

    def _dismiss(self, refused: Refused) -> None:
        if not self._dismissed.done():
            self._dismissed.set_result(refused)

    async def _unless_dismissed(self) -> None:
        """Serves the client until somebody turns it away."""
        serving = asyncio.create_task(self._serve())
        watching = [asyncio.create_task(watch()) for watch in (self._until_flooded, self._until_overfull)]
        ends: list[asyncio.Future[Any]] = [serving, self._dismissed]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = serving.done()
            serving.cancel()
            for watch in watching:
                watch.cancel()
            await asyncio.gather(serving, *watching, return_exceptions=True)
        if not ended:
            raise self._dismissed.result()
        serving.result()

    async def _until_flooded(self) -> None:
        await self._socket.flooded.wait()
        said = f"messages of {SMALL_BYTES} bytes or more, or at most {SMALL_PER_S} a second"
        self._dismiss(Refused(CloseCode.MALFORMED, f"expected {said}, got more", said))

    async def _until_overfull(self) -> None:
        await self._socket.overfull.wait()
        await asyncio.sleep(WRONG_TOKEN_S)  # a token that came first has been seen by then
        if not self._admission.admitted:
            self._dismiss(self._admission.refusal())
            self._socket.ignore()

    async def _serve(self) -> None:
        try:
            async with asyncio.timeout(self._config.handshake_s):
                first = await self._begin()
        except TimeoutError:
            raise Refused(CloseCode.TIMEOUT, f"expected start or audio within {self._config.handshake_s:g} s") from None
        assert self._session is not None
        self._begun(self)
        tasks = [
            asyncio.create_task(self._receive(self._session, first)),
            asyncio.create_task(self._outgoing.run(self._session, self)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._finish(self._session)

    async def _begin(self) -> bytes | Stop | None:
        """Opens or resumes the session; what the client said first, where that was not `start`."""
        start = self._dialect.start or start_of_query(self._query)
        await self._admission.check_handshake(last_chance=start is not None)
        first: bytes | Stop | None = None
        while start is None:
            heard = await self._hear(await self._socket.recv())
            if isinstance(heard, Start):
                start = heard
            elif isinstance(heard, bytes | Stop):
                start, first = Start(), heard
            elif heard is not None:
                raise ProtocolError("start before anything else", "name")
        await self._admission.check(start.token)
        if start.version != VERSION:
            wanted = f"version {VERSION}"
            raise Refused(CloseCode.UNKNOWN_VERSION, f"expected {wanted}, got {start.version}", wanted)
        await self._open(start)
        return first

    async def _open(self, start: Start) -> None:
        tenant = self._admission.tenant
        assert tenant is not None
        if start.session is None:
            self._session = await self._sessions.open(start, self.address, tenant, self._dialect.start is None)
            self._session.attach(self)
        else:
            session = await self._sessions.find(start.session, self.address, tenant)
            session.attach(self, start.seq, start.position, resumed=True)
            self._session = session

    async def _receive(self, session: ServerSession, heard: Heard) -> None:
        messages = 0
        while True:
            match heard:
                case bytes():
                    await session.put(self, heard)
                case Stop():
                    session.end("stop")
                case Name() | Merge() | Assign() | Undo():
                    session.request(heard)
                case Start():
                    raise ProtocolError("start once", "start")
            if (messages := messages + 1) % MESSAGES_A_TURN == 0:
                await asyncio.sleep(0)  # for the other connections: what has arrived already would be taken without
            heard = await self._hear(await self._frame(session))

    async def _hear(self, frame: str | bytes) -> Heard:
        """What the client said; where it says more than its allowance, a while later."""
        heard = self._dialect.hear(frame)
        units = 1 if isinstance(heard, bytes) else 1 + len(frame) / TEXT_UNIT
        if (wait_s := self._allowance.take(units)) > 0:
            await asyncio.sleep(wait_s)
        return heard

    async def _frame(self, session: ServerSession) -> str | bytes:
        """The next frame; ends the session of a client that is there but says nothing for too long."""
        silent_s, probe_s = 0.0, min(PROBE_S, self._config.idle_s)
        while True:
            try:
                async with asyncio.timeout(probe_s):
                    return await self._socket.recv()
            except TimeoutError:
                silent_s += probe_s
            await self._check_alive()
            if silent_s >= self._config.idle_s:
                session.end("idle")

    async def _check_alive(self) -> None:
        """A half-open connection is closed, so that its client can resume the session."""
        try:
            async with asyncio.timeout(PONG_S):
                await (await self._socket.ping())
        except TimeoutError:
            raise Refused(CloseCode.TIMEOUT, f"expected an answer to a ping within {PONG_S:g} s, got none") from None

    async def _finish(self, session: ServerSession) -> None:
        """`final` was sent: close, with the reason why the audio was over."""
        reason = session.ended or "stop"
        code = ENDINGS[reason]
        if reason in ("idle", "session_too_long"):
            limit_s = self._config.idle_s if reason == "idle" else self._config.session_s
            said = "nothing came" if reason == "idle" else "the session went on"
            await self._refuse(Refused(code, f"{said} for more than {limit_s:g} s").error)
        else:
            await self._closing.close(code)

    async def _refuse(self, error: Error) -> None:
        self.refused = error.code
        await self._closing.refuse(error)

    async def _leave(self) -> None:
        if self._session is None:
            return
        mine = self._session.owner is self
        close = self._socket.protocol.close_rcvd
        left = close is not None and close.code == GOING_AWAY  # a page that is reloaded may not have read what was sent
        self._session.detach(self, left=left)
        seen = self._session.finished and not self._session.journal and close is not None and not left
        resumable = self._dialect.start is None and not self._session.failed
        if mine and (seen or not resumable):
            await self._sessions.close(self._session)
