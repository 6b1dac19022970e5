"""One stream on the server: audio in, messages out, however often its connection is lost and comes back.

Everything here runs on the event loop; the engine runs in the thread pool, behind a `Worker`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Literal

from ..events import EndReason, Final
from ..limits import MAX_GAP_S, SAMPLE_BYTES
from ..models.batcher import ModelClient
from ..protocol.messages import VERSION, Config, Limits, Model, Request, Started, Status
from ..session import Session
from ..snapshot.session import Written
from ..wire import ProtocolError
from .arrival_pace import ArrivalPace
from .audio_queue import AudioQueue
from .custody import Custody
from .hops import HopRange
from .journal import Journal
from .lag import Arrivals
from .lane import SlowLane
from .load import Progress
from .metrics import Metrics
from .requests import check_request
from .saved import Saved, write_session
from .worker import End, Hop, Item, Lost, News, Worker

LOG = logging.getLogger(__name__)


class Replaced(Exception):
    """The session belongs to another connection now."""


class Moved(Exception):
    """The server stops, and the session can go on with another one."""


class ServerSession:
    """What stays of a stream while connections come and go. `owner` is the connection that it belongs to now."""

    def __init__(
        self,
        config: Config,
        engine: Session,
        model_client: ModelClient,
        pool: Executor,
        slow_lane: SlowLane,
        model: Model,
        limits: Limits,
        address: str,
        metrics: Metrics,
        session_id: str | None = None,
        saved: Saved | None = None,
    ):
        self.id = session_id or secrets.token_urlsafe(16)
        self.config, self.address = config, address
        self.tenant = ""  # whose it is
        self.custody: Custody | None = None  # of its snapshots in the store, where there is one
        self.moved = False  # its last snapshot is whole: another server may go on with it
        self.journal = saved.journal if saved else Journal()
        self.changed = asyncio.Event()  # something is there to send
        self.owner: object | None = None
        self.detached_s: float | None = None
        self.left = False  # the client closed it as browsers do when a page is closed, or reloaded
        self.begun_s = time.monotonic()
        # Whole samples per channel received, silence for lost ones included
        self.position = saved.position if saved else 0
        self.processed_samples = self.position
        self._taken_over = saved is not None
        self.ended: EndReason | Literal["failed"] | None = None  # why no more audio is taken
        self.finished = False  # the final result is in the journal
        self.failed = False  # by a defect of the server
        self._worker: Worker | None = Worker.of(config, engine, saved)
        self._model_client, self._pool, self._slow_lane = model_client, pool, slow_lane
        self._model, self._limits = model, limits
        self.hop_s = engine.hop_s  # now
        self._queue = AudioQueue(config.sample_rate_hz, SAMPLE_BYTES[config.encoding] * config.channels)
        self._arrivals, self._pace, self._metrics = Arrivals(), ArrivalPace(), metrics
        self._fed = asyncio.Event()
        self._space = asyncio.Event()
        self._draining = False
        self._task = asyncio.create_task(self._work())

    def attach(self, owner: object, seq: int = 0, position: int | None = None, resumed: bool = False) -> None:
        """The session now belongs to `owner`; the first message for it is `started`. Raises ProtocolError."""
        if position is not None:
            self._check_gap(position)
        self.owner, self.detached_s, self.left = owner, None, False
        self._queue.start_anew()
        if position is not None and not self.ended:
            self._queue.start_anew(max(0, self.position - position))
            if position > self.position:
                self._push(Lost(position - self.position))
            if self.length_s > self._limits.session_s:  # at once: a gap costs its sender nothing
                self.end("session_too_long")
        started = Started(VERSION, self.id, resumed, self.position, self.config, self._model, self._limits, True)
        if self._taken_over:
            self.journal.taken_over(seq)
            self._taken_over = False
        self.journal.resume(started, seq, time.monotonic())
        if self._worker:
            self._worker.resumes += resumed
        self._space.set()
        self.changed.set()

    def detach(self, owner: object, *, left: bool = False) -> None:
        """The connection is gone; the session waits for another one, for a moment only where the client `left`."""
        if self.owner is owner:
            self.owner, self.detached_s, self.left = None, time.monotonic(), left

    async def put(self, owner: object, data: bytes) -> None:
        """Takes audio, cut anywhere; waits while enough of it is waiting. Raises Replaced."""
        while self._queue.is_full and not self.ended and self.owner is owner:
            self._space.clear()
            await self._space.wait()
        if self.owner is not owner:
            raise Replaced
        if self.ended:
            return
        if whole := self._queue.whole(data):
            self._push(whole)

    def request(self, message: Request) -> None:
        """The user names or corrects; see `check_request`."""
        if not self.ended and self._worker:
            check_request(message, self._worker.view)
            self._push(message)

    @property
    def hops(self) -> HopRange:
        """What its client asks for and allows."""
        return HopRange(self.config.hop_s, self.config.max_hop_s)

    def set_hop(self, hop_s: float) -> None:
        """A longer hop than asked for while the server is busy, within what its client allows."""
        if hop_s != self.hop_s and not self.ended:
            self.hop_s = hop_s
            self._push(Hop(hop_s))

    def end(self, reason: EndReason) -> None:
        """The audio is over; `final` follows. Only the first reason counts."""
        if self.ended is None:
            self.ended = reason
            if self._queue.partial:
                self._push(self._queue.partial)  # the engine counts what was cut off
            self._push(End(reason))
            self._space.set()

    def fail(self) -> None:
        """The models are dead: nothing more will become known."""
        self.failed = True
        self.ended = self.ended or "failed"
        self._space.set()
        self.changed.set()

    async def drain(self) -> bool:
        """Writes it down for another server to go on with, once the audio that is being computed is done.

        What waits is left out: the client sends it again. False where that failed, and the session goes on here.
        """
        if self.custody is None or self.finished or self.failed or self.ended:
            return False
        self._draining = True
        self._fed.set()
        await self._task
        await self.custody.settle()
        if not self._is_over:
            self.moved = await self.custody.save(await self._write(), self.processed_samples)
        if not self.moved and not self._is_over:
            self._draining = False
            self._task = asyncio.create_task(self._work())
        self.changed.set()
        return self.moved

    @property
    def _is_over(self) -> bool:
        """Whether there is nothing to go on with here."""
        return self.finished or self.failed or (self.custody is not None and self.custody.lost)

    async def keep(self) -> None:
        """Makes what was processed so far durable, as far as the store allows. Only while nothing is processed."""
        assert self.custody is not None
        await self.custody.save(await self._write(), self.processed_samples)

    def lose(self) -> None:
        """Another server has taken the session."""
        LOG.info("session %s went on elsewhere", self.id[:6])
        self._draining = True
        self.owner, self.detached_s = None, -math.inf
        self._fed.set()
        self._space.set()
        self.changed.set()

    async def abandon(self) -> None:
        """Nobody will ask for the result."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._worker = None

    def status(self) -> Status:
        """How it goes."""
        assert self._worker is not None
        rate_hz, worker = self.config.sample_rate_hz, self._worker
        processed_s = self.processed_samples / rate_hz
        return Status(
            round((self.custody.durable if self.custody else self.position) / rate_hz, 3),
            round(processed_s, 3),
            round(self.backlog_s, 3),
            round(worker.processing_s / processed_s, 4) if processed_s else 0.0,
            round(worker.silent_s, 3),
            round(worker.engine.audio.counts.gap_samples / rate_hz, 3),
            worker.engine.audio.counts.warning(),
            worker.engine.hop_s,
        )

    @property
    def is_live(self) -> bool:
        """Whether audio comes at its own pace, and has for long enough to tell."""
        return self._model_client.live and self._pace.is_settled and not self.finished

    def progress(self) -> Progress | None:
        """How a session at real time goes; None for one that is over, or that catches up."""
        if self._worker is None or not self._model_client.live:
            return None
        return Progress(self.processed_samples / self.config.sample_rate_hz, self._worker.processing_s)

    @property
    def length_s(self) -> float:
        """Seconds of audio received."""
        return self.position / self.config.sample_rate_hz

    @property
    def backlog_s(self) -> float:
        """Seconds of audio received and not processed."""
        return (self.position - self.processed_samples) / self.config.sample_rate_hz

    def _check_gap(self, position: int) -> None:
        most = self.position + MAX_GAP_S * self.config.sample_rate_hz
        if position > most:
            raise ProtocolError(f"a position of at most {most}, {MAX_GAP_S} s after the audio received", position)

    def _push(self, item: Item) -> None:
        samples = self._queue.add(item)
        self.position += samples
        self._arrivals.add(self.position)
        self._pace.note(samples / self.config.sample_rate_hz)
        self._model_client.live = self._pace.is_at_real_time
        self._fed.set()

    async def _work(self) -> None:
        try:
            await self._feed_engine()
        except Exception:
            LOG.exception("session %s failed", self.id[:6])
            self.fail()

    async def _feed_engine(self) -> None:
        """Gives the engine what comes, in the thread pool, and keeps what it says."""
        while not self.finished:
            await self._enough()
            if self._draining:
                return
            items = self._queue.take()
            assert self._worker is not None
            spent_s, due_s = self._worker.processing_s, self._worker.engine.next_due_s
            async with contextlib.nullcontext() if self._model_client.live else self._slow_lane.turn():
                events = await self.in_pool(self._worker.take, items)
            self.processed_samples += self._queue.done(items)
            self._space.set()
            if not isinstance(items[-1], End):  # the final result is another kind of work
                self._measure(self._worker, spent_s, due_s)
            if self.custody and self.ended and not await self.custody.is_mine():
                self.lose()  # nobody is told two results
                return
            self._publish(events)
            if self.custody and not self.finished:
                await self._keep_if_due(self.custody, any(isinstance(item, Request) for item in items))

    async def _keep_if_due(self, custody: Custody, named: bool) -> None:
        if custody.is_due(self.processed_samples, self.config.sample_rate_hz, named):
            custody.save_later(await self._write(), self.processed_samples, self.lose)

    async def _write(self) -> Written:
        """The snapshot of now; nothing may be processed meanwhile."""
        assert self.custody is not None
        assert self._worker is not None
        saved = self._worker.saved(self.tenant, self.journal.copy(), self.processed_samples)
        written: Written = await self.in_pool(write_session, saved, self._model_client, self.custody.extents)
        return written

    def _measure(self, worker: Worker, spent_s: float, due_s: float) -> None:
        """How long the audio took that completed a window, of a session at real time."""
        lag_s = self._arrivals.processed(self.processed_samples)
        if worker.engine.next_due_s > due_s and self._model_client.live:
            self._metrics.lag.observe(lag_s)
            self._metrics.processing.observe(worker.processing_s - spent_s)

    async def in_pool(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What takes time, away from the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _enough(self) -> None:
        """Waits until there is something worth a thread."""
        while not self._draining and not self._queue.is_worth_a_thread(self._is_window_due):
            self._fed.clear()
            await self._fed.wait()

    @property
    def _is_window_due(self) -> bool:
        assert self._worker is not None
        return self.position >= self._worker.engine.next_due_s * self.config.sample_rate_hz

    def _publish(self, events: list[News]) -> None:
        now_s = time.monotonic()
        for event in events:
            self.journal.add(event, now_s)
            if isinstance(event, Final):
                self.finished = True
        if self.finished:
            self._worker = None
        if events:
            self.changed.set()
