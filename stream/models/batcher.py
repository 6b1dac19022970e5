"""Runs the models on a few threads for many sessions, and batches waiting windows into one model call.

MLX arrays belong to one thread. With the CPU kernels there are as many threads as cores, up to four. While only one of
them computes, all cores share its work, which halves the response time. While several compute, or many sessions are
open, each request runs on one core from start to finish: cores that share every step wait for each other between steps.

Requests are live or not. Live ones go first, and in batches of their own, so that a stream fed faster than real time
does not delay a live one. One request at a time that has waited for `PATIENCE_S` joins them, so none starves.
Activity goes first: it is short and must not be late. Embeddings go before windows: each of them completes a hop in
progress. They are not batched: crops seldom have the same length, and for equal lengths (measured, 2 cores) a batch of
8 saves 22 % at 0.4 s, 8 % at 1 s and nothing from 2 s on.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from turnstream.kernels.backend import cpu_threads, limit_cache, share_cores

from ..audio.fbank import MEL_BINS, ROW_STEP_SAMPLES
from ..errors import TurnstreamError
from ..windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES
from .activity import AHEAD_FRAMES
from .carried_state import CarriedState
from .embedding import EMBEDDING_SIZE, CamPlusPlus
from .segmentation import PyanNet, on_cpu_kernels
from .speech_prior import voice_like

F32 = NDArray[np.float32]
Kind = Literal["state", "activity_state", "listen", "embed", "segment", "block"]

BATCHED = ("listen", "segment")  # kinds of which several are answered in one call
MAX_LIVE_BATCH = 4  # windows; a larger batch makes a window no cheaper, and the first one waits for the last
MAX_BULK_BATCH = 4  # a live request waits for the batch in progress
MAX_THREADS = 4  # each occupies a core for the duration of a batch
MANY_CLIENTS = 4  # per thread; from this many sessions on, cores no longer share a request
LATELY_S = 2.0  # a session that has asked nothing for longer does not count among them
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


@dataclass(slots=True)
class Counts:
    """What the model threads have done; busy_s is the sum over all of them."""

    windows: int = 0
    window_batches: int = 0
    crops: int = 0
    busy_s: float = 0.0


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


class Batcher(RequestedModels):
    """The real models and their threads, shared by many sessions; requests made through it directly are live."""

    def __init__(self, segmentation: dict[str, NDArray[Any]], embedding: dict[str, NDArray[Any]]):
        self.counts = Counts()
        self._process = os.getpid()
        self._progress_s = time.monotonic()  # when something was answered, or asked of models that had nothing to do
        self._waiting: list[Request] = []
        self._changed = threading.Condition()
        self._closed = False
        self._busy = 0  # threads that compute
        self._clients: WeakSet[ModelClient] = WeakSet()
        loaded: Future[None] = Future()
        first = threading.Thread(target=self._first, args=(segmentation, embedding, loaded), name="model", daemon=True)
        first.start()
        loaded.result()
        others = min(MAX_THREADS, cpu_threads()) - 1 if on_cpu_kernels() else 0
        self._threads = [first, *(threading.Thread(target=self._run, name="model", daemon=True) for _ in range(others))]
        for thread in self._threads[1:]:
            thread.start()

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return len(self._threads)

    @property
    def is_alive(self) -> bool:
        """Whether every thread still runs."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def stalled_s(self) -> float:
        """For how long requests have waited without any of them being answered."""
        with self._changed:
            pending = self._waiting or self._busy
            return time.monotonic() - self._progress_s if pending else 0.0

    @property
    def waiting_s(self) -> float:
        """How long the request that has waited longest has waited for a thread."""
        with self._changed:
            return time.monotonic() - min(r.asked_s for r in self._waiting) if self._waiting else 0.0

    def client(self) -> ModelClient:
        """The models for one session, which sets on it whether its requests are live."""
        client = ModelClient(self)
        with self._changed:
            self._clients.add(client)
        return client

    def request(self, kind: Kind, *arguments: Any, live: bool = True) -> Future[Any]:
        """Send a request to the models; the answer comes later. Raises RuntimeError after `close`.

        Raises TurnstreamError in a child process, which has no model threads.
        """
        if os.getpid() != self._process:
            raise TurnstreamError("a diarizer cannot be used after a fork: make one in the child process")
        request = Request(kind, arguments, live, len(arguments[0]) if kind in BATCHED else 0)
        with self._changed:
            if self._closed:
                raise RuntimeError("expected an open diarizer, got a question after it was closed")
            if not self._waiting and not self._busy:
                self._progress_s = time.monotonic()
            self._waiting.append(request)
            self._changed.notify()
        return request.answer

    def close(self) -> None:
        """Answer all pending requests and end the threads; in a child process there are none."""
        if os.getpid() != self._process:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _first(self, segmentation: dict[str, Any], embedding: dict[str, Any], loaded: Future[None]) -> None:
        try:
            self._load(segmentation, embedding)
        except BaseException as error:
            loaded.set_exception(error)
            return
        loaded.set_result(None)
        self._run()

    def _run(self) -> None:
        while batch := self._next_batch():
            begun_s = time.perf_counter()
            self._answer(batch)
            with self._changed:
                self._change_busy(-1)
                self._progress_s = time.monotonic()
                self.counts.busy_s += time.perf_counter() - begun_s
            del batch  # otherwise its windows would stay in memory until the next batch

    def _change_busy(self, more: int) -> None:
        """Change the number of computing threads by `more`, and share the cores accordingly."""
        self._busy += more
        lately_s = time.monotonic() - LATELY_S
        active = sum(client.asked_s > lately_s for client in self._clients)
        many = active >= MANY_CLIENTS * len(self._threads)
        share_cores(len(self._threads) if many else max(1, self._busy))

    def _next_batch(self) -> list[Request]:
        """Wait for the next batch to compute; empty once everything is answered and the thread should end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch = choose(self._waiting, time.monotonic())
            taken = set(map(id, batch))
            self._waiting = [request for request in self._waiting if id(request) not in taken]
            self._change_busy(1 if batch else 0)
            self._count(batch)
            return batch

    def _count(self, batch: list[Request]) -> None:
        if batch and batch[0].kind in ("segment", "block"):
            self.counts.windows += len(batch) if batch[0].kind == "segment" else len(batch[0].arguments[0])
            self.counts.window_batches += 1
        self.counts.crops += sum(len(request.arguments[0]) for request in batch if request.kind == "embed")

    def _answer(self, batch: list[Request]) -> None:
        match batch[0].kind:
            case "segment":
                self._answer_together(batch, self._segment)
            case "listen":
                self._answer_together(batch, self._listen)
            case "embed":
                _settle(batch[0], self._embed)
            case "block":
                _settle(batch[0], self._segment_block)
            case "state":
                _settle(batch[0], self._pyannet.initial_window_state)
            case "activity_state":
                _settle(batch[0], lambda: self._expecting_a_voice)

    def _answer_together(self, batch: list[Request], compute: Callable[..., list[Any]]) -> None:
        """Answer all requests in one call; if that fails, each one separately, so that only the faulty one fails."""
        try:
            answers = compute(*zip(*(request.arguments for request in batch), strict=True))
        except Exception:
            for request in batch:
                _settle(request, lambda *arguments: compute(*((one,) for one in arguments))[0])
            return
        for request, answer in zip(batch, answers, strict=True):
            request.answer.set_result(answer)

    def _load(self, segmentation: dict[str, NDArray[Any]], embedding: dict[str, NDArray[Any]]) -> None:
        limit_cache()
        self._pyannet = PyanNet(segmentation)
        self._campplus = CamPlusPlus(embedding)
        # Compile the kernels before the first audio arrives.
        self._segment((np.zeros(WINDOW_SAMPLES, np.float32),), (0,), (self._pyannet.initial_window_state(),))
        self._embed([np.zeros((SAMPLE_RATE_HZ // ROW_STEP_SAMPLES, MEL_BINS), np.float32)])

    def _segment(self, windows: Sequence[F32], starts: Sequence[int], states: Sequence[Any]) -> list[tuple[F32, Any]]:
        logp, after = self._pyannet.window_step(np.stack(windows), starts, states)
        return list(zip(np.array(logp), after, strict=True))

    def _segment_block(self, windows: F32, starts: Sequence[int]) -> F32:
        """Windows of one stream in order; all of them move one state on."""
        logp, _ = self._pyannet.window_step(windows, starts, [self._pyannet.initial_window_state()] * len(windows))
        return np.array(logp)

    def _listen(self, chunks: Sequence[F32], states: Sequence[CarriedState]) -> list[tuple[F32, CarriedState]]:
        logp, after = self._pyannet.step(np.stack(chunks), states, AHEAD_FRAMES)
        faded = [state.faded(len(chunk)) for state, chunk in zip(after, chunks, strict=True)]
        return list(zip(np.array(logp), faded, strict=True))

    def _embed(self, crops: list[F32]) -> F32:
        return self._campplus.embed(crops)

    @cached_property
    def _expecting_a_voice(self) -> CarriedState:
        return self._pyannet.expecting(voice_like())


class ModelClient(RequestedModels):
    """One session's access to the models; `live` says whether its requests are live."""

    def __init__(self, batcher: Batcher):
        self._batcher = batcher
        self.live = True
        self.asked_s = -math.inf  # the last time

    def request(self, kind: Kind, *arguments: Any) -> Future[Any]:
        """See `Batcher.request`."""
        self.asked_s = time.monotonic()
        return self._batcher.request(kind, *arguments, live=self.live)


def choose(waiting: list[Request], now_s: float) -> list[Request]:
    """The next batch, of one kind: live requests and at most one that has waited too long, or else bulk requests."""
    late = [request for request in waiting if not request.live and now_s - request.asked_s > PATIENCE_S]
    urgent = [*late[:1], *(request for request in waiting if request.live)]
    candidates, most = (urgent, MAX_LIVE_BATCH) if urgent else (waiting, MAX_BULK_BATCH)
    for kind in ("state", "activity_state", "listen", "embed", "segment", "block"):
        if found := [request for request in candidates if request.kind == kind]:
            same = [request for request in found if request.samples == found[0].samples]
            return same[: most if kind in BATCHED else 1]
    return []


def _settle(request: Request, compute: Callable[..., Any]) -> None:
    try:
        request.answer.set_result(compute(*request.arguments))
    except Exception as error:
        request.answer.set_exception(error)
