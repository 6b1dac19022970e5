"""The audio of one session on the server, from its arrival to what the engine says of it.

Everything here runs on the event loop; the engine runs in the thread pool, behind a `Worker`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from ..events import EndReason
from ..limits import MAX_GAP_S, SAMPLE_BYTES
from ..models.batcher import ModelClient
from ..protocol.messages import Config, Status
from ..snapshot.session import Extents, Written
from ..wire import ProtocolError
from .arrival_pace import ArrivalPace
from .audio_queue import AudioQueue
from .journal import Journal
from .lag import Arrivals
from .lane import SlowLane
from .load import Progress
from .metrics import Metrics
from .saved import write_session
from .worker import End, Item, Lost, News, Worker


class Intake:
    """Of one session. Positions are whole samples per channel, silence for lost ones included.

    `worker` is None once the final result is there.
    """

    def __init__(
        self,
        config: Config,
        worker: Worker,
        model_client: ModelClient,
        pool: Executor,
        slow_lane: SlowLane,
        metrics: Metrics,
        position: int,
    ):
        self.position = self.processed_samples = position  # received, and done
        self.worker: Worker | None = worker
        self._rate_hz = config.sample_rate_hz
        self._queue = AudioQueue(self._rate_hz, SAMPLE_BYTES[config.encoding] * config.channels)
        self._arrivals, self._pace = Arrivals(), ArrivalPace()
        self._model_client, self._pool, self._slow_lane, self._metrics = model_client, pool, slow_lane, metrics
        self._fed, self._space = asyncio.Event(), asyncio.Event()
        self._stopped = False

    @property
    def is_full(self) -> bool:
        """Whether enough of it waits, so that its sender has to."""
        return self._queue.is_full

    async def space(self) -> None:
        """Waits until something was processed, or for `wake_sender`."""
        self._space.clear()
        await self._space.wait()

    def wake_sender(self) -> None:
        """Whoever waits for space looks again what is to be done."""
        self._space.set()

    def check_position(self, position: int) -> None:
        """Raises ProtocolError where a client would go on too far behind what was received."""
        most = self.position + MAX_GAP_S * self._rate_hz
        if position > most:
            raise ProtocolError(f"a position of at most {most}, {MAX_GAP_S} s after the audio received", position)

    def start_anew(self, position: int | None = None) -> None:
        """Another connection sends now: from `position` on, or from where the audio received ends."""
        position = self.position if position is None else position
        self._queue.start_anew(max(0, self.position - position))
        if position > self.position:
            self.push(Lost(position - self.position))

    def put(self, data: bytes) -> None:
        """Takes audio, cut anywhere."""
        if whole := self._queue.whole(data):
            self.push(whole)

    def push(self, item: Item) -> None:
        """Takes whole samples, or what is no audio."""
        samples = self._queue.add(item)
        self.position += samples
        self._arrivals.add(self.position)
        self._pace.note(samples / self._rate_hz)
        self._model_client.live = self._pace.is_at_real_time
        self._fed.set()

    def end(self, reason: EndReason) -> None:
        """There is no more audio."""
        if self._queue.partial:
            self.push(self._queue.partial)  # the engine counts what was cut off
        self.push(End(reason))
        self.wake_sender()

    def stop(self) -> None:
        """Nothing is computed after what is being computed now, until `go_on`."""
        self._stopped = True
        self._fed.set()

    def go_on(self) -> None:
        """What waits may be computed again."""
        self._stopped = False

    async def next(self) -> tuple[list[Item], list[News]] | None:
        """The next items that the engine has processed, and what it said; None where it was told to `stop`."""
        while not self._stopped and not self._queue.is_worth_a_thread(self._is_window_due):
            self._fed.clear()
            await self._fed.wait()
        if self._stopped:
            return None
        items, worker = self._queue.take(), self.worker
        assert worker is not None
        spent_s, due_s = worker.processing_s, worker.engine.next_due_s
        async with contextlib.nullcontext() if self._model_client.live else self._slow_lane.turn():
            events = await self.in_pool(worker.take, items)
        self.processed_samples += self._queue.done(items)
        self.wake_sender()
        if not isinstance(items[-1], End):  # the final result is another kind of work
            self._measure(worker, spent_s, due_s)
        return items, events

    async def written(self, tenant: str, journal: Journal, since: Extents) -> Written:
        """The snapshot of now; nothing may be processed meanwhile."""
        assert self.worker is not None
        saved = self.worker.saved(tenant, journal, self.processed_samples)
        written: Written = await self.in_pool(write_session, saved, self._model_client, since)
        return written

    async def in_pool(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What takes time, away from the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def status(self, durable: int) -> Status:
        """How it goes, of a session whose audio up to sample `durable` need not be sent again."""
        assert self.worker is not None
        processed_s, counts = self.processed_samples / self._rate_hz, self.worker.engine.audio.counts
        return Status(
            round(durable / self._rate_hz, 3),
            round(processed_s, 3),
            round(self.backlog_s, 3),
            round(self.worker.processing_s / processed_s, 4) if processed_s else 0.0,
            round(self.worker.silent_s, 3),
            round(counts.gap_samples / self._rate_hz, 3),
            counts.warning(),
            self.worker.engine.hop_s,
        )

    @property
    def is_live(self) -> bool:
        """Whether audio comes at its own pace, and has for long enough to tell."""
        return self._model_client.live and self._pace.is_settled

    def progress(self) -> Progress | None:
        """How a session at real time goes; None for one that is over, or that catches up."""
        if self.worker is None or not self._model_client.live:
            return None
        return Progress(self.processed_samples / self._rate_hz, self.worker.processing_s)

    @property
    def length_s(self) -> float:
        """Seconds of audio received."""
        return self.position / self._rate_hz

    @property
    def backlog_s(self) -> float:
        """Seconds of audio received and not processed."""
        return (self.position - self.processed_samples) / self._rate_hz

    @property
    def _is_window_due(self) -> bool:
        assert self.worker is not None
        return self.position >= self.worker.engine.next_due_s * self._rate_hz

    def _measure(self, worker: Worker, spent_s: float, due_s: float) -> None:
        """How long the audio took that completed a window, of a session at real time."""
        lag_s = self._arrivals.processed(self.processed_samples)
        if worker.engine.next_due_s > due_s and self._model_client.live:
            self._metrics.lag.observe(lag_s)
            self._metrics.processing.observe(worker.processing_s - spent_s)
