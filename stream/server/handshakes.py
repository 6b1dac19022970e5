"""TLS handshakes: a bounded number, begun in turns, so that the many of one address hold up nobody else.

A handshake costs as much as a hundred requests. So connections are accepted without TLS, which costs little, and wait
here until it is their turn: each address has one after another, whatever the order in which they came.
"""

from __future__ import annotations

import asyncio
import ssl
import traceback
from asyncio import sslproto
from collections import deque
from collections.abc import Callable

from .lobby import Lobby

READ_BYTES = 1 << 14  # decrypted at a time; asyncio's own 256 KiB are allocated, and zeroed, for each connection

Ready = Callable[[asyncio.Transport], asyncio.Protocol]  # the protocol that takes an encrypted connection over


class Entrant(asyncio.Protocol):
    """One connection before its handshake is over. `ready` is called with its encrypted transport."""

    def __init__(self, transport: asyncio.Transport, ready: Ready):
        self.transport, self._ready = transport, ready
        self._early: list[bytes] = []  # data that came with the last message of the handshake

    def data_received(self, data: bytes) -> None:
        """As asyncio.Protocol's."""
        self._early.append(data)

    async def shake_hands(self, context: ssl.SSLContext, timeout_s: float) -> None:
        """The handshake, and whoever is behind it goes on; nothing is said of one that fails."""
        loop, encrypted = asyncio.get_running_loop(), None
        try:
            encrypted = await loop.start_tls(
                self.transport, self, context, server_side=True, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:
            traceback.clear_frames(error.__traceback__)  # they hold the error, and 90 KiB until a collection
        if encrypted is None or encrypted.is_closing():
            self.transport.abort()
            return
        protocol = self._ready(encrypted)
        encrypted.set_protocol(protocol)
        protocol.connection_made(encrypted)
        if self._early:
            protocol.data_received(b"".join(self._early))


class Handshakes:
    """Of one listener. Beyond `most` in or before theirs, the longest waiting one of the greediest address goes."""

    def __init__(self, context: ssl.SSLContext, timeout_s: float, most: int):
        self._context, self._timeout_s = context, timeout_s
        self._present = Lobby(most)
        self._waiting: dict[str, deque[Entrant]] = {}  # by address, the next one first
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: asyncio.Task[None] | None = None
        sslproto.SSLProtocol.max_size = READ_BYTES  # there is no other way to say so

    def __len__(self) -> int:
        return len(self._present)

    def enter(self, transport: asyncio.Transport, ready: Ready) -> None:
        """A connection was accepted; it is not read from until its turn."""
        transport.pause_reading()
        entrant = Entrant(transport, ready)
        transport.set_protocol(entrant)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else "unknown"
        self._present.enter(entrant, address, transport.abort)
        self._waiting.setdefault(address, deque()).append(entrant)
        if self._beginning is None or self._beginning.done():
            self._beginning = asyncio.create_task(self._begin())

    def close(self) -> None:
        """Nobody who waits gets in any more."""
        for queue in self._waiting.values():
            for entrant in queue:
                entrant.transport.abort()
        self._waiting.clear()

    async def _begin(self) -> None:
        """One handshake at a time is begun, and everything else has its turn before the next one."""
        while self._waiting:
            address, queue = next(iter(self._waiting.items()))
            del self._waiting[address]
            entrant = queue.popleft()
            if queue:
                self._waiting[address] = queue  # behind the other addresses
            if not entrant.transport.is_closing():
                task = asyncio.create_task(self._shake(entrant))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                await asyncio.sleep(0)

    async def _shake(self, entrant: Entrant) -> None:
        try:
            await entrant.shake_hands(self._context, self._timeout_s)
        finally:
            self._present.leave(entrant)
