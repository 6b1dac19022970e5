"""A batch on a Ray cluster: one task a recording, which Ray places and starts again.

All nodes need turnstream and see the same folders. A task that Ray runs twice, as after a node was lost, writes the
same results again.
"""

from __future__ import annotations

import fcntl
import functools
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnstream.errors import TurnstreamError

from ..archive.plan import Job
from ..archive.processes import Ended, Report
from ..options import EngineOptions, WeightOptions
from .joined import joined, sentence

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer

AHEAD = 2  # tasks for each processor of the cluster that wait or run


def in_tasks(jobs: Iterable[Job], options: EngineOptions, address: str, retries: int) -> Iterator[Report]:
    """Hear all jobs; Ray tries a recording `retries` times more whose worker or node dies.

    Raises TurnstreamError where there is no Ray, or no cluster at the address.
    """
    with joined(address) as ray:
        task = ray.remote(num_cpus=1, max_retries=retries)(_hear)
        most = max(1, int(AHEAD * ray.cluster_resources().get("CPU", 1)))
        waiting = list(jobs)[::-1]
        running: dict[Any, Job] = {}
        while waiting or running:
            while waiting and len(running) < most:
                job = waiting.pop()
                running[task.remote(_absolute(job), _reachable(options))] = job
            for ready in ray.wait(list(running))[0]:
                yield _report(ray, ready, running.pop(ready))


def _report(ray: Any, ready: Any, job: Job) -> Report:
    try:
        reason = ray.get(ready)
    except (ray.exceptions.RayError, ray.exceptions.RayTaskError) as error:
        reason = f"{job.recording}: {sentence(error)}"
    return Ended(job, reason)


def _absolute(job: Job) -> Job:
    """A worker has another folder than the driver."""
    return Job(job.recording.absolute(), job.result.absolute())


def _reachable(options: EngineOptions) -> EngineOptions:
    paths = {name: getattr(options, name) for name in ("segmentation", "embedding", "stitcher")}
    return replace(options, **{name: path and os.path.abspath(path) for name, path in paths.items()})


def _hear(job: Job, options: EngineOptions) -> str | None:
    """In a worker: why the recording has no results; None where it has."""
    from ..archive.work import diarize

    try:
        diarize(job, _engine(WeightOptions(segmentation=options.segmentation, embedding=options.embedding)), options)
    except TurnstreamError as error:
        return str(error)
    return None


@functools.cache
def _engine(weights: WeightOptions) -> Diarizer:
    """The models of a worker, which hears many recordings."""
    _take_a_core()
    from turnstream.diarizer import Diarizer

    return Diarizer(weights.segmentation, weights.embedding)


def _take_a_core() -> None:
    """A core that no other worker of this machine has: their threads would wait for each other on shared ones.

    The lock goes with the process.
    """
    for core in sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else ():
        path = Path(tempfile.gettempdir()) / f"turnstream-{os.getuid()}-core-{core}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        os.sched_setaffinity(0, {core})
        return
