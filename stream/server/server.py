"""The websocket server: one process, many sessions, few model threads.

The event loop does only I/O. Audio goes from a connection to its session (session.py; all of them: sessions.py), whose
engine runs in a thread pool and asks the model threads (models/batcher.py); what comes of it goes through the session's
journal (journal.py) to whichever connection the session has now (connection.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from importlib import metadata
from typing import cast
from urllib.parse import urlsplit

from websockets.asyncio.server import Server as SocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ..diarizer import Diarizer
from ..protocol.messages import CloseCode, Model
from ..stores.store import open_store
from ..windows import HOP_SAMPLES, SAMPLE_RATE_HZ
from ..wire import ProtocolError
from .admission import select_subprotocol
from .bounded_socket import Socket
from .certificate import renew
from .closing import CLOSE_S
from .config import ServerConfig
from .connection import Connection
from .custody import Keeper
from .dialects import dialect_of
from .figures import figures, health, state
from .handshakes import Handshakes
from .http import (
    dialect_name,
    explain,
    json_response,
    load_page,
    malformed,
    refuse_host,
    refuse_upgrade,
    response,
    text_response,
    wants_upgrade,
    without_body,
)
from .listener import ACCEPTED_AT_ONCE, listening_socket, within_descriptors
from .lobby import Lobby, survive_exhaustion
from .metrics import CONTENT_TYPE, Metrics
from .sender import Sender, is_trusted, peer_of, sender_of
from .sessions import SessionTable
from .upkeep import forget, judge, sweep, trim, watch

LOG = logging.getLogger(__name__)
MAX_FRAMES, UNREAD_BYTES = 4, 4 << 20  # of one connection that were received and not taken yet
SPARE_CONNECTIONS = 64  # beyond two for each session
MOST_SILENT = 128  # connections that are no websocket: no request has come yet, or the answer to it is on its way
MOST_SHAKING = 512  # connections before or in their TLS handshake
MOST_UNDECIDED = 64  # websockets that have not begun a session yet


class Server:
    """Connections and what they ask for. `async with server.listening()` serves until the block ends."""

    def __init__(self, diarizer: Diarizer, config: ServerConfig, model: Model | None = None):
        self.config = config
        self.metrics = Metrics()
        self._diarizer, self._model = diarizer, model or model_names()
        store = open_store(config.store, config.keep_s) if config.store else None
        keeper = Keeper(store, config.snapshot_s) if store else None
        self.table = SessionTable(diarizer, config, self._model, self.metrics, keeper)
        self._connections: set[ServerConnection] = set()
        self._most_undecided = within_descriptors(MOST_UNDECIDED, 8)
        self._silent, self._undecided = Lobby(within_descriptors(MOST_SILENT)), Lobby(self._most_undecided)
        self._page = load_page(config.page)
        self._exposition = self.metrics.exposition(
            lambda: figures(self.table, len(self._connections), self._diarizer.models, self.metrics)
        )

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Accepts connections; the port. Afterwards sessions are given time to finish. Raises ServerError."""
        tls = self.config.tls()
        listener = listening_socket(self.config)
        handshakes = Handshakes(tls, self.config.handshake_s, within_descriptors(MOST_SHAKING)) if tls else None
        survive_exhaustion(asyncio.get_running_loop())
        server = await self._serve(listener, handshakes)
        tasks = self._upkeep(tls)
        try:
            yield int(listener.getsockname()[1])
        finally:
            for task in tasks:
                task.cancel()
            if handshakes is not None:
                handshakes.close()
            await self._stop(server)

    async def _serve(self, listener: socket.socket, handshakes: Handshakes | None) -> SocketServer:
        quiet = logging.getLogger("turnstream.websockets")  # it would log what strangers send, with stack traces
        quiet.disabled = True
        return await serve(
            self._handle,
            sock=listener,
            backlog=ACCEPTED_AT_ONCE,
            create_connection=cast(
                type[ServerConnection], functools.partial(Socket, self._silent, handshakes, self._sends_header)
            ),
            process_request=self._process_request,
            select_subprotocol=_select_subprotocol,
            compression=None,
            open_timeout=self.config.handshake_s,
            ping_timeout=None,  # a client that sends audio ahead answers late: Connection asks by itself
            close_timeout=CLOSE_S,
            max_size=self.config.max_message_bytes,
            max_queue=max(1, min(MAX_FRAMES, UNREAD_BYTES // self.config.max_message_bytes)),
            server_header=None,
            logger=quiet,
        )

    def _upkeep(self, tls: ssl.SSLContext | None) -> list[asyncio.Task[None]]:
        """What is done from time to time while the server listens."""
        return [
            asyncio.create_task(forget(self.table, self.config.resume_s)),
            asyncio.create_task(watch(self.table, self._diarizer.models, self.metrics)),
            asyncio.create_task(judge(self.table)),
            *([asyncio.create_task(renew(self.config, tls))] if tls else []),
            asyncio.create_task(sweep(self.table)),
            asyncio.create_task(trim()),
        ]

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Socket)
        assert connection.request is not None
        self._silent.leave(connection)
        parts = urlsplit(connection.request.path)
        name = dialect_name(parts.path, self.config)
        assert name is not None
        client = Connection(connection, dialect_of(name), parts.query, self.config, self.table, self._undecided.leave)
        self._connections.add(connection)
        self._undecided.enter(client, client.address, client.give_way)
        try:
            await self._run(client)
        finally:
            self._undecided.leave(client)
            self._connections.discard(connection)
            if client.refused:
                self.metrics.refused[client.refused] += 1

    async def _run(self, client: Connection) -> None:
        """Serves the client, or tells it to go: where too many stay nevertheless, it is not told."""
        spare = within_descriptors(SPARE_CONNECTIONS, 8)
        beyond = len(self._connections) - (2 * self.table.capacity + spare + self._most_undecided)
        if beyond > self._most_undecided:
            client.cut_off()
        elif beyond > 0:
            client.give_way()
        await client.run()

    def _sends_header(self, peer: str) -> bool:
        return self.config.proxy_protocol and is_trusted(peer, self.config.networks)

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        if wrong := malformed(request):
            return wrong
        sender = sender_of(peer_of(connection), request.headers, self.config.networks)
        if not wants_upgrade(request):
            answer = self._answer(request, sender)
            return without_body(answer) if getattr(request, "method", "GET") == "HEAD" else answer
        refusal = refuse_upgrade(request, sender, self.config)
        if refusal:
            said = refusal.body.decode().strip()
            LOG.warning("websocket of %s refused with %d: %s", sender.address, refusal.status_code, said)
        return refusal

    def _answer(self, request: Request, sender: Sender) -> Response:
        path = urlsplit(request.path).path
        if path == "/health":
            return json_response(200 if state(self.table) == "ok" else 503, health(self.table, self._model.name))
        if path == "/ready":
            ready = state(self.table) == "ok" and not self.table.full
            return json_response(200 if ready else 503, health(self.table, self._model.name))
        if wrong := refuse_host(sender, self.config):
            return wrong
        if path == "/metrics":
            return response(200, self._exposition(), CONTENT_TYPE)
        if page := self._page.get(path):
            return page
        if dialect_name(path, self.config):
            return explain(request, sender, self.config)
        return text_response(404, "nothing here: the protocol's websocket is at /v1")

    async def _stop(self, server: SocketServer) -> None:
        """No new connections; sessions with a client get their final result, within the grace time."""
        server.close(close_connections=False)
        end_s = time.monotonic() + self.config.shutdown_s
        await self.table.stop()
        while self._connections and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        await asyncio.gather(*(connection.close(CloseCode.SHUTDOWN) for connection in self._connections))
        await self.table.forget_all()
        await server.wait_closed()


def model_names(segmentation: str | None = None, embedding: str | None = None) -> Model:
    """What `started` says of the models: the published ones, or the names of the user's files."""
    return Model(
        f"turnstream {metadata.version('turnstream')}",
        segmentation or "pyannote segmentation-3.0",
        embedding or "CAM++ zh-en common",
        round(HOP_SAMPLES / SAMPLE_RATE_HZ, 4),
    )


def _select_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    try:
        chosen = select_subprotocol([str(name) for name in offered])
    except ProtocolError as error:
        LOG.warning("websocket of %s refused with 400: %s", peer_of(connection), error)
        raise NegotiationError(str(error)) from None
    return None if chosen is None else Subprotocol(chosen)
