"""The floods that are measured: each of them ends by itself and leaves a server that answers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from server_kit import closed_with, serving
from silent_diarizer import SilentDiarizer

from benchmarks import flooder
from benchmarks.flooder import FLOODS, FLOODS_OF_TLS, flood_for, tiny
from benchmarks.floods import NOBODY, SPIN, Row, figures
from benchmarks.fronts import balanced, tls_options
from turnstream.server.audio_queue import QUEUE_S


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="floods come from 127.0.0.2")
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_and_others_are_served_meanwhile(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flooder, "BURST", 3000)
    monkeypatch.setattr(flooder, "SILENT", 20)
    monkeypatch.setattr(flooder, "HELD_S", 0.2)
    if name in ("bytes", "keep-alives", "pings"):
        data = {"bytes": flooder.frame(2, b"x"), "pings": flooder.frame(9, b"")}
        monkeypatch.setitem(FLOODS, name, tiny(data.get(name, flooder.frame(1, b'{"type":"KeepAlive"}'))))
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer) as (server, url):
            port = int(url.rsplit(":", 1)[1])
            flood = asyncio.create_task(asyncio.to_thread(flood_for, name, port, 0.5))
            while not flood.done():
                assert (await closed_with(url, bytes(100), '{"type":"stop"}'))[0] == 1000
            assert await flood >= 0
            assert server.metrics.opened > 1
            assert (server.metrics.refused != {}) == (name in ("names", "bytes", "keep-alives", "pings"))

    asyncio.run(asyncio.wait_for(client(), 30))


@pytest.mark.skipif(sys.platform != "linux", reason="floods come from 127.0.0.2")
@pytest.mark.parametrize("name", FLOODS_OF_TLS)
def test_handshakes_that_lead_nowhere_keep_nobody_out(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flooder, "SILENT", 150)
    monkeypatch.setattr(flooder, "HELD_S", 0.2)
    diarizer: Any = SilentDiarizer()

    async def client(certificate: str, key: str) -> None:
        async with serving(diarizer, tls_certificate=Path(certificate), tls_key=Path(key)) as (_, url):
            port, url = int(url.rsplit(":", 1)[1]), url.replace("ws:", "wss:")
            flood = asyncio.create_task(asyncio.to_thread(flood_for, name, port, 0.5))
            while not flood.done():
                assert (await closed_with(url, bytes(100), '{"type":"stop"}'))[0] == 1000
            assert await flood >= 0

    with tls_options(wanted=True) as options:
        asyncio.run(asyncio.wait_for(client(*options[1::2]), 30))


@pytest.mark.skipif(sys.platform != "linux", reason="floods come from 127.0.0.2")
@pytest.mark.parametrize("through", ["nothing", "haproxy"])
def test_audio_that_comes_as_fast_as_it_is_taken_waits_in_its_sender(through: str):
    if through == "haproxy" and shutil.which("haproxy") is None:
        pytest.skip("no haproxy: apt install haproxy")
    diarizer: Any = SilentDiarizer()
    diarizer.models.then = lambda: time.sleep(0.02)
    waiting_s: list[float] = []

    async def client() -> None:
        async with serving(diarizer) as (server, url):
            port = int(url.rsplit(":", 1)[1])
            with balanced(port) if through == "haproxy" else contextlib.nullcontext(port) as reached:
                flood = asyncio.create_task(asyncio.to_thread(flood_for, "fast", reached, 1.0))
                while not flood.done():
                    waiting_s.extend(session.backlog_s for session in server.table.sessions.values())
                    await asyncio.sleep(0.01)
                await flood
            assert sum(session.length_s for session in server.table.sessions.values()) > 2 * QUEUE_S

    asyncio.run(asyncio.wait_for(client(), 30))
    assert QUEUE_S / 2 < max(waiting_s) <= QUEUE_S + 0.1


def test_spinning_takes_its_share():
    assert 0 < flood_for(SPIN, 0, 0.5, 0.3) < 0.4


def test_medians_count_but_of_health_the_worst_round():
    rounds = [
        {NOBODY: Row(5, 9, 0, 40, 80, 0, 0.1, 2), "bare": Row(6, longest, lost, 50, 100, 0.2, 0.3, grown, ratio)}
        for longest, lost, grown, ratio in ((10, 0, 3, 1.1), (90, 1, 9, 1.5), (20, 0, 4, 1.2))
    ]
    found = figures(rounds)
    assert (found["bare.health_max"].value, found["bare.health_lost"].value) == (90, 1)
    assert (found["bare.live_ratio"].value, found["bare.live_ratio"].spread) == (1.2, (1.1, 1.5))
    assert found["none.live_p95"].value == 80
    assert (found["bare.memory"].value, found["worst.memory"].value) == (9, 9)
    assert [found[f"worst.{name}"].value for name in ("health_max", "health_lost", "live_ratio")] == [90, 1, 1.2]
