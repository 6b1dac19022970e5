"""`turnstream serve --ray`: one server a node of a Ray cluster, which Ray Serve places, restarts and replaces."""

from __future__ import annotations

import logging
import re
from typing import Any

from turnstream.errors import TurnstreamError

from ..engine import load_engine
from ..options import ServeOptions
from .joined import joined, sentence
from .replica import Load, Replica
from .scaling import replicas_for

NAME = "turnstream"
STOPS_WITHIN_S = 10.0  # beyond --shutdown
MOST_TRIES = 3  # of a server that does not start
HEALTH_S = 1.0  # between two questions; after three without an answer a replica is replaced
UP_S, DOWN_S = 10.0, 300.0  # how long more or fewer servers have to be wanted


def deploy(options: ServeOptions, load: Load = load_engine) -> int:
    """Deploys, or replaces one by one what was deployed before; 0 once all servers listen. Raises TurnstreamError."""
    assert options.ray is not None
    with joined(options.ray) as ray:
        serve = _serve()
        least, most = options.replicas or 2 * (_nodes(ray),)
        application = serve.deployment(Replica, **_wanted(options, least, most)).bind(options, load)
        try:
            serve.start(proxy_location="Disabled")
            serve.run(application, name=NAME, route_prefix=None)
        except (RuntimeError, ray.exceptions.RayError) as error:
            raise TurnstreamError(
                f"cannot deploy on the Ray cluster at {options.ray}: {_reason(serve, error)}"
            ) from None
    count = f"{least} to {most} servers" if least < most else "1 server" if most == 1 else f"{most} servers"
    print(f"{count}, each listening on port {options.config.port} of its node", flush=True)
    return 0


def _serve() -> Any:
    try:
        from ray import serve
    except ImportError:
        raise TurnstreamError("expected Ray Serve for --ray: pip install 'turnstream[cluster]'") from None
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    return serve


def _reason(serve: Any, error: Exception) -> str:
    """What a server said last that did not start; Ray hands on its whole traceback."""
    deployed = serve.status().applications.get(NAME)
    told = [one.message for one in deployed.deployments.values()] if deployed else []
    said = re.findall(r"^[\w.]+Error: (.+)$", "\n".join(told), re.MULTILINE)
    return str(said[-1]) if said else sentence(error)


def _nodes(ray: Any) -> int:
    """Those that can hold a server."""
    nodes: list[dict[str, Any]] = ray.nodes()
    return max(1, len([node for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]))


def _wanted(options: ServeOptions, least: int, most: int) -> dict[str, Any]:
    """The options of the deployment."""
    scale: dict[str, Any] = {"num_replicas": least}
    if least < most:
        scale = {"autoscaling_config": _scaling(least, most)}
    return {
        **scale,
        "name": "server",
        "max_replicas_per_node": 1,
        "max_constructor_retry_count": MOST_TRIES,
        "ray_actor_options": {"num_cpus": 1},
        "health_check_period_s": HEALTH_S,
        "health_check_timeout_s": 3 * HEALTH_S,
        "graceful_shutdown_wait_loop_s": 0.1,
        "graceful_shutdown_timeout_s": options.config.shutdown_s + STOPS_WITHIN_S,
    }


def _scaling(least: int, most: int) -> dict[str, Any]:
    return {
        "min_replicas": least,
        "max_replicas": most,
        "initial_replicas": least,
        "upscale_delay_s": UP_S,
        "downscale_delay_s": DOWN_S,
        "metrics_interval_s": 1.0,
        "look_back_period_s": 5.0,
        "policy": {"policy_function": replicas_for},
    }
