"""A client of benchmarks/soak.py: it sends a recording, is stopped by faults, comes back and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from turnstream.events import Final
from turnstream.protocol.messages import CloseCode, Error, ServerMessage, Start, Started, decode_server, encode
from turnstream.windows import SAMPLE_RATE_HZ

FAULT_SHARE, LEAVE_SHARE = 0.8, 0.03
FAULT_WITHIN_S = 2  # of audio
FAULTS = ("gone", "gone", "gone", "half a frame", "malformed", "flood", "replaced")  # those named more often come so
AGAIN_S = 0.3  # to the next try to connect
FLOOD = 3_000  # keep-alives, more than a connection may send in a moment


class TryAgainError(Exception):
    """There is no room, or no store, just now."""


@dataclass
class Client:
    """One session through all its connections."""

    audio: bytes
    chance: random.Random
    seq: int = 0
    started: Started | None = None
    final: Final | None = None
    faults: Counter[str] = field(default_factory=Counter)
    _deaf: bool = False

    async def run(self, url: str) -> bool:
        """True once the final result is there, False where the client left without it."""
        while self.final is None:
            if self.faults and self.chance.random() < LEAVE_SHARE:
                return False
            try:
                await self._connection(url)
            except ConnectionClosed:
                continue
            except (InvalidHandshake, OSError, EOFError, TryAgainError):  # its server is gone, or another has no room
                await asyncio.sleep(AGAIN_S)
        return True

    def has(self, recording: str, rttm: str) -> bool:
        """Whether the final result is this one, over all of the audio to the millisecond."""
        whole_s = len(self.audio) / 2 / SAMPLE_RATE_HZ
        final = self.final
        return final is not None and abs(final.duration_s - whole_s) < 1e-3 and final.to_rttm(recording) == rttm

    async def _connection(self, url: str) -> None:
        self._deaf = False
        start = Start(session=self.started.session, seq=self.seq) if self.started else Start()
        async with connect(url + "/v1", max_size=None, ping_timeout=None) as socket:
            await socket.send(encode(start))
            first = self._hear(await socket.recv())
            if isinstance(first, Error):
                assert first.close != CloseCode.UNKNOWN_SESSION, f"the session was lost: {first.message}"
                raise TryAgainError
            listening = asyncio.create_task(self._listen(socket))
            assert self.started
            at = 2 * self.started.position
            fault = self.chance.choice(FAULTS) if self.chance.random() < FAULT_SHARE else None
            last = min(len(self.audio), at + 2 * FAULT_WITHIN_S * SAMPLE_RATE_HZ) if fault else len(self.audio)
            until = self.chance.randrange(at, last + 1) if fault else last
            try:
                await self._send(socket, at, until)
                if fault:
                    self.faults[fault] += 1
                    await self._commit(fault, socket, url)
            finally:
                await listening

    async def _send(self, socket: ClientConnection, at: int, until: int) -> None:
        while at < until:
            size = self.chance.choice([999, 16_000, 100_001])
            await socket.send(self.audio[at : min(at + size, until)])
            at = min(at + size, until)
            await asyncio.sleep(self.chance.choice([0, 0, 0.01]))
        if until == len(self.audio):
            await socket.send('{"type":"stop"}')

    async def _commit(self, fault: str, socket: ClientConnection, url: str) -> None:
        """Do what ends the connection."""
        match fault:
            case "half a frame":
                socket.transport.write(b"\x82\xfe\x40\x00" + bytes(99))  # a frame of 16 KiB begins
                await asyncio.sleep(0)
            case "malformed":
                await socket.send('{"type":"start","version":"one"')
                return
            case "flood":
                socket.transport.write((b"\x81\x94" + bytes(4) + b'{"type":"KeepAlive"}') * FLOOD)
                return
            case "replaced":
                assert self.started
                self._deaf = True  # another server may go on under the numbers of this one
                with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError, EOFError):  # nobody takes it over
                    await self._replace(url, self.started.session)
        await asyncio.sleep(self.chance.choice([0, 0.2]))
        socket.transport.abort()

    async def _replace(self, url: str, session: str) -> None:
        async with connect(url + "/v1") as other:
            await other.send(encode(Start(session=session, seq=self.seq)))
            await other.recv()
            other.transport.abort()  # a close would say that all was read, `final` too

    async def _listen(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                self._hear(text)

    def _hear(self, text: str | bytes) -> ServerMessage:
        seq, message = decode_server(text)
        if isinstance(message, Final):
            self.final = message
        if self._deaf:
            return message
        if seq is not None:
            assert seq > self.seq, f"expected a number above {self.seq}, got {seq}"
            self.seq = seq
        if isinstance(message, Started):
            self.started = message
        return message
