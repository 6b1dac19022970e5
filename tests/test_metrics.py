"""What the server's metrics say of live audio, in the form that Prometheus reads. The models are stand-ins."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_kit import closed_with, serving
from silent_diarizer import SilentDiarizer

from turnstream.server import lag as lag_module
from turnstream.server.lag import Arrivals

SLOW_S = 0.12


async def figures_of(url: str) -> dict[tuple[str, str], float]:
    """All samples by name and, for histograms, bucket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    _, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    samples = [sample for family in text_string_to_metric_families(body) for sample in family.samples]
    return {(sample.name, sample.labels.get("le", "")): sample.value for sample in samples}


@pytest.mark.slow
@pytest.mark.alone
def test_lag_and_processing_time_are_those_of_live_audio():
    diarizer: Any = SilentDiarizer()
    diarizer.models.then = lambda: time.sleep(SLOW_S)

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            await closed_with(url, bytes(32_000), b"")  # 1 s: two windows while it comes
            live = await figures_of(url)
            for name in ("turnstream_lag_seconds", "turnstream_processing_seconds"):
                count = live[f"{name}_count", ""]
                assert 1 <= count <= 2
                assert live[f"{name}_sum", ""] >= SLOW_S * count
                assert live[f"{name}_bucket", "0.1"] == 0
                assert live[f"{name}_bucket", "+Inf"] == count
            await closed_with(url, bytes(20 * 32_000), b"")  # 20 s at once: no lag of anything live
            later = await figures_of(url)
            assert later["turnstream_lag_seconds_count", ""] - live["turnstream_lag_seconds_count", ""] <= 6
            assert later["turnstream_sessions_opened_total", ""] == 2.0

    asyncio.run(asyncio.wait_for(client(), 60))


def test_lag_counts_from_the_newest_audio_that_was_needed(monkeypatch: pytest.MonkeyPatch):
    now_s = [0.0]
    monkeypatch.setattr(lag_module.time, "monotonic", lambda: now_s[0])
    arrivals = Arrivals()
    for now_s[0], position in ((1.0, 100), (2.0, 200), (3.0, 300)):
        arrivals.add(position)
    now_s[0] = 10.0
    assert arrivals.processed(50) == 9.0  # in the middle of the first piece
    assert arrivals.processed(200) == 8.0
    assert arrivals.processed(300) == 7.0
    assert arrivals.processed(300) == 0.0  # nothing waits
