"""A client for the server's tests that knows the protocol's page and nothing of the server's inside."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import soxr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from turnstream.diarizer import Diarizer
from turnstream.events import Event, Final, Revision, Turn
from turnstream.protocol.messages import ServerMessage, Start, Started, decode_server, encode
from turnstream.server.config import ServerConfig
from turnstream.server.server import Server

QUICK = ServerConfig(port=0, max_sessions=24, handshake_s=5.0, resume_s=5.0, status_s=0.2, shutdown_s=20.0)

UPGRADE = (
    "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
)


STOP = '{"type":"stop"}'


def run(client: Coroutine[Any, Any, None]) -> None:
    """What a client does, to its end."""
    asyncio.run(asyncio.wait_for(client, 60))


@contextlib.asynccontextmanager
async def serving(diarizer: Diarizer, **changes: Any) -> AsyncIterator[tuple[Server, str]]:
    """A server with quick limits but for `changes`, and its address."""
    server = Server(diarizer, replace(QUICK, **changes))
    async with server.listening() as port:
        yield server, f"ws://127.0.0.1:{port}"


@dataclass
class Listener:
    """What a client was told; `table` is its view of the turns, kept by the rules of the page."""

    messages: list[ServerMessage] = field(default_factory=list)
    seq: int = 0
    table: dict[str, Turn] = field(default_factory=dict)

    def hear(self, text: str | bytes) -> ServerMessage:
        seq, message = decode_server(text)
        if seq is not None:
            assert seq > self.seq, "a number came twice"
            self.seq = seq
        self.messages.append(message)
        follow(message, self.table)
        return message

    def last(self, kind: type[Any]) -> Any:
        return next(message for message in reversed(self.messages) if isinstance(message, kind))

    @property
    def final(self) -> Final:
        return self.last(Final)

    @property
    def started(self) -> Started:
        return self.last(Started)


def follow(message: ServerMessage, table: dict[str, Turn]) -> None:
    match message:
        case Turn(state="retracted"):
            table.pop(message.id, None)
        case Turn():
            table[message.id] = message
        case Revision():
            for number in message.turns:
                if number in table:
                    table[number] = replace(table[number], speaker=message.new)


async def hear_out(socket: ClientConnection, listener: Listener) -> int | None:
    """Listens until the connection is closed; its close code."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            listener.hear(await socket.recv())
    return socket.close_code


async def talk(url: str, audio: bytes, start: Start, chunk_bytes: int = 6_401, query: str = "") -> Listener:
    """A whole session over one connection."""
    listener = Listener()
    async with connect(url + "/v1" + query, max_size=None, ping_timeout=None) as socket:
        if not query:
            await socket.send(encode(start))
        hearing = asyncio.create_task(hear_out(socket, listener))
        for begin in range(0, len(audio), chunk_bytes):
            await socket.send(audio[begin : begin + chunk_bytes])
        await socket.send('{"type":"stop"}')
        assert await hearing == 1000
    return listener


async def closed_with(url: str, *frames: str | bytes, **options: Any) -> tuple[int | None, dict[str, Any]]:
    """The close code after these frames, and the last message that came."""
    last = "{}"
    async with connect(url, **options) as socket:
        with contextlib.suppress(ConnectionClosed):
            for frame in frames:
                await socket.send(frame)
            while True:
                last = str(await socket.recv())
    return socket.close_code, json.loads(last)


def pcm(samples: np.ndarray, encoding: str, rate_hz: int = 16_000, channels: int = 1) -> bytes:
    """Mono float samples at 16 kHz as a client would send them."""
    if rate_hz != 16_000:
        samples = soxr.resample(samples, 16_000, rate_hz)
    frames = np.repeat(np.clip(samples, -1, 0.9999)[:, None], channels, axis=1)
    if encoding == "pcm_f32le":
        return frames.astype("<f4").tobytes()
    bits = int(encoding[5:7])
    values = (frames * 2.0 ** (bits - 1)).astype("<i4" if bits > 16 else "<i2")
    if bits == 24:
        return values.reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return values.tobytes()


def file_run(diarizer: Diarizer, audio: bytes, start: Start) -> tuple[tuple[Turn, ...], dict[str, Turn]]:
    """The engine by itself on the same bytes: its final turns, and the table of a listener to its events."""
    session = diarizer.session(
        sample_rate_hz=start.sample_rate_hz,
        channels=start.channels,
        encoding=start.encoding,
        latency_s=start.latency_s,
    )
    events: list[Event] = [*session.feed(audio), *session.flush()]
    table: dict[str, Turn] = {}
    for event in events:
        follow(event, table)
    assert any(isinstance(event, Turn | Revision) for event in events)
    return session.close().turns, table


async def ask(url: str, request: str) -> tuple[int, str, str]:
    """The status, the head and the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head, body
