"""What sessions ask of the models, and which of it is computed next.

Requests are live or not. Live ones go first, and in batches of their own, so that a stream fed faster than real time
does not delay a live one. One request at a time that has waited for `PATIENCE_S` joins them, so none starves.
Activity goes first: it is short and must not be late. Embeddings go before windows: each of them completes a hop in
progress. They are not batched: crops seldom have the same length, and for equal lengths (measured, 2 cores) a batch of
8 saves 22 % at 0.4 s, 8 % at 1 s and nothing from 2 s on.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .embedding import EMBEDDING_SIZE

F32 = NDArray[np.float32]
Kind = Literal["state", "activity_state", "listen", "embed", "segment", "block"]

KINDS: tuple[Kind, ...] = ("state", "activity_state", "listen", "embed", "segment", "block")  # in the order of answers
BATCHED = ("listen", "segment")  # kinds of which several are answered in one call
MAX_LIVE_BATCH = 4  # windows; a larger batch makes a window no cheaper, and the first one waits for the last
MAX_BULK_BATCH = 4  # a live request waits for the batch in progress
PATIENCE_S = 1.0


@dataclass(slots=True)
class Request:
    """One request to the models; its answer is delivered through the future."""

    kind: Kind
    arguments: tuple[Any, ...]
    live: bool
    samples: int = 0  # of a window or a chunk: only those of the same length can be batched
    asked_s: float = field(default_factory=time.monotonic)
    answer: Future[Any] = field(default_factory=Future)


class RequestedModels:
    """`Models`, with every call sent through `request`."""

    def request(self, kind: Kind, *arguments: Any) -> Future[Any]:
        """Send a request to the models; the answer comes later."""
        raise NotImplementedError

    def ask(self, kind: Kind, *arguments: Any) -> Any:
        """Send a request to the models and wait for the answer."""
        return self.request(kind, *arguments).result()

    def initial_state(self) -> Any:
        """See `Models`."""
        return self.ask("state")

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """See `Models`."""
        answer: tuple[F32, Any] = self.ask("segment", window, start_sample, state)
        return answer

    def embed(self, crops: list[F32]) -> F32:
        """See `Models`."""
        return self.embed_block(crops).result()

    def segment_block(self, windows: F32, start_samples: list[int]) -> Future[F32]:
        """See `BlockModels`."""
        return self.request("block", windows, start_samples)

    def embed_block(self, crops: list[F32]) -> Future[F32]:
        """See `BlockModels`."""
        if crops:
            return self.request("embed", crops)
        nothing: Future[F32] = Future()
        nothing.set_result(np.zeros((0, EMBEDDING_SIZE), np.float32))
        return nothing

    def initial_activity_state(self) -> Any:
        """See `ActivityModels`."""
        return self.ask("activity_state")

    def listen(self, chunk: F32, state: Any) -> tuple[F32, Any]:
        """See `ActivityModels`."""
        answer: tuple[F32, Any] = self.ask("listen", chunk, state)
        return answer


def choose(waiting: list[Request], now_s: float) -> list[Request]:
    """The next batch, of one kind: live requests and at most one that has waited too long, or else bulk requests."""
    late = [request for request in waiting if not request.live and now_s - request.asked_s > PATIENCE_S]
    urgent = [*late[:1], *(request for request in waiting if request.live)]
    candidates, most = (urgent, MAX_LIVE_BATCH) if urgent else (waiting, MAX_BULK_BATCH)
    for kind in KINDS:
        if found := [request for request in candidates if request.kind == kind]:
            same = [request for request in found if request.samples == found[0].samples]
            return same[: most if kind in BATCHED else 1]
    return []
