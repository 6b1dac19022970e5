"""Those who have connected and not yet said what they want: a bounded number, of which the greediest give way.

A newcomer always gets in, so that silent connections, however many, cannot keep out a client who speaks at once.
"""

from __future__ import annotations

import errno
import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

LOG = logging.getLogger(__name__)
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
SAY_EVERY_S = 60.0


class Lobby:
    """At most `most` waiting; beyond it, the longest waiting one of the address that has the most of them gives way."""

    def __init__(self, most: int):
        self._most = most
        self._addresses: dict[object, str] = {}
        self._waiting: dict[str, dict[object, Callable[[], None]]] = {}  # by address, in order of arrival

    def __len__(self) -> int:
        return len(self._addresses)

    def enter(self, who: object, address: str, dismiss: Callable[[], None]) -> None:
        """`dismiss` is called if `who` has to give way."""
        if len(self) >= self._most:
            victim, dismiss_victim = next(iter(max(self._waiting.values(), key=len).items()))
            self.leave(victim)
            dismiss_victim()
        self._addresses[who] = address
        self._waiting.setdefault(address, {})[who] = dismiss

    def leave(self, who: object) -> None:
        """`who` waits no longer, if it did."""
        address = self._addresses.pop(who, None)
        if address is not None:
            del self._waiting[address][who]
            if not self._waiting[address]:
                del self._waiting[address]


def survive_exhaustion(loop: AbstractEventLoop) -> None:
    """asyncio tries again a second later where no descriptor is free; say so in one line, and not each time."""
    said_s = -SAY_EVERY_S

    def handle(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said_s
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES):
            loop.default_exception_handler(context)
        elif time.monotonic() - said_s >= SAY_EVERY_S:
            said_s = time.monotonic()
            LOG.warning("a connection cannot be accepted: %s", error.strerror)

    loop.set_exception_handler(handle)
