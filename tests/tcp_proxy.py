"""A TCP proxy that a test can cut, stall and take down: the network between a client and a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Proxy:
    """Forwards to `port`; `cut` drops every connection, while `down` new ones are dropped, while `stalled` all wait."""

    def __init__(self, port: int) -> None:
        self.server_port, self.port = port, 0
        self.down = False
        self.connections = 0
        self.forwarded_bytes = 0  # from the client to the server
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def stall(self, stalled: bool) -> None:
        if stalled:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        self.connections += 1
        if accepting := asyncio.current_task():
            self._tasks.add(accepting)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        self._writers |= {writer, far_writer}
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._forward(source, target, counted=source is reader))
            self._tasks.add(task)

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(4096):
                await self._flowing.wait()
                target.write(data)
                self.forwarded_bytes += len(data) if counted else 0
                await target.drain()
        target.transport.abort()
        self._writers.discard(target)

    async def close(self) -> None:
        """Nothing of it is left open: neither connections nor those that are just being made."""
        self.down = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server at `url` (ws://127.0.0.1:PORT)."""
    proxy = Proxy(int(url.rsplit(":", 1)[1]))
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    async with listener:
        proxy.port = listener.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            await proxy.close()
