"""senko's streaming session and its pipeline for whole recordings. Needs an interpreter that has senko."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import senko

from benchmarks.peers.passes import RATE_HZ, Timed, read_audio


class Senko:
    """All settings are senko's defaults on a CPU: Silero's voice activity detection, CAM++."""

    def __init__(self, folder: Path, cores: int):
        self.diarizer = senko.Diarizer(device="cpu")
        self.settings = {"device": "cpu", "vad": self.diarizer.vad_model_type}

    def stream(self, audio: str, step_s: float) -> Timed:
        """A session fed `step_s` at a time: every update, and the last result."""
        session, samples, seconds = senko.DiarizationSession(self.diarizer), read_audio(audio), []
        size = round(step_s * RATE_HZ)
        for start in range(0, len(samples), size):
            began = time.perf_counter()
            session.add_samples(samples[start : start + size])
            seconds.append(time.perf_counter() - began)
        return Timed(seconds, _turns(session.get_diarization()))

    def file(self, audio: str) -> Timed:
        """A whole recording at once."""
        samples, began = read_audio(audio), time.perf_counter()
        found = self.diarizer.diarize_samples(samples)
        return Timed([time.perf_counter() - began], _turns(found))


def _turns(found: dict[str, Any] | None) -> list[list[Any]]:
    """[start s, end s, speaker] of every merged segment."""
    return [[s["start"], s["end"], s["speaker"]] for s in (found or {}).get("merged_segments", [])]
