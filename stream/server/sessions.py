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
from ..protocol.messages import CloseCode, Config, Limits, Model, Start
from ..snapshot.codec import SnapshotError
from ..stores.store import Kept, StoreError
from ..wire import ProtocolError
from .admission import Refused
from .capacity import measure_capacity
from .config import ServerConfig
from .custody import Keeper, taken
from .known import KnownPeople
from .load import Capacity, Pace
from .metrics import Metrics
from .saved import read_session
from .session import ServerSession
from .tenants import Tenant

LOG = logging.getLogger(__name__)


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
        self._opening_of: Counter[str] = Counter()  # and by tenant
        self._pool = ThreadPoolExecutor(self._room.most + 4, thread_name_prefix="session")

    @property
    def capacity(self) -> int:
        """Sessions for which there is room."""
        return self._room.sessions

    @property
    def running(self) -> int:
        """Sessions that are not finished."""
        return sum(not session.finished for session in self.sessions.values())

    def judge_capacity(self) -> None:
        """Corrects it by how the sessions went since the last time."""
        progress = {session.id: now for session in self.sessions.values() if (now := session.progress())}
        factor = self._pace.factor(progress)
        self._metrics.realtime_factor = factor or 0.0
        self._room.judge(factor, self._taken)

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return self._taken >= self.capacity

    async def open(self, start: Start, address: str, tenant: Tenant, resumable: bool = True) -> ServerSession:
        """A new session. Files and models are asked in the thread pool: both may take long."""
        self._check_work(start)
        await self._make_room()
        self._check_room(address, tenant)
        self._opening[address] += 1
        self._opening_of[tenant.name] += 1
        try:
            session = await self._new_session(start, address)
            session.tenant = tenant.name
            if self.keeper and resumable:
                session.custody = self.keeper.begin(session.id)
                await session.keep()
        finally:
            self._opening[address] -= 1
            self._opening_of[tenant.name] -= 1
        self.sessions[session.id] = session
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
            if session.custody and forget:
                await session.custody.forget()

    async def forget_lost(self) -> None:
        """Sessions whose client did not come back in time."""
        now_s = time.monotonic()
        for session in list(self.sessions.values()):
            if session.detached_s is not None and now_s - session.detached_s > self._config.resume_s:
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
        return self.running + self._opening.total()

    def _check_work(self, start: Start) -> None:
        most, asked = self._config.max_values_per_s, start.sample_rate_hz * start.channels
        if asked > most:
            raise ProtocolError(f"sample_rate times channels of at most {most}", asked)

    async def _make_room(self) -> None:
        """Where all places are taken, the session whose client has been gone longest gives up its own."""
        now_s = time.monotonic()
        gone = [s for s in self.sessions.values() if now_s - (s.detached_s or now_s) > self._config.vanished_s]
        if self.full and gone:
            await self.close(min(gone, key=lambda session: session.detached_s or now_s), forget=False)

    def _check_room(self, address: str, tenant: Tenant) -> None:
        if self.failed.is_set():
            raise Refused(CloseCode.INTERNAL, "the server's models do not answer any more")
        running = [session for session in self.sessions.values() if not session.finished]
        if self.stopping or self.full:
            raise Refused(CloseCode.OVER_CAPACITY, f"all {self.capacity} sessions are taken: try again later")
        held = sum(session.address == address for session in running) + self._opening[address]
        if held >= (most := self._config.max_sessions_per_address):
            raise Refused(CloseCode.TOO_MANY_SESSIONS, f"expected at most {most} sessions of one address, got one more")
        theirs = sum(session.tenant == tenant.name for session in running) + self._opening_of[tenant.name]
        if tenant.sessions is not None and theirs >= tenant.sessions:
            said = f"expected at most {tenant.sessions} sessions of {tenant.name}, got one more"
            raise Refused(CloseCode.TOO_MANY_SESSIONS, said)

    async def _take_over(self, keeper: Keeper, session_id: str, address: str, tenant: Tenant) -> ServerSession | None:
        """A session that another server had, as of its last snapshot; None where the store has none."""
        await self._make_room()
        self._check_room(address, tenant)
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
        about = client, self._pool, self._model, self._limits(), address, session_id, saved
        session = ServerSession(saved.config, saved.engine, *about)
        session.tenant = saved.tenant
        session.custody = taken(keeper, session_id, kept, extents, saved.position)
        self.sessions[session_id] = session
        LOG.info("session %s of %s goes on after %.1f s of audio", session_id[:6], address, session.length_s)
        return session

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
        )
        return ServerSession(config, engine, model_client, self._pool, self._model, self._limits(), address)

    def _limits(self) -> Limits:
        config = self._config
        times_s = config.idle_s, config.session_s, config.resume_s
        return Limits(config.max_message_bytes, *times_s, config.max_values_per_s)
