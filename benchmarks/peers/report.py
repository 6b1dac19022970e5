"""Tables for people, and figures for the result file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from benchmarks.peers.aims import MB_OF_MIB, Aim, Command
from benchmarks.peers.process import CORES
from benchmarks.peers.turns import Group, Outcome, ratio
from benchmarks.results import Figure, Result, machine, median, recording
from turnstream.clients.evaluation.recordings import Recording

Outcomes = Sequence[tuple[Group, Outcome]]


def head(load: float) -> None:
    """The machine and how busy it is."""
    about = machine()
    print(f"{about['processor']}, {about['cpus']} CPUs, {about['memory_gib']} GiB, load {load:.1f};", end="")
    print(f" {CORES} cores for every system; medians of rounds, in which the systems take turns")


def table(group: Group, outcome: Outcome) -> None:
    """One group: a line for each system."""
    print(f"\n{group.title}, {group.rounds} rounds")
    print(f"  {'':22}{'ms':>9}{'p95':>9}{'ours/it':>9}{'spread':>15}{'MB':>7}  what its check found")
    for entrant in group.entrants:
        label = entrant.label
        if label in outcome.not_run:
            print(f"  {label:22}not run: {outcome.not_run[label]}")
            continue
        middle, p95 = np.median(outcome.seconds[label]), np.percentile(outcome.calls_s[label], 95)
        against = ratio(outcome.seconds[group.ours], outcome.seconds[label])
        low, high = against.spread or (1.0, 1.0)
        memory = outcome.peak_mib.get(label)
        told = ", ".join(f"{name} {figure.value:.3g}" for name, figure in outcome.checked[label].items())
        compared = f"{against.value:9.3f}{f'{low:.3f}-{high:.3f}':>15}" if label != group.ours else f"{'':24}"
        shown = f"{memory * MB_OF_MIB:7.0f}" if memory is not None else f"{'?':>7}"
        print(f"  {label:22}{middle * 1e3:9.1f}{p95 * 1e3:9.1f}{compared}{shown}  {told}")
    for label, about in outcome.about.items():
        if label not in outcome.not_run:
            print(f"    {label} {about['version']}: {about['settings']}")


def end(command: Command, met: Sequence[Aim]) -> None:
    """`turnstream file`, and the aims."""
    print(f"\nturnstream file {command.recording} ({command.audio_s:.0f} s), loading included:", end="")
    print(f" {command.audio_s / np.median(command.seconds):.1f} times real time")
    print("\naims")
    for aim in met:
        verdict = {True: "met", False: "not met", None: "not measured"}[aim.met]
        bound = f"{'at most' if aim.at_most else 'at least'} {aim.bound:g}"
        print(f"  {aim.what:45}{bound:>14}  {'' if aim.measured is None else f'{aim.measured:.3g}':>7}  {verdict}")


def figures(outcomes: Outcomes, files_s: float) -> dict[str, Figure]:
    """All groups: `GROUP.ms.SYSTEM`, `GROUP.ratio.SYSTEM` and so on; `files_s` is the audio of the group `file`."""
    found: dict[str, Figure] = {}
    for group, outcome in outcomes:
        for label, seconds in outcome.seconds.items():
            found[f"{group.name}.ms.{label}"] = median([1e3 * each for each in seconds], "ms", "time")
            if label != group.ours:
                found[f"{group.name}.ratio.{label}"] = ratio(outcome.seconds[group.ours], seconds)
            if group.name == "file":
                speed = median([files_s / each for each in seconds], "x", "time", "higher")
                found[f"file.times_real_time.{label}"] = speed
            if label in outcome.peak_mib:
                memory = outcome.peak_mib[label] * MB_OF_MIB
                found[f"{group.name}.memory.{label}"] = Figure(memory, "MB", "time")
            checked = outcome.checked[label].items()
            found |= {f"{group.name}.{name}.{label}": figure for name, figure in checked}
    return found


def result(
    outcomes: Outcomes,
    found: dict[str, Figure],
    met: Sequence[Aim],
    recordings: Sequence[Recording],
    command: str,
    load: float,
) -> Result:
    """What is written; versions and settings of the peers are in the parameters, what was not run in the series."""
    systems = {label: about for _, outcome in outcomes for label, about in outcome.about.items()}
    return Result(
        name="peers",
        command=command,
        figures=found,
        parameters={
            "cores": CORES,
            "rounds": {group.name: group.rounds for group, _ in outcomes},
            "systems": systems,
        },
        series={
            "not_run": {group.name: outcome.not_run for group, outcome in outcomes},
            "rounds_s": {group.name: outcome.seconds for group, outcome in outcomes},
            "aims": [{**asdict(aim), "met": aim.met} for aim in met],
        },
        data=[recording(each.path) for each in recordings],
        load=load,
    )


def asked(arguments: argparse.Namespace, options: Sequence[str]) -> str:
    """The command again, without the paths of this machine."""
    words = ["python -m benchmarks.peers"]
    words += ["--quick"] if arguments.quick else []
    words += [f"--{option} PYTHON" for option in options if getattr(arguments, option)]
    words += ["RECORDING..."] if arguments.recordings else []
    return " ".join(words)
