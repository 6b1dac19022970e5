"""Recordings of speakers who hum one tone each, and models that hear it: the engine around them is the real one."""

from __future__ import annotations

import zlib
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from turnstream.models.segmentation import POWERSET
from turnstream.rttm import RttmSegment, format_rttm
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ, WINDOW_FRAMES

TONES_HZ = [SAMPLE_RATE_HZ / FRAME_SAMPLES * n for n in (6, 14, 26, 42)]  # whole periods in a frame
SIZE = 192


class ToneModels:
    """In the place of `LazyModels`: hears tones; embeddings are `noise` away from those of their speakers."""

    def __init__(self, *_: object, noise: float = 0.3) -> None:
        rng = np.random.default_rng(1)
        self._centres = rng.standard_normal((len(TONES_HZ), SIZE)) / np.sqrt(SIZE)
        self._noise = noise
        self.calls = 0

    def get(self) -> ToneModels:
        """As `LazyModels.get`."""
        return self

    def segment(self, window: NDArray[np.float32], start: int, state: object) -> tuple[NDArray[np.float32], None]:
        """Log-probabilities of the three who hum longest, in an order that changes from window to window."""
        self.calls += 1
        frames = window[FRAME_OFFSET_SAMPLES:][: WINDOW_FRAMES * FRAME_SAMPLES]
        frames = np.pad(frames, (0, WINDOW_FRAMES * FRAME_SAMPLES - len(frames))).reshape(WINDOW_FRAMES, -1)
        time_s = np.arange(FRAME_SAMPLES) / SAMPLE_RATE_HZ
        waves = np.exp(-2j * np.pi * np.outer(time_s, TONES_HZ))
        hums = np.abs(frames @ waves) / FRAME_SAMPLES > 0.02
        loudest = np.argsort(-hums.sum(axis=0), kind="stable")[:3]
        active = hums[:, np.roll(loudest, start // FRAME_SAMPLES)]
        classes = (active[:, None] == POWERSET[None]).sum(axis=2).argmax(axis=1)
        return np.log(np.where(np.arange(len(POWERSET)) == classes[:, None], 0.94, 0.01)).astype(np.float32), None

    def embed(self, crops: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """One for each crop of 80 mel bands."""
        self.calls += 1
        bands = np.array([round(_mel(hz) / _mel(8000) * 79) for hz in TONES_HZ])
        speakers = [int(np.abs(bands - crop.mean(axis=0).argmax()).argmin()) for crop in crops]
        rngs = [np.random.default_rng(zlib.crc32(crop.tobytes())) for crop in crops]
        noise = np.array([rng.standard_normal(SIZE) for rng in rngs]).reshape(-1, SIZE) / np.sqrt(SIZE)
        made = self._centres[speakers] + self._noise * noise
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    def segment_block(self, windows: NDArray[np.float32], starts: list[int]) -> Future[NDArray[np.float32]]:
        """As `segment`, one after the other."""
        return _done(np.stack([self.segment(*window, None)[0] for window in zip(windows, starts, strict=True)]))

    def embed_block(self, crops: list[NDArray[np.float32]]) -> Future[NDArray[np.float32]]:
        """As `embed`."""
        return _done(self.embed(crops))


def _done(result: NDArray[np.float32]) -> Future[NDArray[np.float32]]:
    answer: Future[NDArray[np.float32]] = Future()
    answer.set_result(result)
    return answer


def _mel(hz: float) -> float:
    return float(np.log1p(hz / 700))


def write_recording(path: Path, turns: list[tuple[float, float, int]], prefix: str = "p") -> Path:
    """A recording of (start, end, tone) with its RTTM beside it; `prefix` begins the speakers' names."""
    length = round((max(end for _, end, _ in turns) + 0.7) * SAMPLE_RATE_HZ)
    samples = 1e-4 * np.random.default_rng(0).standard_normal(length)
    for start, end, tone in turns:
        place = np.arange(round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ))
        samples[place] += 0.1 * np.sin(2 * np.pi * TONES_HZ[tone] * place / SAMPLE_RATE_HZ)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    said = [RttmSegment(start, end, f"{prefix}{tone}") for start, end, tone in turns]
    path.with_suffix(".rttm").write_text(format_rttm(path.stem, said))
    return path


def conversation(seed: int, turns: int, speakers: int = 3) -> list[tuple[float, float, int]]:
    """Turns of random length with pauses, some of them overlapping."""
    rng = np.random.default_rng(seed)
    made, now, last = [], 0.5, -1
    for _ in range(turns):
        tone = int(rng.choice([t for t in range(speakers) if t != last]))
        start = max(0.0, now + float(rng.uniform(-0.4, 0.8)))
        made.append((round(start, 3), round(start + float(rng.uniform(1.0, 4.0)), 3), tone))
        now, last = made[-1][1], tone
    return made
