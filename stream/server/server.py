"""The websocket server: one process, many sessions, few model threads.

The event loop does only I/O. Audio goes from a connection to its session (session.py), whose engine runs in a
thread pool and asks the model threads (models/batcher.py); what comes of it goes through the session's journal
(journal.py) to whichever connection the session has now (connection.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import cast
from urllib.parse import urlsplit

from websockets.asyncio.server import Server as SocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ..diarizer import Diarizer
from ..protocol.messages import CloseCode, Config, Limits, Model, Start
from ..windows import HOP_SAMPLES, SAMPLE_RATE_HZ
from ..wire import ProtocolError
from .admission import Refused, select_subprotocol
from .bounded_socket import Socket
from .capacity import measure_capacity
from .config import ServerConfig
from .connection import CLOSE_S, Connection
from .dialects import dialect_of
from .http import (
    dialect_name,
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
from .known import KnownPeople
from .listener import TlsListener, listening_socket, within_descriptors
from .load import JUDGE_S, Capacity, Pace
from .lobby import Lobby, survive_exhaustion
from .metrics import CONTENT_TYPE, Metrics, Sample, exposition
from .session import ServerSession

LOG = logging.getLogger(__name__)
MAX_FRAMES, UNREAD_BYTES = 4, 4 << 20  # of one connection that were received and not taken yet
SPARE_CONNECTIONS = 64  # beyond two for each session
WATCH_S = 0.25
LAG_FADES = 0.9  # each time: half of it within 2 s
STALLED_S = 60.0  # without any answer; a batch takes a fraction of a second
MOST_SILENT = 128  # connections that have sent no request yet
MOST_UNDECIDED = 64  # websockets that have not begun a session yet


class Server:
    """The sessions, and who may open them. `async with server.listening()` serves until the block ends."""

    def __init__(self, diarizer: Diarizer, config: ServerConfig, model: Model | None = None):
        self.config = config
        self.sessions: dict[str, ServerSession] = {}
        self.metrics = Metrics()
        self.stopping = False
        self.failed = asyncio.Event()  # the models are dead: this process can only end
        self._diarizer, self._model = diarizer, model or model_names()
        self._room = Capacity(
            config.max_sessions or measure_capacity(diarizer.models), fixed=config.max_sessions is not None
        )
        self._pace = Pace()
        self._connections: set[ServerConnection] = set()
        self._silent, self._undecided = Lobby(within_descriptors(MOST_SILENT)), Lobby(MOST_UNDECIDED)
        self._page = load_page(config.page)
        self._people = KnownPeople(config.people, diarizer.voice_model)
        self._opening: Counter[str] = Counter()  # sessions that are being made, by address
        self._pool = ThreadPoolExecutor(self._room.most + 4, thread_name_prefix="session")

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Accepts connections; the port. Afterwards sessions are given time to finish. Raises ServerError."""
        quiet = logging.getLogger("turnstream.websockets")  # it would log what strangers send, with stack traces
        quiet.disabled = True
        tls = self.config.tls()
        listener = listening_socket(self.config)
        arrived = listener.arrived if isinstance(listener, TlsListener) else None
        survive_exhaustion(asyncio.get_running_loop())
        server = await serve(
            self._handle,
            sock=listener,
            ssl=tls,
            ssl_handshake_timeout=self.config.handshake_s if tls else None,
            create_connection=cast(type[ServerConnection], functools.partial(Socket, self._silent, arrived)),
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
        tasks = [asyncio.create_task(watch()) for watch in (self._reap, self._watch, self._judge)]
        try:
            yield int(listener.getsockname()[1])
        finally:
            for task in tasks:
                task.cancel()
            await self._stop(server)

    @property
    def capacity(self) -> int:
        """Sessions for which there is room."""
        return self._room.sessions

    def judge_capacity(self) -> None:
        """Corrects it by how the sessions went since the last time."""
        progress = {session.id: now for session in self.sessions.values() if (now := session.progress())}
        factor = self._pace.factor(progress)
        self.metrics.realtime_factor = factor or 0.0
        self._room.judge(factor, self._running())

    async def open(self, start: Start, address: str) -> ServerSession:
        """See `server_connection.Sessions`. Files and models are asked in the thread pool: both may take long."""
        self._check_work(start)
        await self._make_room()
        self._check_room(address)
        self._opening[address] += 1
        try:
            session = await self._new_session(start, address)
        finally:
            self._opening[address] -= 1
        self.sessions[session.id] = session
        self.metrics.opened += 1
        LOG.info("session %s of %s begins", session.id[:6], address)
        return session

    def _check_work(self, start: Start) -> None:
        most, asked = self.config.max_values_per_s, start.sample_rate_hz * start.channels
        if asked > most:
            raise ProtocolError(f"sample_rate times channels of at most {most}", asked)

    async def _make_room(self) -> None:
        """Where all places are taken, the session whose client has been gone longest gives up its own."""
        now_s = time.monotonic()
        gone = [s for s in self.sessions.values() if now_s - (s.detached_s or now_s) > self.config.vanished_s]
        if self._running() >= self.capacity and gone:
            await self.close(min(gone, key=lambda session: session.detached_s or now_s))

    def _running(self) -> int:
        return sum(not session.finished for session in self.sessions.values()) + self._opening.total()

    def _check_room(self, address: str) -> None:
        if self.failed.is_set():
            raise Refused(CloseCode.INTERNAL, "the server's models do not answer any more")
        running = [session for session in self.sessions.values() if not session.finished]
        if self.stopping or self._running() >= self.capacity:
            raise Refused(CloseCode.OVER_CAPACITY, f"all {self.capacity} sessions are taken: try again later")
        held = sum(session.address == address for session in running) + self._opening[address]
        if held >= (most := self.config.max_sessions_per_address):
            raise Refused(CloseCode.TOO_MANY_SESSIONS, f"expected at most {most} sessions of one address, got one more")

    async def _new_session(self, start: Start, address: str) -> ServerSession:
        in_pool = functools.partial(asyncio.get_running_loop().run_in_executor, self._pool)
        known = await in_pool(self._people.find, start.speakers)
        model_client = self._diarizer.models.client()
        ask = functools.partial(
            self._diarizer.session,
            sample_rate_hz=start.sample_rate_hz,
            channels=start.channels,
            encoding=start.encoding,
            latency_s=start.latency_s,
            known=known,
            activity=start.activity,
            models=model_client,
        )
        engine = await in_pool(ask)
        config = Config(
            start.encoding,
            start.sample_rate_hz,
            start.channels,
            start.latency_s,
            start.provisional,
            start.activity,
            tuple(person.name for person in known),
        )
        return ServerSession(config, engine, model_client, self._pool, self._model, self._limits(), address)

    def find(self, session_id: str) -> ServerSession:
        """See `server_connection.Sessions`."""
        session = self.sessions.get(session_id)
        if session is None or session.failed:
            raise Refused(CloseCode.UNKNOWN_SESSION, "no such session, or its time to resume is over")
        self.metrics.resumed += 1
        return session

    def begun(self, connection: Connection) -> None:
        """See `server_connection.Sessions`."""
        self._undecided.leave(connection)

    async def close(self, session: ServerSession) -> None:
        """See `server_connection.Sessions`."""
        if self.sessions.pop(session.id, None) is not None:
            self.metrics.closed_audio_s += session.length_s
            LOG.info("session %s ends after %.1f s of audio", session.id[:6], session.length_s)
            await session.abandon()

    def _limits(self) -> Limits:
        config = self.config
        times_s = config.idle_s, config.session_s, config.resume_s
        return Limits(config.max_message_bytes, *times_s, config.max_values_per_s)

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Socket)
        assert connection.request is not None
        parts = urlsplit(connection.request.path)
        name = dialect_name(parts.path, self.config)
        assert name is not None
        client = Connection(connection, dialect_of(name), parts.query, self.config, self)
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
        beyond = len(self._connections) - (2 * self.capacity + SPARE_CONNECTIONS + MOST_UNDECIDED)
        if beyond > MOST_UNDECIDED:
            client.cut_off()
        elif beyond > 0:
            client.give_way()
        await client.run()

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        self._silent.leave(connection)
        if wrong := malformed(request):
            return wrong
        if wants_upgrade(request):
            return refuse_upgrade(request, self.config)
        answer = self._answer(request)
        return without_body(answer) if getattr(request, "method", "GET") == "HEAD" else answer

    def _answer(self, request: Request) -> Response:
        path = urlsplit(request.path).path
        if path == "/health":
            return json_response(503 if self.stopping or self.failed.is_set() else 200, self._health())
        if wrong := refuse_host(request, self.config):
            return wrong
        if path == "/metrics":
            return response(200, (exposition(self._samples()) + "\n").encode(), CONTENT_TYPE)
        return self._page.get(path) or text_response(404, "nothing here: the protocol's websocket is at /v1")

    def _health(self) -> dict[str, object]:
        state = "failed" if self.failed.is_set() else "stopping" if self.stopping else "ok"
        running = sum(not session.finished for session in self.sessions.values())
        return {"status": state, "sessions": running, "capacity": self.capacity, "version": self._model.name}

    def _samples(self) -> list[Sample]:
        sessions, counts = list(self.sessions.values()), self._diarizer.models.counts
        audio_s = self.metrics.closed_audio_s + sum(session.length_s for session in sessions)
        refused = {f'{{reason="{reason}"}}': float(n) for reason, n in self.metrics.refused.items()}
        waiting_s = sum(session.backlog_s for session in sessions)
        running = sum(not session.finished for session in sessions)
        detached = sum(session.owner is None for session in sessions)
        return [
            Sample("sessions", "gauge", "Sessions now.", {"": running}),
            Sample("sessions_detached", "gauge", "Sessions whose client is gone and may come back.", {"": detached}),
            Sample("capacity", "gauge", "Sessions for which there is room.", {"": self.capacity}),
            Sample(
                "realtime_factor",
                "gauge",
                "Processing time over audio time of live sessions lately.",
                {"": self.metrics.realtime_factor},
            ),
            Sample("connections", "gauge", "Websockets now.", {"": len(self._connections)}),
            Sample("backlog_seconds", "gauge", "Audio received and not processed.", {"": waiting_s}),
            Sample(
                "event_loop_lag_seconds", "gauge", "How late the event loop was lately.", {"": self.metrics.loop_lag_s}
            ),
            Sample(
                "model_wait_seconds",
                "gauge",
                "How long the oldest request waits for a model thread.",
                {"": self._diarizer.models.waiting_s},
            ),
            Sample("sessions_opened_total", "counter", "Sessions opened.", {"": self.metrics.opened}),
            Sample("sessions_resumed_total", "counter", "Times a client came back.", {"": self.metrics.resumed}),
            Sample("closed_total", "counter", "Connections closed for a reason, by reason.", refused),
            Sample("audio_seconds_total", "counter", "Audio received.", {"": audio_s}),
            Sample("windows_total", "counter", "Windows segmented.", {"": counts.windows}),
            Sample("window_batches_total", "counter", "Model calls for windows.", {"": counts.window_batches}),
            Sample("embeddings_total", "counter", "Crops embedded.", {"": counts.crops}),
            Sample(
                "model_busy_seconds_total",
                "counter",
                "Time the model threads were computing, all together.",
                {"": counts.busy_s},
            ),
        ]

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.config.resume_s / 4))
            await self._forget_lost()

    async def _watch(self) -> None:
        """Measures how late the event loop is, and notices models that no longer answer."""
        loop, models = asyncio.get_running_loop(), self._diarizer.models
        while True:
            due_s = loop.time() + WATCH_S
            await asyncio.sleep(WATCH_S)
            self.metrics.loop_lag_s = max(loop.time() - due_s, LAG_FADES * self.metrics.loop_lag_s)
            if not self.failed.is_set() and (not models.is_alive or models.stalled_s > STALLED_S):
                LOG.error("the models do not answer any more")
                self.failed.set()
                for session in self.sessions.values():
                    session.fail()

    async def _judge(self) -> None:
        while True:
            await asyncio.sleep(JUDGE_S)
            self.judge_capacity()

    async def _forget_lost(self) -> None:
        """Sessions whose client did not come back in time."""
        now_s = time.monotonic()
        for session in list(self.sessions.values()):
            if session.detached_s is not None and now_s - session.detached_s > self.config.resume_s:
                await self.close(session)

    async def _stop(self, server: SocketServer) -> None:
        """No new connections; sessions with a client get their final result, within the grace time."""
        self.stopping = True
        server.close(close_connections=False)
        for session in self.sessions.values():
            session.end("shutdown")
        end_s = time.monotonic() + self.config.shutdown_s
        while self._connections and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        await asyncio.gather(*(connection.close(CloseCode.SHUTDOWN) for connection in self._connections))
        for session in list(self.sessions.values()):
            await self.close(session)
        await server.wait_closed()
        self._pool.shutdown(wait=False, cancel_futures=True)


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
        raise NegotiationError(str(error)) from None
    return None if chosen is None else Subprotocol(chosen)
