"""Sound whose times are known to the sample, models that hear it without weights, and how it is cut and fed.

The sound is a period of 16.2 s again and again: a whole number of hops, and of samples at every usual rate, so that a
clock that keeps to the samples says the same of every period, to the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnstream.models.segmentation import POWERSET
from turnstream.timeline.records import TurnRecord
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ, WINDOW_FRAMES

PERIOD_S = 16.2
PULSES_S = ((2.1, 3.3), (7.77, 10.02))  # begin and end within a period
TONE_HZ = 1000
LOUD = 0.3
HEARD = LOUD / np.pi  # mean |sine| of a frame of which half is loud

F32 = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PulseModels:
    """In the place of the models: a frame is speech if it is loud, and there is one speaker."""

    def initial_state(self) -> Any:
        """Nothing."""
        return None

    def initial_activity_state(self) -> Any:
        """Nothing."""
        return None

    def listen(self, chunk: F32, state: Any) -> tuple[F32, Any]:
        """Not part of what is measured."""
        raise NotImplementedError

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """(589, 7) log-probabilities by the loudness of each frame's own 270 samples."""
        heard = np.pad(window[FRAME_OFFSET_SAMPLES:], (0, FRAME_SAMPLES))[: WINDOW_FRAMES * FRAME_SAMPLES]
        loud = np.abs(heard).reshape(WINDOW_FRAMES, FRAME_SAMPLES).mean(axis=1) > HEARD
        said = np.full((WINDOW_FRAMES, len(POWERSET)), -5.0, np.float32)
        said[np.arange(WINDOW_FRAMES), loud.astype(int)] = -0.01
        return said, None

    def embed(self, crops: list[F32]) -> F32:
        """Always the same voice."""
        return np.tile(np.eye(1, 192, dtype=np.float32), (len(crops), 1))


def period(rate_hz: int, samples: int | None = None) -> F32:
    """One period; `samples` where a sound card counts others than PERIOD_S * rate_hz in it."""
    sound = np.zeros(samples or round(PERIOD_S * rate_hz), np.float32)
    for begin_s, end_s in PULSES_S:
        begin, end = (round(at_s * rate_hz) for at_s in (begin_s, end_s))
        sound[begin:end] = LOUD * np.sin(2 * np.pi * TONE_HZ * np.arange(end - begin) / rate_hz + 0.5)
    return sound


def cut(sound: F32, samples: int, sizes: Sequence[int], rng: np.random.Generator) -> Iterator[F32]:
    """`samples` of a sound that repeats, in chunks of one of these sizes, drawn at random."""
    twice = np.concatenate([sound] * (2 + max(sizes) // len(sound)))
    at = 0
    while at < samples:
        size = min(int(rng.choice(sizes)) if len(sizes) > 1 else sizes[0], samples - at)
        begin = at % len(sound)
        yield twice[begin : begin + size]
        at += size


@dataclass
class Onsets:
    """Where sound begins after half a second of silence, in samples, of audio that comes in pieces."""

    rate_hz: int = SAMPLE_RATE_HZ
    samples: int = 0
    found: list[int] = field(default_factory=list)
    _loud_at: int = -SAMPLE_RATE_HZ * 100

    def add(self, sound: F32) -> None:
        """The next piece."""
        loud = np.flatnonzero(np.abs(sound) > LOUD / 3) + self.samples
        if len(loud):
            quiet = np.diff(loud, prepend=self._loud_at) > self.rate_hz // 2
            self.found += loud[quiet].tolist()
            self._loud_at = int(loud[-1])
        self.samples += len(sound)


def offsets(turns: Sequence[TurnRecord], begins: Ints) -> Ints:
    """Samples from where each pulse begins to where its turn was told to begin.

    Raises ValueError where there is not one turn for each pulse.
    """
    told = np.array(sorted(turn.start_frame for turn in turns)) * FRAME_SAMPLES + FRAME_OFFSET_SAMPLES
    if len(told) != len(begins):
        raise ValueError(f"expected a turn for each of {len(begins)} pulses, got {len(told)}")
    found: Ints = told - begins
    return found


def begins(count: int, period_samples: float) -> Ints:
    """First samples of all pulses in `count` periods, at 16 kHz, a period lasting as many samples (rounded each)."""
    starts = np.round(np.arange(count) * period_samples).astype(np.int64)
    within = np.array([round(begin_s * SAMPLE_RATE_HZ) for begin_s, _ in PULSES_S])
    return (starts[:, None] + within).ravel()


def drift(values: Ints) -> tuple[int, int]:
    """(of the last period against the first, between any two periods) in samples; pulses of one place are compared."""
    by_place = np.asarray(values).reshape(-1, len(PULSES_S))
    return int(np.abs(by_place[-1] - by_place[0]).max()), int(np.ptp(by_place, axis=0).max())
