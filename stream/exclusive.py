"""A lock that does not wait: it finds what would give a wrong result, and says so."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from .errors import TurnstreamError


class Exclusive:
    """One call at a time, and none after one that broke off in the middle; `what` names the owner in errors.

    A call that raises TurnstreamError has changed nothing; after any other exception every further call is refused.
    """

    def __init__(self, what: str):
        self._what = what
        self._lock = threading.Lock()
        self._broken = False

    def __getstate__(self) -> dict[str, Any]:
        return {"what": self._what, "broken": self._broken}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._what, self._broken, self._lock = state["what"], state["broken"], threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise TurnstreamError(f"expected one thread at a time in {self._what}, got a second one")
        if self._broken:
            self._lock.release()
            raise TurnstreamError(f"{self._what} was interrupted in the middle of audio: open a new one")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broken = error is not None and not isinstance(error, TurnstreamError)
        self._lock.release()
