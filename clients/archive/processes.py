"""A batch on this machine: processes that each hear one recording at a time, and are replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from turnstream.errors import TurnstreamError

from ..options import EngineOptions
from .plan import Job

ENDS_S = 5.0
CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy threads' locks, but not the threads


@dataclass(frozen=True, slots=True)
class Heard:
    """`seconds` of a recording were heard so far."""

    job: Job
    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A recording is done; `reason` says why without results, None with them."""

    job: Job
    reason: str | None = None


Report = Heard | Ended


@dataclass(frozen=True, slots=True)
class Unusable:
    """No recording can be heard at all."""

    reason: str


class Worker:
    """One process; `job` is what it hears now."""

    def __init__(self, options: EngineOptions, cores: set[int] | None) -> None:
        self.connection, theirs = CONTEXT.Pipe()
        self.job: Job | None = None
        self.cores = cores
        self._process: BaseProcess = CONTEXT.Process(target=_work, args=(theirs, options, cores), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, job: Job) -> None:
        """Hear a recording; a process that is dead is found so by whoever waits for its report."""
        self.job = job
        with suppress(OSError):
            self.connection.send(job)

    def end(self) -> str:
        """End it, as it is not needed or dead; how it ended."""
        self.connection.close()
        self._process.terminate()
        self._process.join(ENDS_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def in_processes(jobs: Iterable[Job], options: EngineOptions, workers: int, retries: int) -> Iterator[Report]:
    """Hear all jobs; a recording whose process dies is tried `retries` times more.

    Raises TurnstreamError where no process can work.
    """
    waiting, tries = deque(jobs), dict.fromkeys(jobs, 0)
    pool = [Worker(options, cores) for cores in share(min(workers, max(1, len(waiting))))]
    try:
        while waiting or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and waiting:
                    worker.begin(waiting.popleft())
            for ready in wait([worker.connection for worker in pool if worker.job]):
                place = next(n for n, worker in enumerate(pool) if worker.connection is ready)
                worker, job = pool[place], pool[place].job
                assert job is not None
                try:
                    report = worker.connection.recv()
                except (EOFError, OSError):
                    how = worker.end()
                    pool[place] = Worker(options, worker.cores)
                    tries[job] += 1
                    if tries[job] <= retries:
                        waiting.append(job)
                    else:
                        yield Ended(job, f"{job.recording}: its process {how}, {tries[job]} times")
                    continue
                if isinstance(report, Unusable):
                    raise TurnstreamError(report.reason)
                if isinstance(report, Ended):
                    worker.job = None
                yield report
    finally:
        for worker in pool:
            worker.end()


def share(workers: int) -> list[set[int] | None]:
    """The cores of each worker, as equal as can be; None where there is no way to say so."""
    if not hasattr(os, "sched_setaffinity"):
        return [None] * workers
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[n::workers]) or {cores[n % len(cores)]} for n in range(workers)]


def _work(connection: Connection, options: EngineOptions, cores: set[int] | None) -> None:
    """The life of a process: it ends when its parent does not listen any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, who ends its processes
    if cores is not None:
        os.sched_setaffinity(0, cores)  # before the models count their cores
    from turnstream import heap
    from turnstream.diarizer import Diarizer

    from .work import diarize

    heap.keep_little()
    with suppress(OSError, EOFError):
        try:
            diarizer = Diarizer(options.segmentation, options.embedding)
        except TurnstreamError as error:
            connection.recv()
            connection.send(Unusable(str(error)))
            return
        with diarizer:
            while True:
                job = connection.recv()
                reason = None
                try:
                    diarize(job, diarizer, options, lambda seconds: connection.send(Heard(job, seconds)))  # noqa: B023
                except TurnstreamError as error:
                    reason = str(error)
                connection.send(Ended(job, reason))
