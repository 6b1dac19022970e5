"""Runs the models on a few threads for many sessions, and batches waiting windows into one model call.

MLX arrays belong to one thread. With the CPU kernels there are as many threads as cores, up to four. While only one of
them computes, all cores share its work, which halves the response time. While several compute, or many sessions are
open, each request runs on one core from start to finish: cores that share every step wait for each other between steps.
"""

from __future__ import annotations

import math
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from numpy.typing import NDArray

from turnstream.kernels.backend import cpu_threads, share_cores

from ..errors import TurnstreamError
from .loaded import LoadedModels
from .requests import BATCHED, Kind, Request, RequestedModels, choose
from .segmentation import on_cpu_kernels

MAX_THREADS = 4  # each occupies a core for the duration of a batch
MANY_CLIENTS = 4  # per thread; from this many sessions on, cores no longer share a request
LATELY_S = 2.0  # a session that has asked nothing for longer does not count among them


@dataclass(slots=True)
class Counts:
    """What the model threads have done; busy_s is the sum over all of them."""

    windows: int = 0
    window_batches: int = 0
    crops: int = 0
    busy_s: float = 0.0


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
        first = threading.Thread(
            target=self._first, args=([segmentation, embedding], loaded), name="model", daemon=True
        )
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

    def _first(self, weights: list[dict[str, NDArray[Any]]], loaded: Future[None]) -> None:
        try:
            self._models = LoadedModels(*weights)
        except BaseException as error:
            loaded.set_exception(error)
            return
        weights.clear()  # the networks have their own; a thread keeps its arguments for as long as it runs
        loaded.set_result(None)
        self._run()

    def _run(self) -> None:
        while batch := self._next_batch():
            begun_s = time.perf_counter()
            self._models.answer(batch)
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
