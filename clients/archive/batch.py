"""`turnstream batch`: every recording of a folder or a manifest, its results in a folder; it can be run again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from turnstream.errors import TurnstreamError
from turnstream.files import read_at_most, write_whole
from turnstream.json_text import load_json
from turnstream.kernels.backend import cpu_threads, on_cpu

from ..engine import fetch_models, stitcher_config
from ..options import BatchOptions
from ..outputs import complain
from .plan import Failure, Plan, make_plan
from .processes import Ended, Heard, Report, in_processes
from .work import clear_leftovers

FORMAT = "turnstream batch 1"
MARK = "batch.json"
MARK_BYTES = 1 << 16


def batch(options: BatchOptions) -> int:
    """Diarize what has no results yet; 1 where any recording failed. Raises TurnstreamError where nothing can be."""
    stitcher_config(options.engine)  # before the weights are fetched
    plan = make_plan(options.source, options.out)
    check_mark(options)
    for job in plan.waiting:
        clear_leftovers(job)
    if plan.waiting:
        fetch_models(options.engine)
        _follow(_reports(plan, options), plan)
    return _conclude(plan)


def check_mark(options: BatchOptions) -> None:
    """A folder has results of one set of options only. Raises TurnstreamError where it has those of others."""
    path, now = options.out / MARK, _mark(options)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_whole(path, (json.dumps(now, indent=1) + "\n").encode())
        before = load_json(read_at_most(path, MARK_BYTES))
    except OSError as error:
        raise TurnstreamError(f"cannot write {path}: {error.strerror or error}") from None
    except ValueError:
        raise TurnstreamError(f"{path} is no mark of a batch: expected another folder for the results") from None
    if not isinstance(before, dict) or before.get("format") != FORMAT:
        raise TurnstreamError(f"{path} is no mark of a batch: expected another folder for the results")
    for name, value in now.items():
        if before.get(name) != value:
            there = f"{options.out} holds results of {name} {before.get(name)}"
            raise TurnstreamError(f"{there}, got {value}: expected another folder")


def _mark(options: BatchOptions) -> dict[str, Any]:
    engine = {name: str(value) if value == float("inf") else value for name, value in asdict(options.engine).items()}
    return {"format": FORMAT, "version": metadata.version("turnstream"), **engine}


def _reports(plan: Plan, options: BatchOptions) -> Iterator[Report]:
    if options.ray is not None:
        from ..cluster.recordings import in_tasks

        return in_tasks(plan.waiting, options.engine, options.ray, options.retries)
    workers = options.jobs or (cpu_threads() if on_cpu() else 1)
    return in_processes(plan.waiting, options.engine, workers, options.retries)


def _follow(reports: Iterator[Report], plan: Plan) -> None:
    """Show how it goes, and keep what failed."""
    console, estimate = Console(stderr=True), Estimate(plan.total_s)
    columns = TextColumn("{task.completed} of {task.total}"), BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(plan.waiting))
        for report in reports:
            estimate.heard(report.job, report.seconds if isinstance(report, Heard) else plan.waiting[report.job])
            progress.update(task, description=estimate.left)
            if isinstance(report, Ended):
                progress.advance(task)
                _note(
                    report, plan, f"{int(progress.tasks[0].completed)} of {len(plan.waiting)}, {estimate.left}", console
                )


def _note(report: Ended, plan: Plan, where: str, console: Console) -> None:
    if report.reason is None:
        said = f"{report.job.recording} -> {report.job.rttm}"
    else:
        plan.failures.append(Failure(report.job, report.reason))
        said = f"failed: {report.reason}"
    console.print(f"{said} ({where})", markup=False, highlight=False, soft_wrap=True)


class Estimate:
    """How long the rest takes, by the audio heard so far."""

    def __init__(self, total_s: float) -> None:
        self._total_s, self._begun_s = total_s, time.monotonic()
        self._heard_s: dict[object, float] = {}

    def heard(self, job: object, seconds: float) -> None:
        """So much of this recording."""
        self._heard_s[job] = seconds

    @property
    def left(self) -> str:
        """In words."""
        done_s, taken_s = sum(self._heard_s.values()), time.monotonic() - self._begun_s
        left_s = taken_s * max(0.0, self._total_s - done_s) / done_s if done_s else 0.0
        hours, minutes = divmod(round(left_s / 60), 60)
        return f"about {hours}:{minutes:02d} h left" if hours or minutes else "less than a minute left"


def _conclude(plan: Plan) -> int:
    """What was done, then every failure with its reason, for whoever reads the end only."""
    failed = len(plan.failures)
    before = f", {plan.done} were done before" if plan.done else ""
    found = len(plan.waiting) + sum(failure.job not in plan.waiting for failure in plan.failures)
    print(f"{found - failed} of {found} recordings diarized{before}", flush=True)
    for failure in plan.failures:
        complain(failure.reason)
    return 1 if failed else 0
