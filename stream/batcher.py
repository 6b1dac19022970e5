"""One thread owns MLX; many sessions ask it, and the windows that wait go through the model in one call.

Requests are live or not. Live ones go first, and in batches of their own, so that a stream fed faster than real time
does not make a live one wait; one request at a time that has waited for `PATIENCE_S` goes with them, so none starves.
Embeddings go before windows: each of them ends a hop that has begun. They are not batched: crops are seldom of one
length, and of one length (measured, 2 cores) 8 together save 22 % at 0.4 s, 8 % at 1 s and nothing from 2 s on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream.embedding import EMBEDDING_SIZE, CamPlusPlus
from stream.fbank import MEL_BINS, ROW_STEP_SAMPLES
from stream.segmentation import PyanNet
from stream.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES

F32 = NDArray[np.float32]
Kind = Literal["state", "embed", "segment"]

MAX_LIVE_BATCH = 8  # windows; beyond it a window gets no cheaper, and the first one waits for the last
MAX_BULK_BATCH = 4  # a live request waits for the batch under way
PATIENCE_S = 1.0


@dataclass(slots=True)
class Request:
    """One question to the models; its answer comes through the future."""

    kind: Kind
    arguments: tuple[Any, ...]
    live: bool
    asked_s: float = field(default_factory=time.monotonic)
    answer: Future[Any] = field(default_factory=Future)


@dataclass(slots=True)
class Counts:
    """What the model thread has done."""

    windows: int = 0
    window_batches: int = 0
    crops: int = 0
    busy_s: float = 0.0


class Batcher:
    """The real models behind one thread, for many sessions at once; itself a `Models` whose requests are live."""

    def __init__(self, segmentation: dict[str, NDArray[Any]], embedding: dict[str, NDArray[Any]]):
        self.counts = Counts()
        self._waiting: list[Request] = []
        self._changed = threading.Condition()
        self._closed = False
        loaded: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(segmentation, embedding, loaded), name="mlx", daemon=True
        )
        self._thread.start()
        loaded.result()

    def lane(self) -> Lane:
        """A `Models` for one session, which says itself whether it is live."""
        return Lane(self)

    def initial_state(self) -> Any:
        """See `Models`."""
        return self.ask("state", (), True)

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """See `Models`."""
        answer: tuple[F32, Any] = self.ask("segment", (window, start_sample, state), True)
        return answer

    def embed(self, crops: list[F32]) -> F32:
        """See `Models`."""
        answer: F32 = self.ask("embed", (crops,), True)
        return answer

    def ask(self, kind: Kind, arguments: tuple[Any, ...], live: bool) -> Any:
        """The models' answer, waited for. Raises RuntimeError once the thread has ended."""
        if kind == "embed" and not arguments[0]:
            return np.zeros((0, EMBEDDING_SIZE), np.float32)
        request = Request(kind, arguments, live)
        with self._changed:
            if self._closed:
                raise RuntimeError("expected an open diarizer, got a question after it was closed")
            self._waiting.append(request)
            self._changed.notify()
        return request.answer.result()

    def close(self) -> None:
        """Answers what was asked and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self, segmentation: dict[str, Any], embedding: dict[str, Any], loaded: Future[None]) -> None:
        try:
            self._load(segmentation, embedding)
        except BaseException as error:
            loaded.set_exception(error)
            return
        loaded.set_result(None)
        while batch := self._next_batch():
            begun_s = time.perf_counter()
            self._answer(batch)
            self.counts.busy_s += time.perf_counter() - begun_s
            del batch  # or its windows would be kept until the next ones come

    def _next_batch(self) -> list[Request]:
        """What to compute now, waited for; empty once all is answered and the thread is to end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch = choose(self._waiting, time.monotonic())
            taken = set(map(id, batch))
            self._waiting = [request for request in self._waiting if id(request) not in taken]
            return batch

    def _answer(self, batch: list[Request]) -> None:
        if batch[0].kind == "segment":
            self._answer_windows(batch)
            return
        compute: Callable[..., Any] = self._embed if batch[0].kind == "embed" else self._pyannet.initial_state
        for request in batch:
            _settle(request, compute)

    def _answer_windows(self, batch: list[Request]) -> None:
        """All windows in one call; where that fails each by itself, so that only the wrong one gets the error."""
        self.counts.windows += len(batch)
        self.counts.window_batches += 1
        try:
            windows, starts, states = zip(*(request.arguments for request in batch), strict=True)
            logp, after = self._pyannet.step(np.stack(windows), starts, states)
            answers = list(zip(np.array(logp), after, strict=True))
        except Exception:
            for request in batch:
                _settle(request, self._segment)
            return
        for request, answer in zip(batch, answers, strict=True):
            request.answer.set_result(answer)

    def _load(self, segmentation: dict[str, NDArray[Any]], embedding: dict[str, NDArray[Any]]) -> None:
        self._pyannet = PyanNet(segmentation)
        self._campplus = CamPlusPlus(embedding)
        # Compiles the kernels before the first audio comes.
        self._segment(np.zeros(WINDOW_SAMPLES, np.float32), 0, self._pyannet.initial_state())
        self._embed([np.zeros((SAMPLE_RATE_HZ // ROW_STEP_SAMPLES, MEL_BINS), np.float32)])

    def _segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        logp, states = self._pyannet.step(window[None], [start_sample], [state])
        return np.array(logp)[0], states[0]

    def _embed(self, crops: list[F32]) -> F32:
        self.counts.crops += len(crops)
        return np.stack([self._campplus.embed_rows(crop) for crop in crops])


class Lane:
    """The models as one session sees them; `live` says whether its requests are."""

    def __init__(self, batcher: Batcher):
        self._batcher = batcher
        self.live = True

    def initial_state(self) -> Any:
        """See `Models`."""
        return self._batcher.initial_state()

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """See `Models`."""
        answer: tuple[F32, Any] = self._batcher.ask("segment", (window, start_sample, state), self.live)
        return answer

    def embed(self, crops: list[F32]) -> F32:
        """See `Models`."""
        answer: F32 = self._batcher.ask("embed", (crops,), self.live)
        return answer


def choose(waiting: list[Request], now_s: float) -> list[Request]:
    """Requests of one kind to answer together: live ones, at most one that has waited too long, or else others."""
    late = [request for request in waiting if not request.live and now_s - request.asked_s > PATIENCE_S]
    urgent = [*late[:1], *(request for request in waiting if request.live)]
    candidates, most = (urgent, MAX_LIVE_BATCH) if urgent else (waiting, MAX_BULK_BATCH)
    for kind in ("state", "embed", "segment"):
        if found := [request for request in candidates if request.kind == kind]:
            return found[: most if kind == "segment" else 1]
    return []


def _settle(request: Request, compute: Callable[..., Any]) -> None:
    try:
        request.answer.set_result(compute(*request.arguments))
    except Exception as error:
        request.answer.set_exception(error)
