"""The sessions of a server: who may open one, who finds theirs again, and when they are forgotten."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from ..diarizer import Diarizer
from ..models.batcher import ModelClient
from ..protocol.messages import CloseCode, Config, Limits, Model, Start
from ..session import Session
from ..snapshot.codec import SnapshotError
from ..stores.store import Kept, StoreError
from ..wire import ProtocolError
from .admission import Refused
from .capacity import measure_capacity
from .config import ServerConfig
from .custody import Keeper, taken
from .hops import HopRange, fitted, least_load, load
from .known import KnownPeople
from .lane import SlowLane
from .load import Capacity, Pace
from .metrics import Metrics
from .saved import Saved, read_session
from .session import ServerSession
from .tenants import Tenant

LOG = logging.getLogger(__name__)
ANY_HOPS = HopRange.of(0.5, 1.0)  # of sessions that ask for none
LEFT_S = 10.0  # a closed page's session waits for so long, in case the page was reloaded


class SessionTable:
    """`sessions` by their ids. What opens and finds them raises Refused or ProtocolError."""

    def __init__(
        self, diarizer: Diarizer, config: ServerConfig, model: Model, metrics: Metrics, keeper: Keeper | None = None
    ):
        self.sessions: dict[str, ServerSession] = {}
        self.stopping = False
        self.failed = asyncio.Event()  # the models are dead: this process can only end
        self._diarizer, self._config, self._model, self._metrics = diarizer, config, model, metrics
        self._room = Capacity(
            config.max_sessions or measure_capacity(diarizer.models), fixed=config.max_sessions is not None
        )
        self._pace = Pace()
        self.keeper = keeper
        self._taking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by session
        self._people = KnownPeople(config.people, diarizer.voice_model)
        self._opening: Counter[str] = Counter()  # sessions that are being made, by address
        self._slow_lane = SlowLane(diarizer.models.threads, self._is_any_live)
        self._opening_of: Counter[str] = Counter()  # and by tenant
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

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return self._is_full(ANY_HOPS)

    async def open(self, start: Start, address: str, tenant: Tenant, resumable: bool = True) -> ServerSession:
        """A new session. Files and models are asked in the thread pool: both may take long."""
        self._check_work(start)
        hops = HopRange.of(start.hop_s, start.max_hop_s)
        await self._make_room(hops)
        self._check_room(address, tenant, hops)
        self._opening[address] += 1
        self._opening_of[tenant.name] += 1
        try:
            session = await self._new_session(start, address, hops)
            session.tenant = tenant.name
            if self.keeper and resumable:
                session.custody = self.keeper.begin(session.id)
                await session.keep()
        finally:
            self._opening[address] -= 1
            self._opening_of[tenant.name] -= 1
        self.sessions[session.id] = session
        self.fit_hops()
        self._metrics.opened += 1
        LOG.info("session %s of %s begins", session.id[:6], address)
        return session

    async def find(self, session_id: str, address: str, tenant: Tenant) -> ServerSession:
        """The session that a client wants to go on with, from the store where it was another server's.

        One of another tenant is as unknown as none.
        """
        async with self._taking.setdefault(session_id, asyncio.Lock()):
            session = self.sessions.get(session_id)
            if session and session.custody and not await session.custody.is_mine():
                await self.close(session, forget=False)
                session = None
            if session is None and self.keeper:
                session = await self._take_over(self.keeper, session_id, address, tenant)
        if session is None or session.failed or session.tenant != tenant.name:
            raise Refused(CloseCode.UNKNOWN_SESSION, "no such session, or its time to resume is over")
        self._metrics.resumed += 1
        return session

    async def close(self, session: ServerSession, *, forget: bool = True) -> None:
        """The session is over and will not be asked for; or not here, where the store is not to `forget` it."""
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
            self._metrics.closed_audio_s += session.length_s
            LOG.info("session %s ends after %.1f s of audio", session.id[:6], session.length_s)
            await session.abandon()
            self.fit_hops()
            if session.custody and forget:
                await session.custody.forget()

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

    async def stop(self) -> None:
        """No new sessions; those that there are go on elsewhere, where there is a store, or get their final result."""
        self.stopping = True
        await asyncio.gather(*(self._stop(session) for session in list(self.sessions.values())))

    async def _stop(self, session: ServerSession) -> None:
        if not await session.drain():
            session.end("shutdown")

    async def forget_all(self) -> None:
        """The end of the process."""
        for session in list(self.sessions.values()):
            await self.close(session, forget=False)
        if self.keeper:
            self.keeper.close()
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
            await self.close(
                min(gone, key=lambda session: (not session.left, session.detached_s or now_s)), forget=False
            )

    def _check_room(self, address: str, tenant: Tenant, hops: HopRange) -> None:
        if self.failed.is_set():
            raise Refused(CloseCode.INTERNAL, "the server's models do not answer any more")
        running = [session for session in self.sessions.values() if not session.finished and not session.left]
        if self.stopping or self._is_full(hops):
            raise Refused(CloseCode.OVER_CAPACITY, f"all places are taken by {len(running)} sessions: try again later")
        held = sum(session.address == address for session in running) + self._opening[address]
        if held >= (most := self._config.max_sessions_per_address):
            raise Refused(CloseCode.TOO_MANY_SESSIONS, f"expected at most {most} sessions of one address, got one more")
        theirs = sum(session.tenant == tenant.name for session in running) + self._opening_of[tenant.name]
        if tenant.sessions is not None and theirs >= tenant.sessions:
            said = f"expected at most {tenant.sessions} sessions of {tenant.name}, got one more"
            raise Refused(CloseCode.TOO_MANY_SESSIONS, said)

    async def _take_over(self, keeper: Keeper, session_id: str, address: str, tenant: Tenant) -> ServerSession | None:
        """A session that another server had, as of its last snapshot; None where the store has none."""
        await self._make_room(ANY_HOPS)
        self._check_room(address, tenant, ANY_HOPS)
        self._opening[address] += 1
        try:
            kept = await keeper.claim(session_id)
            return await self._restored(keeper, session_id, kept, address) if kept else None
        except StoreError:
            raise Refused(CloseCode.OVER_CAPACITY, "the store of sessions does not answer: try again later") from None
        except SnapshotError as error:
            LOG.error("session %s cannot go on here: %s", session_id[:6], error)
            return None
        finally:
            self._opening[address] -= 1

    async def _restored(self, keeper: Keeper, session_id: str, kept: Kept, address: str) -> ServerSession:
        client = self._diarizer.models.client()
        in_pool = asyncio.get_running_loop().run_in_executor
        saved, extents = await in_pool(self._pool, read_session, kept.head, kept.pieces, client)
        session = self._session(saved.config, saved.engine, client, address, session_id, saved)
        session.tenant = saved.tenant
        session.custody = taken(keeper, session_id, kept, extents, saved.position)
        self.sessions[session_id] = session
        LOG.info("session %s of %s goes on after %.1f s of audio", session_id[:6], address, session.length_s)
        return session

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
        return self._session(config, engine, model_client, address)

    def _session(
        self,
        config: Config,
        engine: Session,
        client: ModelClient,
        address: str,
        session_id: str | None = None,
        saved: Saved | None = None,
    ) -> ServerSession:
        about = self._model, self._limits(), address, self._metrics, session_id, saved
        return ServerSession(config, engine, client, self._pool, self._slow_lane, *about)

    def _limits(self) -> Limits:
        config = self._config
        times_s = config.idle_s, config.session_s, config.resume_s
        return Limits(config.max_message_bytes, *times_s, config.max_values_per_s)
