"""A server process of its own whose models are stand-ins: it starts in a second and dies like any other.

Arguments: port, store, seconds between two snapshots. Says `listening` once it is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from silent_diarizer import SilentDiarizer

from turnstream.clients.options import ServeOptions, WeightOptions
from turnstream.clients.serve import serve_until_stopped
from turnstream.server.config import ServerConfig


def main(port: str, store: str, snapshot_s: str) -> int:
    diarizer: Any = SilentDiarizer()
    diarizer.models._noise = 0.0  # answers depend on the question alone, whichever process is asked
    limits: dict[str, Any] = {
        "max_sessions": 12,
        "status_s": 0.2,
        "resume_s": 20.0,
        "trusted_proxies": ("127.0.0.0/8",),
    }
    config = ServerConfig(port=int(port), store=store, snapshot_s=float(snapshot_s), **limits)
    return serve_until_stopped(diarizer, ServeOptions(config, WeightOptions()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
