"""What turnstream is to reach beside the peers, and whether it did here; `turnstream file` as its users start it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.groups import OFFLINE, OURS
from benchmarks.peers.process import Process
from benchmarks.results import Figure, median
from turnstream.clients.evaluation.recordings import Recording

STARTS = 3
STEP_OF_DIART = 0.1
TIMES_REAL_TIME = 60.0
MEMORY_MB = 500.0
MB_OF_MIB = 2**20 / 1e6


@dataclass(frozen=True, slots=True)
class Command:
    """`turnstream file` on one recording, each time in a fresh process, loading included."""

    recording: str
    audio_s: float
    seconds: list[float]
    peak_mib: list[float]

    def figures(self) -> dict[str, Figure]:
        """Times real time, and peak memory where the system tells it."""
        speed = [self.audio_s / seconds for seconds in self.seconds]
        found = {"command.times_real_time": median(speed, "x", "time", "higher")}
        if self.peak_mib:
            found["command.memory"] = median([mib * MB_OF_MIB for mib in self.peak_mib], "MB", "time")
        return found


@dataclass(frozen=True, slots=True)
class Aim:
    """A bound, and what was measured; None where it was not."""

    what: str
    measured: float | None
    bound: float
    at_most: bool

    @property
    def met(self) -> bool | None:
        """Whether it was; None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


def timed_command(python: str, folder: Path, recording: Recording) -> Command:
    """Start it a few times. Raises NotRun where it fails."""
    seconds, peaks = [], []
    for _ in range(STARTS):
        began = time.perf_counter()
        with Process(OURS, python, folder) as process:
            process.ask("command", recording=str(recording.path))
            seconds.append(time.perf_counter() - began)
            peaks += [process.peak_mib] if process.peak_mib is not None else []
    return Command(recording.path.name, recording.duration_s, seconds, peaks)


def aims(figures: Mapping[str, Figure]) -> list[Aim]:
    """All of them, by the figures of a run."""

    def value(name: str) -> float | None:
        return figures[name].value if name in figures else None

    return [
        Aim("a step, of diart's as shipped", value("step.ratio.diart"), STEP_OF_DIART, True),
        Aim("a step, of diart's with one trunk", value("step.ratio.diart, one trunk"), STEP_OF_DIART, True),
        Aim("whole recordings, times real time", value(f"file.times_real_time.{OFFLINE}"), TIMES_REAL_TIME, False),
        Aim("the same, by the command, loading included", value("command.times_real_time"), TIMES_REAL_TIME, False),
        Aim("memory of the command, MB", value("command.memory"), MEMORY_MB, True),
    ]
