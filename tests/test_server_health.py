"""Models that die or do not answer, and an event loop that is late: seen by the server and by those who ask it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from server_kit import QUICK, Listener, ask, closed_with, hear_out, run, serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.clients.options import ServeOptions, WeightOptions
from turnstream.clients.serve import serve_until_stopped
from turnstream.models.batcher import Batcher
from turnstream.models.requests import Request
from turnstream.protocol.messages import Start, encode


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


@pytest.mark.parametrize(("name", "value"), [("is_alive", False), ("stalled_s", 1e9)])
def test_dead_models_end_sessions_and_are_seen_in_health(diarizer: Any, name: str, value: Any):
    async def client() -> None:
        async with serving(diarizer) as (server, url), connect(url) as socket:
            await socket.send(encode(Start()))
            await socket.recv()
            setattr(diarizer.models, name, value)
            assert await hear_out(socket, Listener()) == 4500
            assert server.table.failed.is_set()
            status, _, body = await ask(url, "GET /health HTTP/1.1\nHost: localhost")
            assert (status, json.loads(body)["status"]) == (503, "failed")
            assert (await closed_with(url, encode(Start())))[0] == 4500

    run(client())


def test_a_server_whose_models_are_dead_ends_its_process(
    diarizer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr("logging.basicConfig", lambda **options: None)
    diarizer.models.is_alive = False
    serve_until_stopped(diarizer, ServeOptions(QUICK, WeightOptions()))
    assert codes == [1]
    assert "the models do not answer any more" in capsys.readouterr().err


def test_the_lag_of_the_event_loop_is_measured(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer) as (server, url):
            await asyncio.sleep(0.3)
            time.sleep(0.6)
            await asyncio.sleep(0.05)
            assert server.metrics.loop_lag_s > 0.3
            _, _, body = await ask(url, "GET /metrics HTTP/1.1\nHost: localhost")
            assert "turnstream_event_loop_lag_seconds 0." in body
            assert "turnstream_model_wait_seconds 0" in body

    run(client())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_model_threads_that_are_dead_or_do_not_answer_are_noticed(monkeypatch: pytest.MonkeyPatch):
    computing, free = threading.Event(), threading.Event()

    def answer(batch: list[Any]) -> None:
        computing.set()
        free.wait(20)
        if not free.is_set() or batch[0].kind == "embed":
            raise SystemExit  # the thread ends in silence
        batch[0].answer.set_result(None)

    loaded = SimpleNamespace(answer=answer)
    monkeypatch.setattr("turnstream.models.batcher.LoadedModels", lambda *weights: loaded)
    monkeypatch.setattr("turnstream.models.batcher.on_cpu_kernels", lambda: False)
    batcher = Batcher({}, {})
    assert (batcher.is_alive, batcher.stalled_s, batcher.waiting_s) == (True, 0.0, 0.0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batcher.ask, "state")
        assert computing.wait(20)
        second = pool.submit(batcher.ask, "state")
        while not batcher._waiting:
            time.sleep(0.001)
        assert batcher.stalled_s > 0
        assert batcher.waiting_s > 0
        free.set()
        first.result(20)
        second.result(20)
    batcher._waiting.append(Request("embed", ([],), True))
    with batcher._changed:
        batcher._changed.notify()
    batcher._threads[0].join(20)
    assert not batcher.is_alive
