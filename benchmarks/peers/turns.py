"""Systems that take turns: who takes part, one group of them timed, what is made of the times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.process import Answer, NotRun, Process
from benchmarks.results import Figure, median

PAUSE_S = 0.1  # before each turn: threads of the one before it spin on for a moment

Check = Callable[[str, Sequence[Answer]], dict[str, Figure]]


@dataclass(frozen=True, slots=True)
class Entrant:
    """A system as it takes part in a group: what it is called there, what it is asked, and how."""

    label: str
    system: str
    task: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Systems that do the same work; the first is ours, to which the others are compared.

    `passes`: what one turn consists of, each with further arguments. `whole`: a turn's figure is its seconds in all,
    otherwise the mean of its calls. `check` is given the answers of a first turn of the passes `first` (default: the
    same), which is not timed, and gives figures or raises NotRun.
    """

    name: str
    title: str
    entrants: Sequence[Entrant]
    rounds: int
    check: Check
    passes: Sequence[Mapping[str, Any]] = ({},)
    first: Sequence[Mapping[str, Any]] | None = None
    whole: bool = False

    @property
    def ours(self) -> str:
        """The label that the others are compared to."""
        return self.entrants[0].label


@dataclass
class Outcome:
    """What a group gave, by label. `seconds`: one figure a round; `calls_s`: all calls that were timed."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    calls_s: dict[str, list[float]] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    checked: dict[str, dict[str, Figure]] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)


def run(group: Group, pythons: Mapping[str, str], folder: Path) -> Outcome:
    """One group: all are loaded and checked, then they take turns. Raises NotRun where ours fails."""
    outcome, processes = Outcome(), dict[str, Process]()
    with ExitStack() as stack:
        for entrant in group.entrants:
            try:
                process = stack.enter_context(Process(entrant.system, pythons[entrant.system], folder))
                outcome.about[entrant.label] = {"version": process.version, "settings": process.settings}
                passes, outputs = group.first or group.passes, folder / outputs_of(group.name, entrant.label)
                first = _turn(entrant, process, passes, check=str(outputs))
                outcome.checked[entrant.label] = group.check(entrant.label, first)
                processes[entrant.label] = process
            except NotRun as reason:
                if entrant is group.entrants[0]:
                    raise
                outcome.not_run[entrant.label] = str(reason)
        for _ in range(group.rounds):
            for entrant in group.entrants:
                if entrant.label in processes:
                    _timed_turn(group, entrant, processes, outcome)
    return outcome


def _timed_turn(group: Group, entrant: Entrant, processes: dict[str, Process], outcome: Outcome) -> None:
    label, process = entrant.label, processes[entrant.label]
    time.sleep(PAUSE_S)
    calls_s = [second for answer in _turn(entrant, process, group.passes) for second in answer.seconds]
    outcome.seconds.setdefault(label, []).append(sum(calls_s) if group.whole else sum(calls_s) / len(calls_s))
    outcome.calls_s.setdefault(label, []).extend(calls_s)
    if process.peak_mib is not None:
        outcome.peak_mib[label] = process.peak_mib


def _turn(entrant: Entrant, process: Process, passes: Sequence[Mapping[str, Any]], **more: Any) -> list[Answer]:
    return [process.ask(entrant.task, **entrant.arguments, **each, **more) for each in passes]


def outputs_of(group: str, label: str) -> str:
    """The file of outputs that a system wrote in its first turn."""
    return f"{group} {label}.npz"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Our time in the peer's, round by round: the median, with the lowest and highest as its spread.

    Below 1 we take less. Raises ValueError for different numbers of rounds.
    """
    return median([own / peer for own, peer in zip(ours, theirs, strict=True)], "x", "ratio")
