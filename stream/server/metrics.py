"""Counters of the server as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Metrics:
    """What has happened since the start; what is now is asked when the text is made."""

    opened: int = 0
    resumed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed_audio_s: float = 0.0  # of sessions that are over
    loop_lag_s: float = 0.0
    realtime_factor: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One metric: its value or, by a label, several."""

    name: str
    kind: str
    help: str
    values: dict[str, float]  # label text ("" for none) -> value


def exposition(samples: Iterable[Sample]) -> str:
    """The text that Prometheus reads."""
    lines = []
    for sample in samples:
        name = f"turnstream_{sample.name}"
        lines += [f"# HELP {name} {sample.help}", f"# TYPE {name} {sample.kind}"]
        lines += [f"{name}{label} {value:g}" for label, value in sample.values.items()]
    return "\n".join(lines)
