"""Who owns a session that has a snapshot in a store, and up to where that snapshot reaches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..snapshot.session import Extents, Written
from ..stores.store import Kept, StaleError, Store, StoreError

T = TypeVar("T")
LOG = logging.getLogger(__name__)
AGAIN_S = 5.0  # after the store did not answer
STORE_THREADS = 16


class Keeper:
    """A server's store, asked in threads of its own: one that hangs holds up no engine."""

    def __init__(self, store: Store, every_s: float):
        self.every_s, self._store = every_s, store
        self._pool = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        self.failures = 0  # times that the store did not answer
        self._answers = True

    def begin(self, session: str) -> Custody:
        """Of a session that nobody had before."""
        return Custody(self, session, 1, 0, (), None)

    async def claim(self, session: str) -> Kept | None:
        """Take a session from whoever has it. Raises StoreError."""
        return await self.ask(self._store.claim, session)

    async def sweep(self) -> None:
        """Forget what nobody came back for."""
        with contextlib.suppress(StoreError):
            await self.ask(self._store.sweep)

    async def ask(self, question: Callable[..., T], *arguments: Any) -> T:
        """What the store answers. Raises StoreError, StaleError."""
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, question, *arguments)
        except StoreError as error:
            self.failures += 1
            if self._answers:
                LOG.warning("sessions are not saved now: %s", error)
            self._answers = False
            raise
        if not self._answers:
            LOG.warning("the store answers again")
        self._answers = True
        return answer

    @property
    def store(self) -> Store:
        """To be asked through `ask`."""
        return self._store

    def close(self) -> None:
        """The end of the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._store.close()


class Custody:
    """Of one session. `durable` is the sample up to which its audio need not be kept by anybody else."""

    def __init__(self, keeper: Keeper, session: str, epoch: int, pieces: int, extents: Extents, durable: int | None):
        self.extents, self.durable = extents, durable or 0
        self.lost = False  # to another server
        self._keeper, self._session, self._epoch, self._pieces = keeper, session, epoch, pieces
        self._saving: asyncio.Task[None] | None = None
        self._due_s, self._not_before_s = time.monotonic() + keeper.every_s, 0.0

    def is_due(self, processed: int, rate_hz: int, named: bool) -> bool:
        """Whether to save now: after some time, after as much audio, or after the user has named somebody."""
        if time.monotonic() < self._not_before_s or (self._saving and not self._saving.done()):
            return False
        much = processed - self.durable >= self._keeper.every_s * rate_hz
        return named or (processed > self.durable and (much or time.monotonic() >= self._due_s))

    def save_later(self, written: Written, position: int, lose: Callable[[], None]) -> None:
        """Save without waiting for the store; `lose` is called where the session has another owner."""
        self._due_s = time.monotonic() + self._keeper.every_s

        async def save() -> None:
            if not await self.save(written, position) and self.lost:
                lose()

        self._saving = asyncio.create_task(save())

    async def save(self, written: Written, position: int) -> bool:
        """Whether it is durable now; `lost` says that it is another server's."""
        fresh = written.extents != self.extents
        pieces = self._pieces + fresh
        piece = written.past if fresh else None
        store = self._keeper.store
        try:
            await self._keeper.ask(store.save, self._session, self._epoch, written.head, piece, pieces)
        except StaleError:
            self.lost = True
            return False
        except StoreError:
            self._not_before_s = time.monotonic() + AGAIN_S
            return False
        self._pieces, self.extents, self.durable = pieces, written.extents, position
        return True

    async def settle(self) -> None:
        """Wait for what is being saved."""
        if self._saving:
            await asyncio.gather(self._saving, return_exceptions=True)

    async def is_mine(self) -> bool:
        """Whether nobody else has taken the session; where the store does not answer, it is assumed so."""
        try:
            mine = await self._keeper.ask(self._keeper.store.holds, self._session, self._epoch)
        except StoreError:
            return True
        self.lost = self.lost or not mine
        return mine

    async def forget(self) -> None:
        """The session is over."""
        await self.settle()
        with contextlib.suppress(StoreError):  # it is swept one day
            await self._keeper.ask(self._keeper.store.forget, self._session, self._epoch)


def taken(keeper: Keeper, session: str, kept: Kept, extents: Extents, durable: int) -> Custody:
    """Of a session that was claimed."""
    return Custody(keeper, session, kept.epoch, len(kept.pieces), extents, durable)
