"""One stream on the server: audio in, messages out, however often its connection is lost and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from concurrent.futures import Executor
from typing import Literal

from ..events import EndReason, Final
from ..models.batcher import ModelClient
from ..protocol.messages import VERSION, Config, Limits, Model, Request, Started, Status
from ..session import Session
from ..snapshot.session import Written
from .custody import Custody
from .hops import HopRange
from .intake import Intake
from .journal import Journal
from .lane import SlowLane
from .load import Progress
from .metrics import Metrics
from .requests import check_request
from .saved import Saved
from .worker import Hop, News, Worker

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
        self._taken_over = saved is not None
        self.ended: EndReason | Literal["failed"] | None = None  # why no more audio is taken
        self.finished = False  # the final result is in the journal
        self.failed = False  # by a defect of the server
        self._model, self._limits = model, limits
        self.hop_s = engine.hop_s  # now
        worker, position = Worker.of(config, engine, saved), saved.position if saved else 0
        self.intake = Intake(config, worker, model_client, pool, slow_lane, metrics, position)
        self._task = asyncio.create_task(self._work())

    def attach(self, owner: object, seq: int = 0, position: int | None = None, resumed: bool = False) -> None:
        """The session now belongs to `owner`; the first message for it is `started`. Raises ProtocolError."""
        if position is not None:
            self.intake.check_position(position)
        self.owner, self.detached_s, self.left = owner, None, False
        self.intake.start_anew(None if self.ended else position)
        if position is not None and self.length_s > self._limits.session_s:  # at once: a gap costs its sender nothing
            self.end("session_too_long")
        started = Started(VERSION, self.id, resumed, self.position, self.config, self._model, self._limits, True)
        if self._taken_over:
            self.journal.taken_over(seq)
            self._taken_over = False
        self.journal.resume(started, seq, time.monotonic())
        if self.intake.worker:
            self.intake.worker.resumes += resumed
        self.intake.wake_sender()
        self.changed.set()

    def detach(self, owner: object, *, left: bool = False) -> None:
        """The connection is gone; the session waits for another one, for a moment only where the client `left`."""
        if self.owner is owner:
            self.owner, self.detached_s, self.left = None, time.monotonic(), left

    async def put(self, owner: object, data: bytes) -> None:
        """Takes audio, cut anywhere; waits while enough of it is waiting. Raises Replaced."""
        while self.intake.is_full and not self.ended and self.owner is owner:
            await self.intake.space()
        if self.owner is not owner:
            raise Replaced
        if not self.ended:
            self.intake.put(data)

    def request(self, message: Request) -> None:
        """The user names or corrects; see `check_request`."""
        if not self.ended and self.intake.worker:
            check_request(message, self.intake.worker.view)
            self.intake.push(message)

    @property
    def hops(self) -> HopRange:
        """What its client asks for and allows."""
        return HopRange(self.config.hop_s, self.config.max_hop_s)

    def set_hop(self, hop_s: float) -> None:
        """A longer hop than asked for while the server is busy, within what its client allows."""
        if hop_s != self.hop_s and not self.ended:
            self.hop_s = hop_s
            self.intake.push(Hop(hop_s))

    def end(self, reason: EndReason) -> None:
        """The audio is over; `final` follows. Only the first reason counts."""
        if self.ended is None:
            self.ended = reason
            self.intake.end(reason)

    def fail(self) -> None:
        """The models are dead: nothing more will become known."""
        self.failed = True
        self.ended = self.ended or "failed"
        self.intake.wake_sender()
        self.changed.set()

    async def drain(self) -> bool:
        """Writes it down for another server to go on with, once the audio that is being computed is done.

        What waits is left out: the client sends it again. False where that failed, and the session goes on here.
        """
        if self.custody is None or self.finished or self.failed or self.ended:
            return False
        self.intake.stop()
        await self._task
        await self.custody.settle()
        if not self._is_over:
            self.moved = await self.custody.save(await self._write(), self.intake.processed_samples)
        if not self.moved and not self._is_over:
            self.intake.go_on()
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
        await self.custody.save(await self._write(), self.intake.processed_samples)

    def lose(self) -> None:
        """Another server has taken the session."""
        LOG.info("session %s went on elsewhere", self.id[:6])
        self.owner, self.detached_s = None, -math.inf
        self.intake.stop()
        self.intake.wake_sender()
        self.changed.set()

    async def abandon(self) -> None:
        """Nobody will ask for the result."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.intake.worker = None

    def status(self) -> Status:
        """How it goes."""
        return self.intake.status(self.custody.durable if self.custody else self.position)

    @property
    def is_live(self) -> bool:
        """Whether audio comes at its own pace, and has for long enough to tell."""
        return self.intake.is_live and not self.finished

    def progress(self) -> Progress | None:
        """How a session at real time goes; None for one that is over, or that catches up."""
        return self.intake.progress()

    @property
    def position(self) -> int:
        """Whole samples per channel received, silence for lost ones included."""
        return self.intake.position

    @property
    def length_s(self) -> float:
        """Seconds of audio received."""
        return self.intake.length_s

    @property
    def backlog_s(self) -> float:
        """Seconds of audio received and not processed."""
        return self.intake.backlog_s

    async def _work(self) -> None:
        try:
            await self._feed_engine()
        except Exception:
            LOG.exception("session %s failed", self.id[:6])
            self.fail()

    async def _feed_engine(self) -> None:
        """Keeps what the engine says."""
        while not self.finished and (processed := await self.intake.next()):
            items, events = processed
            if self.custody and self.ended and not await self.custody.is_mine():
                self.lose()  # nobody is told two results
                return
            self._publish(events)
            if self.custody and not self.finished:
                await self._keep_if_due(self.custody, any(isinstance(item, Request) for item in items))

    async def _keep_if_due(self, custody: Custody, named: bool) -> None:
        if custody.is_due(self.intake.processed_samples, self.config.sample_rate_hz, named):
            custody.save_later(await self._write(), self.intake.processed_samples, self.lose)

    async def _write(self) -> Written:
        """The snapshot of now; nothing may be processed meanwhile."""
        assert self.custody is not None
        return await self.intake.written(self.tenant, self.journal.copy(), self.custody.extents)

    def _publish(self, events: list[News]) -> None:
        now_s = time.monotonic()
        for event in events:
            self.journal.add(event, now_s)
            if isinstance(event, Final):
                self.finished = True
        if self.finished:
            self.intake.worker = None
        if events:
            self.changed.set()
