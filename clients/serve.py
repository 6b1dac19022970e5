"""`turnstream serve`: options to a server, signals to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from turnstream.diarizer import Diarizer
from turnstream.errors import printable
from turnstream.server.server import Server, model_names

from .options import ServeOptions
from .outputs import complain

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SWITCH_S = 0.0005  # how long a thread keeps Python's lock: the model threads need it often and shortly


def serve_until_stopped(diarizer: Diarizer, options: ServeOptions) -> int:
    """Listens until SIGINT or SIGTERM; 0 once every session has its final result. Raises ServerError.

    Where the models die, the process ends with 1, for its supervisor to start it again.
    """
    sys.setswitchinterval(SWITCH_S)
    _log_to_stderr()
    weights = options.weights
    server = Server(diarizer, options.config, model_names(_file(weights.segmentation), _file(weights.embedding)))
    asyncio.run(_serve(server))
    if server.table.failed.is_set():
        code = complain("the models do not answer any more: the server has to be started again")
        os._exit(code)  # an orderly end would wait for them
    return 0


async def _serve(server: Server) -> None:
    config, stop = server.config, asyncio.Event()
    with _signals(stop):
        async with server.listening() as port:
            scheme = "wss" if config.tls_certificate else "ws"
            host = f"[{config.host}]" if ":" in config.host else config.host
            found = "as configured" if config.max_sessions else "measured"
            print(
                f"listening on {scheme}://{host}:{port}/v1, room for {server.table.capacity} sessions ({found})",
                flush=True,
            )
            await _first_of(stop, server.table.failed)
            if not server.table.failed.is_set():
                print("stopping: sessions get their final results", file=sys.stderr, flush=True)


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP sets `stop`, the second one, whichever it is, does not wait."""
    loop = asyncio.get_running_loop()
    heeded = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]

    def remove() -> None:
        for number in heeded:
            loop.remove_signal_handler(number)

    def first() -> None:
        stop.set()
        remove()

    for number in heeded:
        loop.add_signal_handler(number, first)
    try:
        yield
    finally:
        remove()


class _OneLine(logging.Formatter):
    """Messages on one line that obey `printable`, for addresses and errors may hold what strangers send."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """As logging.Formatter's."""
        return printable(super().formatMessage(record))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def _file(path: str | None) -> str | None:
    return Path(path).name if path else None
