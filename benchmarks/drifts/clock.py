"""Told time against true time: does the count of samples hold over hours, chunks, rates and a card that runs fast?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.drifts import card
from benchmarks.drifts.pulses import F32, PERIOD_S, Onsets, PulseModels, begins, cut, drift, offsets, period
from benchmarks.results import Better, Figure
from turnstream.audio.input import AudioInput
from turnstream.audio.resampler import resampled_length
from turnstream.clients.sources.microphone import Recorder
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.records import TurnRecord
from turnstream.timeline.timeline import Timeline
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ

RATES_HZ = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000)
FULL_RATE_HZ = 48_000  # higher rates are heard for fewer hours: as many samples
ENGINE_RATE_HZ = 44_100
CHUNKS = {  # samples in a chunk, and for how many seconds
    "1": ([1], 48.6),
    "7": ([7], 162.0),
    "160": ([160], 324.0),
    "320": ([320], 324.0),
    "4801": ([4801], 324.0),
    "1s": ([16_000], 324.0),
    "10s": ([160_000], 324.0),
    "random": ([1, 7, 160, 320, 4801, 16_000, 160_000], 324.0),
}
RANDOM_SIZES = [441, 882, 4801, 44_100]
PPM = (-50, 50)
CARD_PERIODS, CARD_PERIODS_QUICK = 250, 42  # halves in which pulses fall evenly into frames
LOSS_PPM = (-150, -50, 50, 150)


def rate(rate_hz: int, periods: int) -> tuple[int, int]:
    """Samples that came out and should not (or did not and should), and the largest difference between two periods."""
    audio, onsets, sound = AudioInput(rate_hz), Onsets(), period(rate_hz)
    for chunk in cut(sound, periods * len(sound), [rate_hz], np.random.default_rng(0)):
        onsets.add(audio.feed(chunk))
    onsets.add(audio.flush())
    found = np.array(onsets.found) - begins(periods, PERIOD_S * SAMPLE_RATE_HZ)
    expected = resampled_length(periods * len(sound), rate_hz)
    return abs(onsets.samples - expected), drift(found)[1]


class Listening:
    """A session on pulses, and how far behind its audio it decides; `feed` all, then `committed` and `final`."""

    def __init__(self, rate_hz: int):
        self.session = Session(PulseModels(), AudioInput(rate_hz), StitcherConfig(), Timeline(1.0))
        self.behind: list[int] = []  # after every chunk: input received and not decided, as samples at 16 kHz

    def feed(self, chunks: Iterable[F32]) -> None:
        """The whole stream; the session is closed then."""
        audio, timeline = self.session.audio, self.session.timeline
        for chunk in chunks:
            self.session.feed(chunk)
            received = audio.counts.received_samples * SAMPLE_RATE_HZ // audio.rate_hz
            self.behind.append(received - timeline.horizon_frame * FRAME_SAMPLES - FRAME_OFFSET_SAMPLES)
        self.session.flush()
        self.committed = self.session.timeline.turns
        self.session.close()
        self.final = self.session.timeline.turns

    def behind_most(self) -> tuple[int, int]:
        """In the first and in the last quarter of the stream."""
        quarter = len(self.behind) // 4
        return max(self.behind[:quarter]), max(self.behind[-quarter:])


def engine(rate_hz: int, periods: int, sizes: Sequence[int]) -> Listening:
    """The whole engine but the models, over pulses in chunks of these sizes."""
    heard, sound = Listening(rate_hz), period(rate_hz)
    heard.feed(cut(sound, periods * len(sound), sizes, np.random.default_rng(0)))
    return heard


def times(turns: Sequence[TurnRecord]) -> list[tuple[int, int]]:
    """Where they begin and end, in frames."""
    return [(turn.start_frame, turn.end_frame) for turn in turns]


def sound_card(ppm: float, periods: int) -> dict[str, float]:
    """A card that counts 1 + ppm / 10^6 samples where 16 kHz should be one: told times against the wall and the file.

    `wall_ms_per_hour`: what told time gains on wall time. `file_drift`: how much further told time is from that in
    the recording (of `--record`) in the second half than in the first, in the mean: a pulse falls elsewhere into its
    frame each time, through all of it in 21 periods at 50 ppm. `length`: samples of the file that the session did not
    count, or the other way round.
    """
    true_period = PERIOD_S * SAMPLE_RATE_HZ
    counted = true_period * (1 + 1e-6 * ppm)
    edges = np.round(np.arange(periods + 1) * counted).astype(np.int64)
    heard, onsets = Listening(SAMPLE_RATE_HZ), Onsets()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heard.wav"
        recorder = Recorder(path, SAMPLE_RATE_HZ, 1)

        def recorded() -> Iterable[F32]:
            for size in np.diff(edges).tolist():
                sound = period(SAMPLE_RATE_HZ, size)
                recorder.write(sound[:, None])
                yield sound

        heard.feed(recorded())
        recorder.close()
        for block in soundfile.blocks(path, blocksize=SAMPLE_RATE_HZ * 60, dtype="float32"):
            onsets.add(block)
    from_file = offsets(heard.committed, np.array(onsets.found))
    told_s = (from_file + np.array(onsets.found)) / SAMPLE_RATE_HZ
    wall_s = begins(periods, true_period) / SAMPLE_RATE_HZ
    return {
        "wall_ms_per_hour": 1000 * _gain(told_s - wall_s) * 3600 / _gain(wall_s),
        "file_drift": _gain(from_file),
        "file_most": float(np.abs(from_file).max()),
        "length": abs(onsets.samples - heard.session.audio.counts.received_samples),
        "gaps": heard.session.audio.counts.gap_samples,
    }


def _gain(values: NDArray[Any]) -> float:
    """Mean of the second half minus mean of the first."""
    first, second = np.array_split(values, 2)
    return float(second.mean() - first.mean())


def measure(hours: float, quick: bool) -> dict[str, Figure]:
    """Figures; quick: less of everything."""
    figures: dict[str, Figure] = {}
    for rate_hz in RATES_HZ:
        periods = max(2, round(hours * 3600 / PERIOD_S * min(1.0, FULL_RATE_HZ / rate_hz)))
        lost, apart = rate(rate_hz, periods)
        figures[f"rate_{rate_hz}.hours"] = Figure(periods * PERIOD_S / 3600, "h", "count", "neither")
        figures[f"rate_{rate_hz}.samples_wrong"] = _samples(lost)
        figures[f"rate_{rate_hz}.drift"] = _samples(apart)
    periods = max(2, round(hours * 3600 / PERIOD_S))
    figures |= _engine(periods)
    figures |= _chunks(10 if quick else 1)
    for ppm in PPM:
        for name, value in sound_card(ppm, CARD_PERIODS_QUICK if quick else CARD_PERIODS).items():
            unit: str
            better: Better
            unit, better = ("ms", "neither") if name.startswith("wall") else ("samples", "lower")
            figures[f"card_{ppm:+d}ppm.{name}"] = Figure(value, unit, "error", better)
    for ppm in LOSS_PPM:
        invented, held = card.invented(ppm, hours)
        figures[f"loss_watch_{ppm:+d}ppm.invented"] = _samples(invented)
        figures[f"loss_watch_{ppm:+d}ppm.blocks_held"] = Figure(held, "blocks", "count")
    return figures


def _engine(periods: int) -> dict[str, Figure]:
    heard = engine(ENGINE_RATE_HZ, periods, RANDOM_SIZES)
    true = begins(periods, PERIOD_S * SAMPLE_RATE_HZ)
    found = {}
    for name, turns in (("committed", heard.committed), ("final", heard.final)):
        off = offsets(turns, true)
        last, any_two = drift(off)
        found[f"engine.{name}.drift"], found[f"engine.{name}.spread"] = _samples(last), _samples(any_two)
        found[f"engine.{name}.offset_most"] = Figure(int(np.abs(off).max()), "samples", "error")
    first, last = heard.behind_most()
    found["engine.hours"] = Figure(periods * PERIOD_S / 3600, "h", "count", "neither")
    found["engine.behind_first"] = Figure(first, "samples", "count")
    found["engine.behind_last"] = Figure(last, "samples", "count")
    return found


def _chunks(shorter: int) -> dict[str, Figure]:
    """Turns that another cut of the same audio moved, added or took away."""
    found = {}
    whole: dict[int, list[tuple[int, int]]] = {}
    for name, (sizes, seconds) in CHUNKS.items():
        periods = max(1, round(seconds / PERIOD_S / shorter))
        for turns in () if periods in whole else (engine(SAMPLE_RATE_HZ, periods, [SAMPLE_RATE_HZ]).committed,):
            whole[periods] = times(turns)
        other = times(engine(SAMPLE_RATE_HZ, periods, sizes).committed)
        found[f"chunk_{name}.turns_different"] = Figure(len(set(other) ^ set(whole[periods])), "turns", "count")
    return found


def table(figures: dict[str, Figure]) -> str:
    """For people."""
    v = {name: figure.value for name, figure in figures.items()}
    lines = ["in at       hours   samples lost or added   drift, samples"]
    for rate_hz in RATES_HZ:
        hours, wrong, apart = (v[f"rate_{rate_hz}.{key}"] for key in ("hours", "samples_wrong", "drift"))
        lines.append(f"{rate_hz:6} Hz{hours:9.2f}{wrong:18g}{apart:21g}")
    lines.append(
        f"engine, {v['engine.hours']:.2f} h at {ENGINE_RATE_HZ} Hz, random chunks: turns committed drift"
        f" {v['engine.committed.drift']:g} samples, final {v['engine.final.drift']:g}"
        f" (constant offset up to {v['engine.committed.offset_most']:g});"
        f" behind the audio at most {v['engine.behind_first']:g} samples at first, {v['engine.behind_last']:g} at last"
    )
    cuts = ", ".join(f"{name}: {v[f'chunk_{name}.turns_different']:g}" for name in CHUNKS)
    lines.append(f"turns that differ from those of chunks of 1 s, by samples in a chunk: {cuts}")
    for ppm in PPM:
        wall, drifted, most, length, gaps = (
            v[f"card_{ppm:+d}ppm.{key}"] for key in ("wall_ms_per_hour", "file_drift", "file_most", "length", "gaps")
        )
        lines.append(
            f"card {ppm:+d} ppm: told minus wall time {wall:+.1f} ms an hour; against the recording {drifted:+.1f}"
            f" samples from half to half (at most {most:g}), its length off by {length:g}, gaps {gaps:g}"
        )
    watched = ", ".join(f"{ppm:+d} ppm {v[f'loss_watch_{ppm:+d}ppm.invented']:g}" for ppm in LOSS_PPM)
    lines.append(f"samples that the microphone's watch took for lost: {watched}")
    return "\n".join(lines)


def _samples(value: int) -> Figure:
    return Figure(value, "samples", "count")
