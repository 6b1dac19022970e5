"""How many servers a deployment should have, by how full they are."""

from __future__ import annotations

import math
from typing import Any

FULL_SHARE = 0.7  # of all places taken, from which one more server is wanted: it takes its time to start


def replicas_for(context: Any) -> tuple[int, dict[str, Any]]:
    """A policy of Ray Serve (`AutoscalingContext`): as many as hold the sessions at `FULL_SHARE` of their capacity."""
    sessions, capacity = (_newest(context, name) for name in ("sessions", "capacity"))
    if not capacity:
        return context.target_num_replicas, {}
    each = sum(capacity) / len(capacity)
    return math.ceil(sum(sessions) / (FULL_SHARE * each)), {}


def _newest(context: Any, name: str) -> list[float]:
    """Of each replica that runs and has told."""
    told = (context.aggregated_metrics or {}).get(name, {})
    return [value for replica, value in told.items() if replica in context.running_replicas]
