"""`turnstream serve`: options to a server, signals to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from turnstream.diarizer import Diarizer
from turnstream.server.server import Server, model_names

from .options import ServeOptions

SWITCH_S = 0.0005  # how long a thread keeps Python's lock: the model threads need it often and shortly


def serve_until_stopped(diarizer: Diarizer, options: ServeOptions) -> int:
    """Listens until SIGINT or SIGTERM; 0 once every session has its final result. Raises ServerError."""
    sys.setswitchinterval(SWITCH_S)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    weights = options.weights
    server = Server(diarizer, options.config, model_names(_file(weights.segmentation), _file(weights.embedding)))
    asyncio.run(_serve(server))
    return 0


async def _serve(server: Server) -> None:
    config, stop = server.config, asyncio.Event()
    with _signals(stop):
        async with server.listening() as port:
            scheme = "wss" if config.tls_certificate else "ws"
            host = f"[{config.host}]" if ":" in config.host else config.host
            found = "as configured" if config.max_sessions else "measured"
            print(
                f"listening on {scheme}://{host}:{port}/v1, room for {server.capacity} sessions ({found})", flush=True
            )
            await stop.wait()
            print("stopping: sessions get their final results", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets `stop`, the second one does not wait."""
    loop = asyncio.get_running_loop()

    def first(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _file(path: str | None) -> str | None:
    return Path(path).name if path else None
