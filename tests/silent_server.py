"""Server processes of their own whose models are stand-ins: they start in a second and die like any other.

silent_server.py PORT STORE SNAPSHOT_S                                   says `listening` once it is
silent_server.py PORT STORE SNAPSHOT_S --ray ADDRESS --replicas N    deploys N of them on a Ray cluster
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from silent_diarizer import SilentDiarizer

from turnstream.clients.argument_values import replicas
from turnstream.clients.options import ServeOptions, WeightOptions
from turnstream.clients.outputs import complain
from turnstream.clients.serve import serve_until_stopped
from turnstream.errors import TurnstreamError
from turnstream.server.config import ServerConfig

LIMITS: dict[str, Any] = {
    "max_sessions": 12,
    "status_s": 0.2,
    "resume_s": 20.0,
    "trusted_proxies": ("127.0.0.0/8",),
}


def silent_diarizer(_: WeightOptions) -> Any:
    diarizer: Any = SilentDiarizer()
    diarizer.models._noise = 0.0  # answers depend on the question alone, whichever process is asked
    return diarizer


def broken(_: WeightOptions) -> Any:
    raise TurnstreamError("no such weights")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("store")
    parser.add_argument("snapshot_s", type=float)
    parser.add_argument("--ray")
    parser.add_argument("--replicas", type=replicas)
    parser.add_argument("--broken", action="store_true")
    args = parser.parse_args()
    config = ServerConfig(port=args.port, store=args.store, snapshot_s=args.snapshot_s, **LIMITS)
    options = ServeOptions(config, WeightOptions(), ray=args.ray, replicas=args.replicas)
    if args.ray is None:
        return serve_until_stopped(silent_diarizer(options.weights), options)
    from turnstream.clients.cluster.deployment import deploy

    try:
        return deploy(options, broken if args.broken else silent_diarizer)
    except TurnstreamError as error:
        return complain(str(error))


if __name__ == "__main__":
    sys.exit(main())
