"""The sessions of a server: who may open one, who finds theirs again, and when they are forgotten."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from ..diarizer import Diarizer
from ..protocol.messages import CloseCode, Config, Limits, Model, Start
from ..wire import ProtocolError
from .admission import Refused
from .capacity import measure_capacity
from .config import ServerConfig
from .hops import HopRange, fitted, least_load, load
from .known import KnownPeople
from .lane import SlowLane
from .load import Capacity, Pace
from .metrics import Metrics
from .session import ServerSession

LOG = logging.getLogger(__name__)
LEFT_S = 10.0  # a closed page's session waits for so long, in case the page was reloaded


class SessionTable:
    """`sessions` by their ids. What opens and finds them raises Refused or ProtocolError."""

    def __init__(self, diarizer: Diarizer, config: ServerConfig, model: Model, metrics: Metrics):
        self.sessions: dict[str, ServerSession] = {}
        self.stopping = False
        self.failed = asyncio.Event()  # the models are dead: this process can only end
        self._diarizer, self._config, self._model, self._metrics = diarizer, config, model, metrics
        self._room = Capacity(
            config.max_sessions or measure_capacity(diarizer.models), fixed=config.max_sessions is not None
        )
        self._pace = Pace()
        self._people = KnownPeople(config.people, diarizer.voice_model)
        self._opening: Counter[str] = Counter()  # sessions that are being made, by address
        self._slow_lane = SlowLane(diarizer.models.threads, self._is_any_live)
        self._pool = ThreadPoolExecutor(self._room.most + 4, thread_name_prefix="session")

    @property
    def capacity(self) -> int:
        """Sessions for which there is room."""
        return self._room.sessions

    @property
    def running(self) -> int:
        """Sessions that are not finished, but for those whose client has left."""
        return sum(not session.finished and not session.left for session in self.sessions.values())

    def judge_capacity(self) -> None:
        """Corrects it by how the sessions went since the last time."""
        progress = {session.id: now for session in self.sessions.values() if (now := session.progress())}
        factor = self._pace.factor(progress)
        self._metrics.realtime_factor = factor or 0.0
        self._room.judge(factor, round(sum(load(session.hop_s) for session in self.sessions.values())))
        self.fit_hops()

    def fit_hops(self) -> None:
        """Lengthens the hops of sessions where all of them together are too much, and shortens them again."""
        running = [session for session in self.sessions.values() if not session.finished]
        for session, hop_s in zip(running, fitted([s.hops for s in running], self.capacity), strict=True):
            session.set_hop(hop_s)

    async def open(self, start: Start, address: str) -> ServerSession:
        """A new session. Files and models are asked in the thread pool: both may take long."""
        self._check_work(start)
        hops = HopRange.of(start.hop_s, start.max_hop_s)
        await self._make_room(hops)
        self._check_room(address, hops)
        self._opening[address] += 1
        try:
            session = await self._new_session(start, address, hops)
        finally:
            self._opening[address] -= 1
        self.sessions[session.id] = session
        self.fit_hops()
        self._metrics.opened += 1
        LOG.info("session %s of %s begins", session.id[:6], address)
        return session

    def find(self, session_id: str) -> ServerSession:
        """The session that a client wants to go on with."""
        session = self.sessions.get(session_id)
        if session is None or session.failed:
            raise Refused(CloseCode.UNKNOWN_SESSION, "no such session, or its time to resume is over")
        self._metrics.resumed += 1
        return session

    async def close(self, session: ServerSession) -> None:
        """The session is over and will not be asked for."""
        if self.sessions.pop(session.id, None) is not None:
            self._metrics.closed_audio_s += session.length_s
            LOG.info("session %s ends after %.1f s of audio", session.id[:6], session.length_s)
            await session.abandon()
            self.fit_hops()

    async def forget_lost(self) -> None:
        """Sessions whose client did not come back in time."""
        now_s = time.monotonic()
        for session in list(self.sessions.values()):
            most_s = min(LEFT_S, self._config.resume_s) if session.left else self._config.resume_s
            if session.detached_s is not None and now_s - session.detached_s > most_s:
                await self.close(session)

    def fail(self) -> None:
        """The models do not answer any more: every session ends, and none begins."""
        self.failed.set()
        for session in self.sessions.values():
            session.fail()

    def stop(self) -> None:
        """No new sessions; those that there are get their final result."""
        self.stopping = True
        for session in self.sessions.values():
            session.end("shutdown")

    async def forget_all(self) -> None:
        """The end of the process."""
        for session in list(self.sessions.values()):
            await self.close(session)
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _taken(self) -> int:
        return sum(not session.finished for session in self.sessions.values()) + self._opening.total()

    def _is_any_live(self) -> bool:
        return any(session.is_live for session in self.sessions.values())

    def _check_work(self, start: Start) -> None:
        most, asked = self._config.max_values_per_s, start.sample_rate_hz * start.channels
        if asked > most:
            raise ProtocolError(f"sample_rate times channels of at most {most}", asked)

    def _is_full(self, hops: HopRange) -> bool:
        """Whether there is no room for one more session, even if all hops become as long as they may.

        A number of sessions that the user gave is kept whatever their hops.
        """
        if self._room.fixed:
            return self._taken >= self.capacity
        running = [session.hops for session in self.sessions.values() if not session.finished]
        return least_load([*running, hops]) + self._opening.total() > self.capacity

    async def _make_room(self, hops: HopRange) -> None:
        """Where all places are taken, the session whose client has left, or been gone longest, gives up its own."""
        now_s = time.monotonic()
        gone = [
            session
            for session in self.sessions.values()
            if session.left or now_s - (session.detached_s or now_s) > self._config.vanished_s
        ]
        if self._is_full(hops) and gone:
            await self.close(min(gone, key=lambda session: (not session.left, session.detached_s or now_s)))

    def _check_room(self, address: str, hops: HopRange) -> None:
        if self.failed.is_set():
            raise Refused(CloseCode.INTERNAL, "the server's models do not answer any more")
        running = [session for session in self.sessions.values() if not session.finished and not session.left]
        if self.stopping or self._is_full(hops):
            raise Refused(CloseCode.OVER_CAPACITY, f"all places are taken by {len(running)} sessions: try again later")
        held = sum(session.address == address for session in running) + self._opening[address]
        if held >= (most := self._config.max_sessions_per_address):
            raise Refused(CloseCode.TOO_MANY_SESSIONS, f"expected at most {most} sessions of one address, got one more")

    async def _new_session(self, start: Start, address: str, hops: HopRange) -> ServerSession:
        in_pool = functools.partial(asyncio.get_running_loop().run_in_executor, self._pool)
        known = await in_pool(self._people.find, start.speakers)
        model_client = self._diarizer.models.client()
        ask = functools.partial(
            self._diarizer.session,
            sample_rate_hz=start.sample_rate_hz,
            channels=start.channels,
            encoding=start.encoding,
            hop_s=start.hop_s,
            latency_s=start.latency_s,
            min_speakers=start.min_speakers,
            max_speakers=start.max_speakers,
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
            start.min_speakers,
            start.max_speakers,
            hops.asked_s,
            hops.most_s,
        )
        return ServerSession(
            config,
            engine,
            model_client,
            self._pool,
            self._slow_lane,
            self._model,
            self._limits(),
            address,
            self._metrics,
        )

    def _limits(self) -> Limits:
        config = self._config
        times_s = config.idle_s, config.session_s, config.resume_s
        return Limits(config.max_message_bytes, *times_s, config.max_values_per_s)
