"""`turnstream serve`: options to a server, signals to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from turnstream.diarizer import Diarizer
from turnstream.server.server import Server, model_names

from .logs import begin_log
from .options import ServeOptions
from .outputs import complain

LOG = logging.getLogger(__name__)
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SWITCH_S = 0.0005  # how long a thread keeps Python's lock: the model threads need it often and shortly


def serve_until_stopped(diarizer: Diarizer, options: ServeOptions) -> int:
    """Listens until SIGINT or SIGTERM; 0 once every session has its final result. Raises ServerError.

    Where the models die, the process ends with 1, for its supervisor to start it again.
    """
    sys.setswitchinterval(SWITCH_S)
    begin_log(options.log_level, options.log_format)
    server = make_server(diarizer, options)
    asyncio.run(_serve(server))
    if server.table.failed.is_set():
        code = complain("the models do not answer any more: the server has to be started again")
        os._exit(code)  # an orderly end would wait for them
    return 0


def make_server(diarizer: Diarizer, options: ServeOptions) -> Server:
    """As the options ask for it. Raises ServerError."""
    weights = options.weights
    return Server(diarizer, options.config, model_names(_file(weights.segmentation), _file(weights.embedding)))


async def _serve(server: Server) -> None:
    config, stop = server.config, asyncio.Event()
    with _signals(stop):
        async with server.listening() as port:
            found = "as configured" if config.max_sessions else "measured"
            secure, room = "s" if config.tls_certificate else "", f"{server.table.capacity} sessions ({found})"
            print(f"listening on ws{secure}://{_at(config.host, port)}/v1, room for {room}", flush=True)
            print(f"the page is at http{secure}://{_at(_name(config.host), port)}/", flush=True)
            await first_of(stop, server.table.failed)
            if not server.table.failed.is_set():
                LOG.info("stopping: sessions get their final results")


async def first_of(*events: asyncio.Event) -> None:
    """Returns once one of them is set."""
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


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _name(host: str) -> str:
    """What a browser can open: the machine's own name where the server listens on all of its addresses."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def _file(path: str | None) -> str | None:
    return Path(path).name if path else None
