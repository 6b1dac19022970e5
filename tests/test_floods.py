"""The floods that are measured: each of them ends by itself and leaves a server that answers."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from server_kit import closed_with, serving
from silent_diarizer import SilentDiarizer

from benchmarks import flooder
from benchmarks.flooder import FLOODS, flood_for, tiny
from benchmarks.floods import NOBODY, SPIN, Row, figures


@pytest.mark.slow
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


def test_spinning_takes_its_share():
    assert 0.02 < flood_for(SPIN, 0, 0.5, 0.3) < 0.25


def test_medians_count_but_of_health_the_worst_round():
    rounds = [
        {NOBODY: Row(5, 9, 0, 40, 80, 0, 0.1), "bare": Row(6, longest, lost, 50, 100, 0.2, 0.3, ratio)}
        for longest, lost, ratio in ((10, 0, 1.1), (90, 1, 1.5), (20, 0, 1.2))
    ]
    found = figures(rounds)
    assert (found["bare.health_max"].value, found["bare.health_lost"].value) == (90, 1)
    assert (found["bare.live_ratio"].value, found["bare.live_ratio"].spread) == (1.2, (1.1, 1.5))
    assert found["none.live_p95"].value == 80
    assert [found[f"worst.{name}"].value for name in ("health_max", "health_lost", "live_ratio")] == [90, 1, 1.2]
