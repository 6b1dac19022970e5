"""The whole engine on the demo recording, as fast as it goes: real-time factor, where the time goes, memory.

    pytest benchmarks/bench_engine.py -s [--results FOLDER]

Checked before it is timed: the result has the two speakers that the reference has.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.conftest import Found
from benchmarks.results import Figure, median
from benchmarks.results import recording as data_of
from benchmarks.speed.peak import peak_mib
from benchmarks.stand_ins import Forwarding
from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer
from turnstream.kernels.backend import describe, measure_gflops
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording
from turnstream.windows import HOP_SAMPLES, SAMPLE_RATE_HZ

RECORDING_TIMES = 10
CHUNK_SAMPLES = 320  # 20 ms, what a microphone or a telephone line delivers


class Stopwatch(Forwarding):
    """The models, with the seconds spent in each of them."""

    def __init__(self, models: Any):
        super().__init__(models)
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def segment(self, *window: Any) -> tuple[np.ndarray, Any]:
        return self._timed("segmentation", 1, self._models.segment, *window)

    def embed(self, crops: list[np.ndarray]) -> np.ndarray:
        return self._timed("embedding", len(crops), self._models.embed, crops)

    def _timed(self, stage: str, calls: int, run: Callable[..., Any], *values: Any) -> Any:
        start_s = time.perf_counter()
        result = run(*values)
        self.seconds[stage] += time.perf_counter() - start_s
        self.calls[stage] += calls
        return result


@pytest.fixture(scope="module")
def diarizer(found: Found) -> Iterator[Diarizer]:
    with Diarizer() as engine:
        gflops = measure_gflops()
        print(f"\n{describe()}, {gflops:.0f} GFLOP/s")
        found.figures["machine"] = Figure(gflops, "GFLOP/s", "time", "higher")
        found.data.append(data_of(demo_recording()[0]))
        yield engine


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    samples, rate_hz = soundfile.read(demo_recording()[0], dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    return samples


def test_whole_engine(benchmark: Any, diarizer: Diarizer, recording: np.ndarray, found: Found) -> None:
    """Audio in chunks of 20 ms to the final result, hop 0.506 s, latency 1 s."""
    models = Stopwatch(diarizer.models)

    def run() -> Any:
        session = Session(models, AudioInput(), StitcherConfig(), Timeline(1.0))
        for start in range(0, len(recording), CHUNK_SAMPLES):
            session.feed(recording[start : start + CHUNK_SAMPLES])
        return session.close()

    assert {turn.speaker for turn in run().turns} == {"S1", "S2"}
    models.seconds.clear()
    models.calls.clear()
    benchmark.pedantic(run, rounds=7, iterations=1)
    times = benchmark.stats.stats
    rounds, duration_s = len(times.data), len(recording) / SAMPLE_RATE_HZ
    benchmark.extra_info["times_real_time"] = round(duration_s / times.median, 1)
    hops = models.calls["segmentation"] / rounds
    rest_s = sum(times.data) - sum(models.seconds.values())
    print(f"\n{duration_s:.0f} s of audio in {times.median:.2f} s (median of {rounds}): ", end="")
    print(f"{duration_s / times.median:.1f} times real time; {times.median / hops * 1e3:.1f} ms a hop of", end=" ")
    print(f"{HOP_SAMPLES / SAMPLE_RATE_HZ * 1e3:.0f} ms")
    found.figures["times_real_time"] = median([duration_s / s for s in times.data], "times", "time", "higher")
    found.figures["hop.whole"] = median([1e3 * s / hops for s in times.data], "ms", "time")
    for stage, seconds in [*models.seconds.items(), ("everything else", rest_s)]:
        calls, ms = models.calls.get(stage, 0) / rounds, seconds / rounds / hops * 1e3
        print(f"  {stage:16} {ms:6.2f} ms a hop, {calls / hops:.2f} calls a hop")
        found.figures[f"hop.{stage.replace(' ', '_')}"] = Figure(ms, "ms", "time")
    found.figures["windows"] = Figure(hops, "windows", "count")
    found.figures["embeddings"] = Figure(models.calls["embedding"] / rounds, "embeddings", "count")


def test_recordings(benchmark: Any, diarizer: Diarizer, recording: np.ndarray, found: Found) -> None:
    """The recording ten times over, nothing told before the end, as `turnstream file` does it."""
    long = np.tile(recording, RECORDING_TIMES)

    def run() -> Any:
        session = diarizer.session(live=False)
        for start in range(0, len(long), SAMPLE_RATE_HZ):
            session.feed(long[start : start + SAMPLE_RATE_HZ])
        return session.close()

    assert {turn.speaker for turn in run().turns} == {"S1", "S2"}
    benchmark.pedantic(run, rounds=5, iterations=1)
    duration_s = len(long) / SAMPLE_RATE_HZ
    print(f"\n{duration_s:.0f} s of a recording: {duration_s / benchmark.stats.stats.median:.1f} times real time")
    each = [duration_s / s for s in benchmark.stats.stats.data]
    found.figures["recording.times_real_time"] = median(each, "times", "time", "higher")


def test_memory(recording: np.ndarray, found: Found) -> None:
    """Peak resident memory of a fresh process that diarizes the recording through the command line."""
    command = [str(Path(sys.executable).with_name("turnstream")), "file", str(demo_recording()[0])]
    mib = peak_mib(command)
    print(f"\npeak memory of `turnstream file`: {mib:.0f} MiB")
    found.figures["memory.peak"] = Figure(mib, "MiB", "time")
