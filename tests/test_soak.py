"""The client of the soak: whichever way its connections end, it comes to the result of the audio it has."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from typing import Any

import numpy as np
import pytest
import soundfile
from server_kit import serving
from silent_diarizer import SilentDiarizer
from tone_speakers import conversation, write_recording

from benchmarks import soak_client
from benchmarks.footprint import Footprint, check_flat, figures, growth
from benchmarks.soak_client import FAULTS, Client
from turnstream.diarizer import Session


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three who hum in turn: 16 kHz, 16 bits."""
    path = write_recording(tmp_path_factory.mktemp("tones") / "tones.wav", conversation(seed=2, turns=8))
    samples: np.ndarray = soundfile.read(path, dtype="int16")[0]
    return samples.tobytes()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("fault", sorted(set(FAULTS)))
def test_after_any_fault_the_result_is_that_of_all_audio(
    audio: bytes, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak_client, "FAULTS", (fault,))
    monkeypatch.setattr(soak_client, "LEAVE_SHARE", 0.0)
    diarizer: Any = SilentDiarizer()
    alone: Session = diarizer.session(
        sample_rate_hz=16_000,
        channels=1,
        encoding="pcm_s16le",
        latency_s=1.0,
        known=[],
        models=diarizer.models,
        activity=False,
    )
    alone.feed(audio)
    expected = alone.close().to_rttm("talk")

    async def client() -> Client:
        async with serving(diarizer) as (_, url):
            one = Client(audio, random.Random(1))
            assert await one.run(url)
            return one

    one = asyncio.run(asyncio.wait_for(client(), 60))
    assert one.faults[fault] >= 2
    assert len(expected.splitlines()) >= 6
    assert one.has("talk", expected)
    assert not one.has("talk", expected.replace("S1", "S2"))


@pytest.mark.slow
@pytest.mark.alone
def test_faults_leave_nothing_behind(audio: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sessions that ended and of some whose client never came back, round after round."""
    diarizer: Any = SilentDiarizer()
    blocks: list[int] = []

    async def visit(url: str, fault: str, leaves: float, number: int) -> None:
        monkeypatch.setattr(soak_client, "FAULTS", (fault,))
        monkeypatch.setattr(soak_client, "LEAVE_SHARE", leaves)
        await Client(audio[:96_000], random.Random(f"{fault} {number}")).run(url)

    async def client() -> None:
        async with serving(diarizer, resume_s=2.0) as (server, url):
            for number in range(3):
                for fault in sorted(set(FAULTS)):
                    await visit(url, fault, 0.0, number)
                    await visit(url, fault, 1.0, number)
                while server.table.sessions or server._connections:
                    await asyncio.sleep(0.05)
                gc.collect()
                blocks.append(sys.getallocatedblocks())

    asyncio.run(asyncio.wait_for(client(), 60))
    assert blocks[2] - blocks[1] < 300, blocks


def at(minutes: float, more: float = 0.0, blocks: float = 0.0, descriptors: int = 8) -> Footprint:
    return Footprint(minutes, 500 + more, 150 + more, 500_000 + blocks, descriptors)


def test_growth_is_told_with_how_sure_it_is() -> None:
    chance = np.random.default_rng(0)
    minutes = np.arange(0, 20, 0.2)
    for slope in (0.0, 0.5):
        figure = growth(list(minutes), list(100 + slope * minutes + chance.normal(0, 0.5, 100)), "MiB/min")
        assert figure.spread is not None
        low, high = figure.spread
        assert low < slope < high
        assert (low > 0) == (slope > 0)
        assert high - low < 0.2
    assert growth([1.0, 1.1], [1.0, 9.0], "MiB/min").spread is None


def test_memory_is_flat_where_a_server_at_rest_holds_no_more_than_halfway() -> None:
    samples = [at(number / 6) for number in range(180)]
    rests = [at(0, -100), at(15), at(30, 1.0, 1000)]
    found = figures(samples, rests)
    check_flat(found)
    assert found["rest.allocated_growth"].value == 1
    assert [name for name in found if name.startswith("memory_at")] == [
        f"memory_at.{n:02d}_min" for n in range(0, 30, 5)
    ]
    for grown, said in (
        (at(30, 3.0), "allocated"),
        (at(30, 0.0, 30_001), "python_blocks"),
        (at(30, descriptors=11), "descriptors"),
    ):
        with pytest.raises(AssertionError, match=said):
            check_flat(figures(samples, [*rests[:2], grown]))
