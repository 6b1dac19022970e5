"""One websocket as the server accepts it: bounded before it has asked for anything, and in how often it may speak.

asyncio and websockets read and parse what has arrived in one go: a client of many tiny frames would hold the event loop
for seconds. So little is read at a time, and tiny frames, which no audio needs, are counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from .allowance import Allowance
from .handshakes import Handshakes
from .lobby import Lobby
from .proxy_header import ProxyHeaderError, read_header

LOG = logging.getLogger(__name__)
UNPROVEN_BYTES = 1 << 15  # of one that has not given the token; a `start` with 100 long names fits
READ_BYTES = 1 << 12  # of a socket at a time ...
READ_MORE_BYTES = 1 << 14  # ... and of one that sends long frames
SMALL_BYTES = 160  # less than 10 ms of telephone audio
SMALL_PER_S, SMALL_BURST = 200, 2000  # frames: names, keep-alives, pings


class Socket(ServerConnection):
    """Waits in the lobby until it is a websocket; what asks for anything else stays there until it is closed.

    `flooded` is set once it sends too many tiny frames, `overfull` once it has sent much and nobody trusts it.
    `is_proxy` says of an address whether a PROXY header has to come first from there; `client` is whom that names.
    """

    def __init__(
        self,
        lobby: Lobby,
        handshakes: Handshakes | None,
        is_proxy: Callable[[str], bool],
        *arguments: Any,
        **options: Any,
    ):
        super().__init__(*arguments, **options)
        self.client: str | None = None
        self._is_proxy, self._header = is_proxy, bytearray()
        self._awaits_header = False
        self.flooded, self.overfull = asyncio.Event(), asyncio.Event()
        self._trusted, self._unproven_bytes = False, 0
        self._lobby, self._handshakes = lobby, handshakes
        self._small = Allowance(SMALL_PER_S, SMALL_BURST)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio.Protocol's; where there is TLS, the connection comes again once it is encrypted."""
        if self._handshakes is not None and transport.get_extra_info("ssl_object") is None:
            self._handshakes.enter(cast(asyncio.Transport, transport), lambda encrypted: self)
            return
        super().connection_made(transport)
        self._read_at_most(READ_BYTES)
        address = transport.get_extra_info("peername")
        self._peer = str(address[0]) if address else "unknown"
        self._awaits_header = self._is_proxy(self._peer)
        self._lobby.enter(self, self._peer, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio.Protocol's."""
        self._lobby.leave(self)
        super().connection_lost(exc)

    def process_event(self, event: Event) -> None:
        """A frame has arrived; of a flood, nothing is taken any more but its end."""
        if isinstance(event, Frame):
            self._read_at_most(READ_MORE_BYTES if len(event.data) >= READ_BYTES else READ_BYTES)
        if isinstance(event, Frame) and event.opcode is not Opcode.CLOSE and self._is_flood(event):
            self.flooded.set()
        else:
            super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """As asyncio.Protocol's."""
        if self._awaits_header:
            data = self._after_header(data)
            if not data:
                return
        super().data_received(data)
        self._unproven_bytes += 0 if self._trusted else len(data)
        if self._unproven_bytes > UNPROVEN_BYTES and not self._trusted:
            self.transport.pause_reading()
            self.overfull.set()

    def trust(self) -> None:
        """It may send as much as it likes from now on."""
        self._trusted = True
        if self.overfull.is_set():
            self.transport.resume_reading()

    def ignore(self) -> None:
        """Takes nothing any more but its end."""
        self.flooded.set()
        self.trust()

    def _after_header(self, data: bytes) -> bytes:
        """What follows the PROXY header; nothing while that has not come, and of one that is none."""
        self._header += data
        try:
            header = read_header(bytes(self._header))
        except ProxyHeaderError as error:
            LOG.warning("connection of the proxy %s refused: %s", self._peer, error)
            self.transport.abort()
            return b""
        if header is None:
            return b""
        self._awaits_header = False
        if header.client:
            self.client = header.client
            self._lobby.leave(self)
            self._lobby.enter(self, header.client, self.transport.abort)
        return bytes(self._header[header.size :])

    def _read_at_most(self, size: int) -> None:
        if hasattr(self.transport, "max_size"):  # asyncio's own; there is no public name for it
            self.transport.max_size = size

    def _is_flood(self, frame: Frame) -> bool:
        too_many = len(frame.data) < SMALL_BYTES and self._small.take(1) > 0
        return self.flooded.is_set() or too_many
