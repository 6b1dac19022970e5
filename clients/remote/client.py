"""A client of the websocket server, for programs: audio goes in, events come out, it reconnects automatically.

    async with Client("ws://127.0.0.1:8765", Start(sample_rate_hz=48_000)) as client:
        await client.send(audio)  # bytes in the encoding of Start, cut anywhere; as often as there are any
        async for event in client:  # in another task: Started, Speaker, Turn, Revision, Activity, Status, Final
            ...
        final = await client.finish()  # the audio has ended: the final result

What the server may not have yet is kept (bounded) and sent again when a lost connection comes back. Whatever goes
wrong for good is a ClientError, raised by whichever call waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import NoReturn

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from turnstream.events import Final
from turnstream.protocol.messages import Assign, Merge, Name, Request, Start, Started, Undo, decode_server, encode
from turnstream.wire import ProtocolError

from .connection import ClientError, LostError, open_socket, websocket_url
from .exchange import PIECE_BYTES, Exchange
from .inbox import Event as Event

BUFFER_BYTES = 32 * 2**20  # 17 minutes of 16 kHz pcm_s16le; longer than a server waits for us
AHEAD_BYTES = 2**18  # unsent audio up to which `send` does not wait while connected
SILENT_S = 30.0  # a status comes every few seconds
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 5.0
MOST_OPENINGS = 3  # connections that are lost before the session has begun


class Client:
    """One session on a server, open while used as an asynchronous context manager.

    url: ws://, wss://, http://, https:// or just HOST:PORT; without a path, /v1.
    start: encoding, rate, channels and what is wanted; by default 16 kHz mono pcm_s16le.
    buffer_bytes: audio kept for the case that the connection is lost; `send` waits where it would be more.
    """

    def __init__(
        self, url: str, start: Start | None = None, *, token: str | None = None, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        self.url = websocket_url(url)
        self.start = start or Start()
        self.trouble: str | None = None  # why there is no connection just now
        self._token = token
        self._exchange = Exchange(self.url, self.start, buffer_bytes)
        self._error: ClientError | None = None
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def started(self) -> Started | None:
        """What the server said of the session, once it is open."""
        return self._exchange.started

    @property
    def final(self) -> Final | None:
        """The final result, once it is there."""
        return self._exchange.final

    async def __aenter__(self) -> Client:
        self._task = asyncio.create_task(self._run())
        await self._until(lambda: self.started is not None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def send(self, audio: bytes | bytearray | memoryview) -> None:
        """Audio of any length, cut anywhere; waits where the server is behind or the buffer is full."""
        data = memoryview(audio).cast("B")
        for first in range(0, len(data), PIECE_BYTES):
            await self._until(self._has_room)
            self._exchange.add(data[first : first + PIECE_BYTES])
            await self._notify()

    async def name(self, speaker: str, name: str | None, *, take: bool = False) -> None:
        """Say who a speaker is (None takes the name away); a Speaker event tells it. Raises TurnstreamError.

        Where another speaker has the name it is a CorrectionError, which says who: `merge` the two, or `take` the name.
        This and the three below wait until the server has done it.
        """
        encode(Name(speaker, name))
        self._exchange.check_speaker(speaker)
        await self._ask(Name(speaker, name, take))

    async def merge(self, speaker: str, into: str) -> None:
        """Say that two speakers are one person, `into`; events tell it. Raises CorrectionError where that cannot be."""
        await self._correct(Merge(speaker, into))

    async def assign(self, turn: str, speaker: str) -> str | None:
        """Say whose a turn is: a speaker's, or "new" for somebody not known so far; whose it is now.

        Raises CorrectionError where that cannot be.
        """
        return await self._correct(Assign(turn, speaker))

    async def undo(self) -> None:
        """Take back the last `merge` or `assign` that stands. Raises CorrectionError where there is none."""
        await self._correct(Undo())

    async def finish(self) -> Final:
        """The audio has ended: the final result, once everything was received and computed."""
        self._exchange.stop()
        await self._notify()
        await self._until(lambda: self.final is not None)
        assert self.final is not None
        return self.final

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Everything up to the Final; where very much waits to be read, only the newest of each thing."""
        while True:
            await self._until(lambda: len(self._exchange.inbox) > 0)
            for event in self.waiting():
                yield event
                if isinstance(event, Final):
                    return

    def waiting(self) -> list[Event]:
        """The events that have come and were not read yet; does not wait for any."""
        return [event for _ in range(len(self._exchange.inbox)) if (event := self._exchange.inbox.take())]

    async def _correct(self, request: Request) -> str | None:
        if not self._exchange.requests.is_answered:
            raise ClientError(f"{self.url} is a server that does not take corrections: update it")
        return await self._ask(request)

    async def _ask(self, request: Request) -> str | None:
        encode(request)
        requests = self._exchange.requests
        number = requests.add(request)
        await self._notify()
        if not requests.is_answered:
            return None
        await self._until(lambda: requests.has_answer(number))
        return requests.result(number)

    def _has_room(self) -> bool:
        is_behind = self.trouble is None and self._exchange.buffer.unsent > AHEAD_BYTES
        return not is_behind and not self._exchange.is_full

    async def _until(self, true: Callable[[], object]) -> None:
        """Wait; raises what ended the session, unless it is true already."""
        async with self._changed:
            await self._changed.wait_for(lambda: true() or self._error)
        if self._error and not true():
            raise self._error

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _run(self) -> None:
        """One connection after another, to the final result or to an error for good."""
        try:
            await self._stay_connected()
        except ClientError as error:
            self._error = ClientError(str(error))
        except ProtocolError as error:
            self._error = ClientError(f"{self.url} does not speak this protocol: {error}")
        finally:
            self._error = self._error or ClientError("the session is over")
            await self._notify()

    async def _stay_connected(self) -> None:
        deadline_s = retry_s = 0.0
        clock, openings = asyncio.get_running_loop().time, 0
        while self.final is None:
            opened = False
            try:
                socket = await open_socket(self.url, self._token)
                opened = True
                await self._converse(socket)
            except LostError as lost:
                if self.started is None:
                    openings += 1
                    if not opened or openings == MOST_OPENINGS:
                        raise
                    continue  # the server died in this moment: another one may be behind the address
                if self.trouble is None:
                    deadline_s, retry_s = clock() + self.started.limits.resume_s, FIRST_RETRY_S
                elif clock() > deadline_s:
                    resume_s = self.started.limits.resume_s
                    raise ClientError(f"the connection did not come back within {resume_s:g} s: {lost}") from None
                self.trouble = str(lost)
                await self._notify()
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)

    async def _converse(self, socket: ClientConnection) -> None:
        """Both directions until the final result has come. Raises LostError where the connection ends before."""
        self._exchange.greeted = False
        tasks = [asyncio.create_task(self._listen(socket)), asyncio.create_task(self._speak(socket))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=tasks.index):  # what the server said comes first
                task.result()
            await socket.close()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            socket.transport.abort()  # a polite close may wait for an answer that never comes

    async def _listen(self, socket: ClientConnection) -> None:
        while self.final is None:
            try:
                async with asyncio.timeout(SILENT_S):
                    seq, message = decode_server(await socket.recv())
            except TimeoutError:
                raise LostError(f"{self.url} does not answer") from None
            except ConnectionClosed as closed:
                self._say_lost(closed)
            self._exchange.hear(seq, message)
            if self._exchange.greeted:
                self.trouble = None
            await self._notify()

    async def _speak(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the listener says why
            await socket.send(encode(self._exchange.hello()))
            await self._until(lambda: self._exchange.greeted)
            await self._send_all(socket)
        await asyncio.Event().wait()

    async def _send_all(self, socket: ClientConnection) -> NoReturn:
        self._exchange.stop_again()
        while True:
            await self._until(lambda: self._exchange.is_due)
            if data := self._exchange.next():
                await socket.send(data)
                await self._notify()

    def _say_lost(self, closed: ConnectionClosed) -> NoReturn:
        reason = closed.rcvd.reason if closed.rcvd else ""
        raise LostError(f"{self.url} closed the connection" + (f": {reason}" if reason else "")) from None
