"""The audio that the golden outputs of the segmentation belong to: made anew each time, never stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
WINDOW_SAMPLES = 160_000
SHORTER = (1261, 1530, 1531, 4000, 16_000, 33_333, 80_000, 159_999)


def demo_cases(wav: Path) -> dict[str, np.ndarray]:
    """Windows of the demo recording, every 2 s, and the other lengths."""
    speech = _read(wav)
    cases = dict(_windows("demo", speech, every_s=2))
    cases |= {f"length/{n}": speech[3 * RATE_HZ : 3 * RATE_HZ + n] for n in SHORTER}
    return cases


def ami_cases(folder: Path) -> dict[str, np.ndarray]:
    """Three windows of each AMI excerpt."""
    cases: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("ami_*.flac")):
        cases |= _windows(path.stem, _read(path)[: 30 * RATE_HZ], every_s=9)
    return cases


def odd_cases(wav: Path) -> dict[str, np.ndarray]:
    """What microphones also deliver: nothing, full-scale noise, an offset, clipping, a whisper, a first hop."""
    speech = _read(wav)[5 * RATE_HZ : 5 * RATE_HZ + WINDOW_SAMPLES]
    late = np.zeros_like(speech)
    late[-8100:] = speech[:8100]
    noise = np.random.default_rng(7).uniform(-1, 1, WINDOW_SAMPLES).astype(np.float32)
    return {
        "odd/silence": np.zeros(WINDOW_SAMPLES, np.float32),
        "odd/noise": noise,
        "odd/offset": speech * np.float32(0.4) + np.float32(0.5),
        "odd/clipped": np.clip(speech * np.float32(40), -1, 1),
        "odd/quiet": speech * np.float32(1e-3),
        "odd/late": late,
    }


def _read(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    if rate_hz != RATE_HZ or samples.ndim != 1:
        raise ValueError(f"expected {RATE_HZ} Hz mono in {path}, got {rate_hz} Hz, shape {samples.shape}")
    return np.asarray(samples, np.float32)


def _windows(name: str, samples: np.ndarray, every_s: int) -> Iterator[tuple[str, np.ndarray]]:
    for start in range(0, len(samples) - WINDOW_SAMPLES + 1, every_s * RATE_HZ):
        yield f"{name}/{start // RATE_HZ}", samples[start : start + WINDOW_SAMPLES]
