"""What RFC 6455 says a server must do, byte by byte, against a server with sessions; no library speaks for the client.

The whole of Autobahn's suite is a benchmark: python -m benchmarks.conformance.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from server_kit import serving
from silent_diarizer import SilentDiarizer

LIMIT_S = 30
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
UPGRADE = (
    b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of that key, as the RFC has it (section 1.3)
STOP = b'{"type":"stop"}'


def frame(opcode: int, data: bytes = b"", *, first: int = 0x80, mask: bytes = b"\1\2\3\4", size: bytes = b"") -> bytes:
    """A masked frame; `first`: the bits beside the opcode; `size`: the bytes of its length, if they are unusual."""
    usual = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
    size = size or usual
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
    return bytes([first | opcode, 0x80 | size[0]]) + size[1:] + mask + masked


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


@dataclass
class Heard:
    """What the server sent: frames until it closed, the code of its close."""

    head: str = ""
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    code: int | None = None

    async def hear(self, reader: asyncio.StreamReader) -> None:
        while not self.of(CLOSE):
            self.frames.append(await read_frame(reader))
        self.code = int.from_bytes(self.of(CLOSE)[0][:2], "big")

    def of(self, opcode: int) -> list[bytes]:
        return [data for kind, data in self.frames if kind == opcode]


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    assert first & 0xF0 == 0x80, "a server that does not fragment sends whole frames, without reserved bits"
    assert size < 0x80, "a server must not mask"
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    return first & 15, await reader.readexactly(size)


def said_to(*pieces: bytes, opening: Sequence[bytes] = (UPGRADE,), pause_s: float = 0.0, **limits: Any) -> Heard:
    """The pieces are sent after the handshake; what comes until the server's close, and the end of the connection."""
    diarizer: Any = SilentDiarizer()

    async def client() -> Heard:
        heard = Heard()
        async with serving(diarizer, **limits) as (_, url):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
            with contextlib.closing(writer):
                for piece in opening:
                    writer.write(piece)
                    await asyncio.sleep(0)
                heard.head = (await reader.readuntil(b"\r\n\r\n")).decode()
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(pause_s)
                if heard.head.startswith("HTTP/1.1 101"):
                    await heard.hear(reader)
                writer.write(closing(1000))
                await reader.read()
        return heard

    return asyncio.run(asyncio.wait_for(client(), LIMIT_S))


VIOLATIONS = {
    "no mask": b"\x82\x01a",
    "reserved bit 1": frame(BINARY, b"ab", first=0xC0),
    "reserved bit 3": frame(BINARY, b"ab", first=0x90),
    "reserved opcode": frame(3, b"ab"),
    "reserved control opcode": frame(11),
    "ping in two frames": frame(PING, b"a", first=0),
    "ping of 126 bytes": frame(PING, bytes(126)),
    "continuation of nothing": frame(0, b"ab"),
    "message inside a message": frame(TEXT, b"{", first=0) + frame(BINARY, b"ab"),
    "close of one byte": frame(CLOSE, b"\3"),
    "close with a code for nobody": closing(1005),
    "close with a code below all": closing(999),
    "close with a code of TLS": closing(1015),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_is_no_frame_ends_the_connection_with_1002(name: str):
    assert said_to(VIOLATIONS[name]).code == 1002


@pytest.mark.parametrize(
    "frames",
    [
        frame(TEXT, b'{"type":"\xc3\x28"}'),
        frame(TEXT, b'{"type":"\xed\xa0\x80"}'),
        frame(TEXT, b'{"type":"\xc3', first=0) + frame(0, b'\x28"}'),
        closing(1000, b"\xff"),
    ],
)
def test_text_that_is_no_utf8_ends_the_connection_with_1007(frames: bytes):
    assert said_to(frames).code == 1007


@pytest.mark.parametrize(
    "frames",
    [
        frame(BINARY, bytes(1001)),
        frame(BINARY, bytes(600), first=0) + frame(0, bytes(600)),
        frame(BINARY, size=b"\x7f" + b"\xff" * 8),
    ],
)
def test_what_is_too_long_ends_the_connection_with_1009(frames: bytes):
    assert said_to(frames, max_message_bytes=1000).code == 1009


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
def test_a_close_is_answered_with_its_code(code: int):
    assert said_to(closing(code, "adieu, à bientôt".encode())).code == code


def test_a_close_without_a_code_is_answered_without_one():
    heard = said_to(frame(CLOSE))
    assert heard.frames[-1] == (CLOSE, b"")


@pytest.mark.parametrize("pause_s", [0.0, 0.001])
def test_control_frames_between_fragments_are_answered_and_the_message_is_whole(pause_s: float):
    audio = bytes(range(256)) * 25  # 0.2 s
    pieces = [
        frame(BINARY, audio[:100], first=0),
        frame(PING, b"are you there?"),
        frame(0, b"", first=0),
        frame(PONG, b"nobody asked"),
        frame(0, audio[100:]),
        frame(TEXT, STOP[:5], first=0),
        frame(PING, b""),
        frame(0, STOP[5:]),
    ]
    heard = said_to(*pieces, pause_s=pause_s)
    final = json.loads(heard.of(TEXT)[-1])
    assert (final["type"], final["duration"], heard.code) == ("final", 0.2, 1000)
    assert heard.of(PONG) == [b"are you there?", b""]


def test_bytes_that_come_one_by_one_or_with_the_handshake_are_taken():
    said = UPGRADE + frame(TEXT, '{"type":"x","é":1}'.encode()) + frame(BINARY, bytes(3200)) + frame(TEXT, STOP)
    whole = said_to(opening=[said])
    cut = said_to(opening=[said[place : place + 1] for place in range(len(said))])
    for heard in (whole, cut):
        assert f"Sec-WebSocket-Accept: {ACCEPT}\r\n" in heard.head
        assert "Sec-WebSocket-Extensions" not in heard.head
        assert json.loads(heard.of(TEXT)[-1])["duration"] == 0.1
        assert heard.code == 1000


def test_every_mask_is_undone():
    masks = (bytes(4), b"\xff" * 4, b"\0\1\0\1")
    pieces = [frame(TEXT, b'{"type":"KeepAlive"}', mask=mask) for mask in masks]
    assert said_to(*pieces, frame(TEXT, STOP, mask=b"\xa5\x5a\0\xff")).code == 1000


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ((b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400, ""),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"dG9vIHNob3J0"), 400, ""),
        ((b"Version: 13", b"Version: 8"), 426, "Sec-WebSocket-Version: 13\r\n"),
        ((b"keep-alive, Upgrade", b"close"), 426, "Upgrade: websocket\r\n"),
        ((b"GET /v1", b"POST /v1"), 405, "Allow: GET, HEAD\r\n"),
        ((b"HTTP/1.1", b"HTTP/1.0"), 505, ""),
    ],
)
def test_a_handshake_that_is_none_is_refused(change: tuple[bytes, bytes], status: int, says: str):
    head = said_to(opening=[UPGRADE.replace(*change)]).head
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert says in head
