"""Which systems do which work, and how it is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import checks
from benchmarks.peers.process import Answer
from benchmarks.peers.turns import Check, Entrant, Group, outputs_of
from benchmarks.results import Figure
from turnstream.clients.evaluation.recordings import Recording
from turnstream.windows import HOP_SAMPLES, SAMPLE_RATE_HZ

OURS = "turnstream"
OFFLINE = "turnstream, offline"
HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ
DIART_LATENCY_S = 0.5  # diart's default
SENKO_UPDATE_S = 1.0


def network_groups(folder: Path) -> list[Group]:
    """The networks alone, the same inputs for all."""
    return [
        Group("window", "segmentation window, 10 s, batch 1", _networks("window"), 10, _same("window", folder)),
        Group("hop", "whole hop: window and crops", _networks("hops"), 3, _same("hop", folder)),
    ]


def stream_groups(audio: str, demo: Recording) -> list[Group]:
    """Live streams over the demo recording."""

    def sane(label: str, answers: Sequence[Answer]) -> dict[str, Figure]:
        return checks.sane_turns(answers[0], demo)

    own = {"latency_s": DIART_LATENCY_S}
    diart = [
        Entrant(OURS, OURS, "stream", own | {"step_s": HOP_S}),
        Entrant("diart", "diart", "stream"),
        Entrant("diart, one trunk", "diart, one trunk", "stream"),
    ]
    update = {"step_s": SENKO_UPDATE_S}
    senko = [Entrant(OURS, OURS, "stream", own | update), Entrant("senko", "senko", "stream", update)]
    passes = [{"audio": audio}]
    return [
        Group("step", f"live step (ours {HOP_S:.3f} s, diart's 0.5 s)", diart, 3, sane, passes),
        Group("update", f"live update of {SENKO_UPDATE_S:g} s", senko, 3, sane, passes),
    ]


def file_group(audio: Sequence[Mapping[str, Any]], demo: Recording, recordings: Sequence[Recording]) -> Group:
    """Whole recordings; `audio` and `recordings` in the same order, the demo recording alone where there are none."""
    passes = [{"audio": each["audio"]} for each in audio]

    def accurate(label: str, answers: Sequence[Answer]) -> dict[str, Figure]:
        checks.sane_turns(answers[0], demo)
        return checks.accuracy(answers[1:] or answers, recordings or [demo])

    entrants = [
        Entrant(OFFLINE, OURS, "file"),
        Entrant(OURS, OURS, "live_file"),
        Entrant("sherpa-onnx", "sherpa-onnx", "file"),
        Entrant("senko", "senko", "file"),
    ]
    return Group("file", "whole recordings", entrants, 5, accurate, passes[1:] or passes, passes, whole=True)


def _networks(task: str) -> list[Entrant]:
    return [Entrant(name, name, task) for name in (OURS, "PyTorch", "ONNX Runtime")]


def _same(group: str, folder: Path) -> Check:
    """Outputs equal to ours."""

    def check(label: str, answers: Sequence[Answer]) -> dict[str, Figure]:
        if label == OURS:
            return {}
        return checks.same_outputs(folder / outputs_of(group, OURS), folder / outputs_of(group, label))

    return check
