"""The client of the soak: whichever way its connections end, it comes to the result of the audio it has."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest
import soundfile
from server_kit import serving
from silent_diarizer import SilentDiarizer
from tone_speakers import conversation, write_recording

from benchmarks import soak_client
from benchmarks.soak_client import FAULTS, Client
from turnstream.diarizer import Session


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three who hum in turn: 16 kHz, 16 bits."""
    path = write_recording(tmp_path_factory.mktemp("tones") / "tones.wav", conversation(seed=2, turns=8))
    samples: np.ndarray = soundfile.read(path, dtype="int16")[0]
    return samples.tobytes()


@pytest.mark.slow
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
