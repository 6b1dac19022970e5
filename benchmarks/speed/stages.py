"""What a hop costs, by stage: the engine fed as a microphone feeds it, its parts behind a stopwatch."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from benchmarks.results import Figure, quantiles
from turnstream.audio.input import AudioInput
from turnstream.events import Event
from turnstream.models.batcher import Batcher
from turnstream.protocol.messages import encode
from turnstream.server.client_view import ClientView
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES, WindowSchedule

STAGES = ("audio", "segmentation", "embedding", "stitching", "timeline", "wire")
CHUNK_S = 0.02  # what a microphone or a telephone line delivers
MOST_REST = 0.1  # of the whole: copies of samples, the order of the frames' classes, the loop itself
Samples = NDArray[np.int16]


class Stopwatch:
    """Seconds spent in methods of single objects, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watch(self, stage: str, owner: Any, *methods: str) -> None:
        """From now on the time of these methods of this object is the stage's; what they do stays what it was."""
        for name in methods:
            setattr(owner, name, self.timed(stage, getattr(owner, name)))

    def timed(self, stage: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time counted."""

        def timed(*arguments: Any) -> Any:
            begun_s = time.perf_counter()
            try:
                return run(*arguments)
            finally:
                self.seconds[stage] += time.perf_counter() - begun_s

        return timed

    def take(self) -> dict[str, float]:
        """The seconds since the last time, by stage."""
        taken, self.seconds = dict(self.seconds), defaultdict(float)
        return taken


@dataclass(frozen=True, slots=True)
class Hops:
    """Milliseconds of every hop by stage, `rest` and `whole` beside the stages."""

    ms: dict[str, list[float]]

    def rest_share(self) -> float:
        """Of the whole, what no stage accounts for."""
        return sum(self.ms["rest"]) / sum(self.ms["whole"])


def measure(models: Batcher, samples: Samples) -> Hops:
    """One stream of 16 kHz audio in chunks of 20 ms, its events made into the messages of the protocol.

    Shapes: samples (N,). Hops whose window reaches before the stream are not counted, the first ones are cheaper.
    Raises AssertionError where the watched engine says anything else than an unwatched one, and where the stages leave
    more than a tenth of the whole unexplained.
    """
    _check(models, samples[: 2 * WINDOW_SAMPLES])
    clock, session = _watched(models)
    encode_all = clock.timed("wire", _encoder())
    ms: dict[str, list[float]] = {stage: [] for stage in (*STAGES, "rest", "whole")}
    whole_s, due = 0.0, WindowSchedule()
    for start, data in _chunks(samples):
        begun_s = time.perf_counter()
        encode_all(session.feed(data))
        whole_s += time.perf_counter() - begun_s
        if start + _chunk_samples(SAMPLE_RATE_HZ) >= due.next_end:
            seconds = clock.take()
            if due.take() >= 0:
                for stage in STAGES:
                    ms[stage].append(1e3 * seconds.get(stage, 0.0))
                ms["whole"].append(1e3 * whole_s)
                ms["rest"].append(1e3 * (whole_s - sum(seconds.values())))
            whole_s = 0.0
    hops = Hops(ms)
    left = hops.rest_share()
    assert 0 <= left < MOST_REST, f"expected stages that make up the whole, {left:.0%} is left"
    return hops


def _watched(models: Batcher) -> tuple[Stopwatch, Session]:
    clock, model_client, audio, timeline = Stopwatch(), models.client(), AudioInput(), Timeline()
    clock.watch("audio", audio, "feed")
    clock.watch("segmentation", model_client, "segment")
    clock.watch("embedding", model_client, "embed")
    clock.watch("timeline", timeline, "update")
    session = Session(model_client, audio, StitcherConfig(), timeline)
    clock.watch("stitching", session._pipeline._stitchers, "observe", "assign")
    clock.watch("embedding", session._pipeline._fbank, "append", "rows_of_frames", "drop_before")
    clock.watch("wire", session._publisher, "publish")
    return clock, session


def _encoder() -> Callable[[Sequence[Event]], list[str]]:
    """Events -> the texts of a session's websocket."""
    view, count = ClientView(provisional=True), itertools.count(1)
    return lambda events: [encode(event, next(count)) for event in view.select(events)]


def _check(models: Batcher, samples: Samples) -> None:
    _, watched = _watched(models)
    plain = Session(models, AudioInput(), StitcherConfig(), Timeline())
    for _, data in _chunks(samples):
        said, expected = watched.feed(data), plain.feed(data)
        assert said == expected, f"expected {expected} of the watched engine, got {said}"
    assert plain.timeline.turns, "expected speech in the first 20 s of the recording, got none"


def audio_ms(samples: Samples, rate_hz: int) -> tuple[list[float], list[float]]:
    """(ms of the audio stage for each hop's chunks, ms that the newest sample waits in it after each chunk).

    The recording is brought to `rate_hz` first; then it comes as bytes in chunks of 20 ms.
    """
    audio = AudioInput(rate_hz)
    source = samples if rate_hz == SAMPLE_RATE_HZ else soxr.resample(samples, SAMPLE_RATE_HZ, rate_hz)
    clock, given, costs, waits = Stopwatch(), 0, [], []
    clock.watch("audio", audio, "feed")
    hop_end = HOP_SAMPLES
    for start, data in _chunks(source, rate_hz):
        given += len(audio.feed(data))
        received_s = (start + len(data) // 2) / rate_hz
        waits.append(1e3 * (received_s - given / SAMPLE_RATE_HZ))
        if received_s * SAMPLE_RATE_HZ >= hop_end:
            costs.append(1e3 * clock.take()["audio"])
            hop_end += HOP_SAMPLES
    return costs, waits


def figures(hops: Hops, audio_48k: tuple[list[float], list[float]]) -> dict[str, Figure]:
    """`hop.STAGE.p50` and so on, in ms; `audio_48k` is what `audio_ms` says of that rate."""
    found: dict[str, Figure] = {}
    for stage, ms in hops.ms.items():
        found |= quantiles(f"hop.{stage}", ms, "ms")
        found[f"hop.{stage}.mean"] = Figure(float(np.mean(ms)), "ms", "time")
    costs, waits = audio_48k
    found |= quantiles("hop.audio_48k", costs, "ms")
    found["algorithm.resampling_48k.p50"] = Figure(float(np.median(waits)), "ms", "count")
    found["algorithm.resampling_48k.most"] = Figure(max(waits), "ms", "count")
    return found


def _chunks(samples: Samples, rate_hz: int = SAMPLE_RATE_HZ) -> list[tuple[int, bytes]]:
    size, data = _chunk_samples(rate_hz), samples.astype("<i2").tobytes()
    return [(start, data[2 * start : 2 * (start + size)]) for start in range(0, len(samples), size)]


def _chunk_samples(rate_hz: int) -> int:
    return round(CHUNK_S * rate_hz)
