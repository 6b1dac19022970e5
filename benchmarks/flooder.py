"""The floods of benchmarks/floods.py: what a hostile client does, with as little work of its own as it can.

    python benchmarks/flooder.py NAME PORT SECONDS [SHARE]

Plain sockets, frames made once, nothing but the standard library: on a machine of few cores, what the flood itself
computes would be taken from the server. At the end, the processor seconds it took are printed. `spin` is no flood: it
touches no socket and computes for SHARE of the time, which tells what so much work beside the server does.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache

STRANGER = "127.0.0.2"  # the address of floods; not that of live sessions, and there on Linux only
BURST = 60_000  # tiny frames of one connection; most of them come after the server has closed it
PAUSE_S = 0.2  # between two bursts
SILENT = 300  # connections that say nothing, held open at once for ...
HELD_S = 1.0
SLICE_S = 0.02  # of which `spin` computes its share
REQUEST = (
    b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: an end without a farewell

Flood = Callable[[int, float], None]  # the port, and until when


def frame(opcode: int, data: bytes) -> bytes:
    """As a client sends it, with a mask of zeros."""
    size = len(data)
    length = (
        bytes([0x80 | size])
        if size < 126
        else struct.pack("!BH" if size < 1 << 16 else "!BQ", 0x80 | (126 if size < 1 << 16 else 127), size)
    )
    return bytes([0x80 | opcode]) + length + bytes(4) + data


@contextlib.contextmanager
def connected(port: int, *first: bytes) -> Iterator[socket.socket]:
    """A connection that has sent `first`; aborted at the end."""
    with socket.socket() as one:
        one.bind((STRANGER, 0))
        one.settimeout(5.0)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        one.connect(("127.0.0.1", port))
        for data in first:
            one.sendall(data)
        yield one


def read_out(one: socket.socket) -> None:
    """Everything until the server has closed it."""
    while one.recv(1 << 16):
        pass


def names(port: int, until_s: float) -> None:
    """A `start` with 100 names of people that nobody knows."""
    start = json.dumps({"type": "start", "speakers": [f"Nobody {number}" for number in range(100)]})
    with connected(port, REQUEST, frame(1, start.encode())) as one:
        read_out(one)


def tiny(data: bytes) -> Flood:
    """Frames of a session, as many as the socket takes."""
    burst = data * BURST

    def flood(port: int, until_s: float) -> None:
        with contextlib.suppress(OSError), connected(port, REQUEST, frame(1, b'{"type":"start"}'), burst) as one:
            read_out(one)
        time.sleep(PAUSE_S)

    return flood


def steady(start: bytes, data: bytes) -> Flood:
    """A session to which the same is sent as fast as it is taken."""

    def flood(port: int, until_s: float) -> None:
        with connected(port, REQUEST, frame(1, start)) as one:
            while time.monotonic() < until_s:
                one.sendall(data)

    return flood


@cache
def hello() -> bytes:
    """The first message of a client of TLS."""
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def handshakes(port: int, until_s: float) -> None:
    """One after another, each left when the server has answered: its signature is the dearest part."""
    with connected(port, hello()) as one:
        one.recv(1 << 16)


def requests(port: int, until_s: float) -> None:
    """Questions of HTTP, one after another."""
    with connected(port, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as one:
        read_out(one)


def held(first: Callable[[], bytes]) -> Flood:
    """Connections that say no more than `first`."""

    def flood(port: int, until_s: float) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(SILENT):
                stack.enter_context(connected(port, first()))
            time.sleep(HELD_S)

    return flood


WIDE = b'{"type":"start","sample_rate":48000,"channels":64}'  # as much as the server takes
NARROW = b'{"type":"start"}'
PADDED = frame(1, b'{"type":"KeepAlive"}'.ljust(160))  # no longer tiny
NOISE = frame(2, random.Random(0).randbytes(3200))  # 0.1 s of audio
OBJECTS = b'{"type":"x","a":[' + b"{}," * 21_000 + b"{}]}"  # nearly the longest text, and the slowest to read

FLOODS: dict[str, Flood] = {
    "names": names,
    "bytes": tiny(frame(2, b"x")),
    "keep-alives": tiny(frame(1, b'{"type":"KeepAlive"}')),
    "pings": tiny(frame(9, b"")),
    "padded": steady(NARROW, PADDED * 500),
    "json": steady(NARROW, frame(1, OBJECTS)),
    "crumbs": steady(WIDE, frame(2, bytes(160)) * 500),
    "wide": steady(WIDE, frame(2, bytes(1 << 20))),
    "fast": steady(NARROW, NOISE * 10),
    "requests": requests,
    "silent": held(lambda: REQUEST),
    "bare": held(bytes),
}
FLOODS_OF_TLS: dict[str, Flood] = {
    "bare": held(bytes),
    "half-hello": held(lambda: hello()[:100]),
    "hello": held(hello),
    "handshakes": handshakes,
}


def spin(share: float) -> None:
    """Computes for a share of the time."""
    begun_s = time.process_time()
    while time.process_time() - begun_s < share * SLICE_S:
        pass
    time.sleep((1 - share) * SLICE_S)


def flood_for(name: str, port: int, seconds: float, share: float = 0.0) -> float:
    """The flood again and again, whatever the server says to it; the processor seconds that it took."""
    until_s, begun_s = time.monotonic() + seconds, time.process_time()
    while time.monotonic() < until_s:
        if name == "spin":
            spin(share)
            continue
        try:
            (FLOODS | FLOODS_OF_TLS)[name](port, until_s)
        except OSError:
            time.sleep(0.01)  # a server that takes nothing just now would be asked in a busy loop
    return time.process_time() - begun_s


if __name__ == "__main__":
    print(flood_for(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *map(float, sys.argv[4:])))
