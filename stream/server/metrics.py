"""What happens on a server, as Prometheus reads it: counts and times since the start, and how things stand now."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "turnstream_"
LAG_S = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)
PROCESSING_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0)


def _histogram(name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(PREFIX + name, help_text, buckets=buckets, registry=None)


@dataclass
class Metrics:
    """Of one server; several can live in one process."""

    opened: int = 0
    resumed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed_audio_s: float = 0.0  # of sessions that are over
    loop_lag_s: float = 0.0
    realtime_factor: float = 0.0
    lag: Histogram = field(
        default_factory=lambda: _histogram("lag_seconds", "From the arrival of live audio to its events.", LAG_S)
    )
    processing: Histogram = field(
        default_factory=lambda: _histogram("processing_seconds", "Time of a session for one hop.", PROCESSING_S)
    )

    def exposition(self, now: Callable[[], Iterable[Metric]]) -> Callable[[], bytes]:
        """What makes the text of everything that there is to read; `now` is asked each time."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        for collector in (self.lag, self.processing, _Now(now)):
            registry.register(collector)
        return functools.partial(generate_latest, registry)


class _Now(Collector):
    def __init__(self, now: Callable[[], Iterable[Metric]]):
        self._now = now

    def collect(self) -> Iterable[Metric]:
        return self._now()

    def describe(self) -> Iterable[Metric]:
        return []  # its names are not asked for before the server runs
