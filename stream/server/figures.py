"""What a server tells of itself: its health in a few words, and its metrics."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Literal

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from .. import heap
from ..models.batcher import Batcher
from .metrics import PREFIX, Metrics
from .sessions import SessionTable

State = Literal["ok", "stopping", "failed"]


def state(table: SessionTable) -> State:
    """Whether there is anything to expect of it."""
    return "failed" if table.failed.is_set() else "stopping" if table.stopping else "ok"


def health(table: SessionTable, version: str) -> dict[str, object]:
    """The answer on /health."""
    return {"status": state(table), "sessions": table.running, "capacity": table.capacity, "version": version}


def figures(table: SessionTable, connections: int, models: Batcher, metrics: Metrics) -> Iterator[Metric]:
    """How things stand, and what was done."""
    for name, help_text, value in _gauges(table, connections, models, metrics):
        yield GaugeMetricFamily(PREFIX + name, help_text, value)
    for name, help_text, value in _counters(table, models, metrics):
        yield CounterMetricFamily(PREFIX + name, help_text, value)
    closed = CounterMetricFamily(PREFIX + "closed", "Connections closed for a reason, by reason.", labels=["reason"])
    for reason, count in metrics.refused.items():
        closed.add_metric([reason], count)
    yield closed


def _gauges(
    table: SessionTable, connections: int, models: Batcher, metrics: Metrics
) -> Iterator[tuple[str, str, float]]:
    sessions = list(table.sessions.values())
    yield "sessions", "Sessions now.", table.running
    gone = sum(session.owner is None for session in sessions)
    yield "sessions_detached", "Sessions whose client is gone and may come back.", gone
    yield "capacity", "Sessions for which there is room.", table.capacity
    yield "realtime_factor", "Processing time over audio time of live sessions lately.", metrics.realtime_factor
    yield "connections", "Websockets now.", connections
    waiting_s = sum(session.backlog_s for session in sessions)
    yield "backlog_seconds", "Audio received and not processed.", waiting_s
    yield "event_loop_lag_seconds", "How late the event loop was lately.", metrics.loop_lag_s
    yield "model_wait_seconds", "How long the oldest request waits for a model thread.", models.waiting_s
    yield "python_blocks", "Objects of Python in memory.", sys.getallocatedblocks()
    if (allocated := heap.allocated_bytes()) is not None:
        yield "allocated_bytes", "Memory in use, without objects of Python; what glibc keeps is not.", allocated


def _counters(table: SessionTable, models: Batcher, metrics: Metrics) -> Iterator[tuple[str, str, float]]:
    counts = models.counts
    audio_s = metrics.closed_audio_s + sum(session.length_s for session in table.sessions.values())
    yield "sessions_opened", "Sessions opened.", metrics.opened
    yield "sessions_resumed", "Times a client came back.", metrics.resumed
    yield "audio_seconds", "Audio received.", audio_s
    yield "windows", "Windows segmented.", counts.windows
    yield "window_batches", "Model calls for windows.", counts.window_batches
    yield "embeddings", "Crops embedded.", counts.crops
    yield "model_busy_seconds", "Time the model threads were computing, all together.", counts.busy_s
