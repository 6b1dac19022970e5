"""What a server tells of itself: its health in a few words, and its metrics."""

from __future__ import annotations

from typing import Literal

from ..models.batcher import Batcher
from .metrics import Metrics, Sample
from .sessions import SessionTable

State = Literal["ok", "stopping", "failed"]


def state(table: SessionTable) -> State:
    """Whether there is anything to expect of it."""
    return "failed" if table.failed.is_set() else "stopping" if table.stopping else "ok"


def health(table: SessionTable, version: str) -> dict[str, object]:
    """The answer on /health."""
    return {"status": state(table), "sessions": table.running, "capacity": table.capacity, "version": version}


def samples(table: SessionTable, connections: int, models: Batcher, metrics: Metrics) -> list[Sample]:
    """The answer on /metrics."""
    sessions, counts = list(table.sessions.values()), models.counts
    audio_s = metrics.closed_audio_s + sum(session.length_s for session in sessions)
    refused = {f'{{reason="{reason}"}}': float(n) for reason, n in metrics.refused.items()}
    waiting_s = sum(session.backlog_s for session in sessions)
    detached = sum(session.owner is None for session in sessions)
    return [
        Sample("sessions", "gauge", "Sessions now.", {"": table.running}),
        Sample("sessions_detached", "gauge", "Sessions whose client is gone and may come back.", {"": detached}),
        Sample("capacity", "gauge", "Sessions for which there is room.", {"": table.capacity}),
        Sample(
            "realtime_factor",
            "gauge",
            "Processing time over audio time of live sessions lately.",
            {"": metrics.realtime_factor},
        ),
        Sample("connections", "gauge", "Websockets now.", {"": connections}),
        Sample("backlog_seconds", "gauge", "Audio received and not processed.", {"": waiting_s}),
        Sample("event_loop_lag_seconds", "gauge", "How late the event loop was lately.", {"": metrics.loop_lag_s}),
        Sample(
            "model_wait_seconds",
            "gauge",
            "How long the oldest request waits for a model thread.",
            {"": models.waiting_s},
        ),
        Sample("sessions_opened_total", "counter", "Sessions opened.", {"": metrics.opened}),
        Sample("sessions_resumed_total", "counter", "Times a client came back.", {"": metrics.resumed}),
        Sample("closed_total", "counter", "Connections closed for a reason, by reason.", refused),
        Sample("audio_seconds_total", "counter", "Audio received.", {"": audio_s}),
        Sample("windows_total", "counter", "Windows segmented.", {"": counts.windows}),
        Sample("window_batches_total", "counter", "Model calls for windows.", {"": counts.window_batches}),
        Sample("embeddings_total", "counter", "Crops embedded.", {"": counts.crops}),
        Sample(
            "model_busy_seconds_total",
            "counter",
            "Time the model threads were computing, all together.",
            {"": counts.busy_s},
        ),
    ]
