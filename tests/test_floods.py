"""The floods that are measured: each of them ends by itself and leaves a server that answers."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from server_kit import closed_with, serving
from silent_diarizer import SilentDiarizer

from benchmarks import floods
from benchmarks.floods import FLOODS, flood_for


@pytest.mark.skipif(sys.platform != "linux", reason="floods come from 127.0.0.2")
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_and_others_are_served_meanwhile(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(floods, "BURST", 3000)
    monkeypatch.setattr(floods, "SILENT", 20)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer) as (server, url):
            flood = asyncio.create_task(flood_for(name, url, 0.5))
            assert (await closed_with(url, bytes(100), '{"type":"stop"}'))[0] == 1000
            await flood
            assert server.metrics.opened > 1 or server.metrics.refused or name in ("silent", "bare")

    asyncio.run(asyncio.wait_for(client(), 30))
