"""A replica of Ray Serve that is a server with a port of its own: audio never passes through Serve's proxies."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from turnstream.errors import TurnstreamError
from turnstream.server.config import ServerError
from turnstream.server.server import Server

from ..logs import begin_log
from ..options import ServeOptions, WeightOptions
from ..serve import SWITCH_S, first_of, make_server

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer

Load = Callable[[WeightOptions], "Diarizer"]
PAGE = Path(__file__).parents[1] / "web"
AGAIN_S = 0.2  # to the next try to listen
ANSWER_S = 2.0  # an event loop that takes longer is stuck


class Replica:
    """Ray Serve makes it in a process of its own, asks how it is, and deletes it at the end."""

    _running: Running | None = None

    def __init__(self, options: ServeOptions, load: Load):
        import ray

        sys.setswitchinterval(SWITCH_S)
        begin_log(options.log_level, options.log_format)
        config = replace(options.config, host=ray.util.get_node_ip_address(), page=PAGE)
        self._running = Running(make_server(load(options.weights), replace(options, config=config)))

    async def check_health(self) -> None:
        """As Ray Serve asks for it. Raises TurnstreamError, and is replaced."""
        assert self._running
        await self._running.check()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """As Ray Serve asks for it."""
        assert self._running
        table = self._running.server.table
        return {"sessions": float(table.running), "capacity": float(table.capacity)}

    def __del__(self) -> None:
        """Ray Serve's way to say that the replica is to stop: its sessions go on elsewhere."""
        if self._running:
            self._running.stop()


class Running:
    """A server that listens, with an event loop and a thread of its own. Raises ServerError."""

    def __init__(self, server: Server):
        self.server = server
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._begun: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._thread.start()
        self.port = self._begun.result()

    async def check(self) -> None:
        """Raises TurnstreamError unless it can serve."""
        if self.server.table.failed.is_set() or not self._thread.is_alive():
            raise TurnstreamError("the models do not answer any more")
        answer = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop)
        try:
            await asyncio.wait_for(asyncio.wrap_future(answer), ANSWER_S)
        except TimeoutError:
            raise TurnstreamError(f"the event loop does not answer within {ANSWER_S:g} s") from None

    def stop(self) -> None:
        """Hands its sessions over, and returns when that is done."""
        with contextlib.suppress(RuntimeError):  # it has ended before
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except Exception as error:
                if self._begun.done():
                    raise
                self._begun.set_exception(error)

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            self._begun.set_result(await _listen(stack, self.server))
            await first_of(self._stop, self.server.table.failed)


async def _listen(stack: contextlib.AsyncExitStack, server: Server) -> int:
    """The port, once it is free: in a rollout, the former server of the node may still have it."""
    end_s = time.monotonic() + server.config.shutdown_s
    while True:
        try:
            return await stack.enter_async_context(server.listening())
        except ServerError:
            if time.monotonic() > end_s:
                raise
            await asyncio.sleep(AGAIN_S)
