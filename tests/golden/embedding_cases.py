"""The speech that the golden embeddings belong to: crops of real recordings, found anew each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
LENGTHS_S = (0.5, 1.5, 3.0, 10.0)
DEMO_FIRST_S = 7
STORED = ("ami/ami_EN2001a_0000.flac", 5, 3.0)  # file, first second, seconds: kept as samples with the golden data
RECORDINGS = (  # below the data folder, first second
    (STORED[0], STORED[1]),
    ("ami/ami_ES2003a_0000.flac", 12),
    ("speakers/ls3331/3331-159605-0008.flac", 1),
)


def crops(samples: np.ndarray, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The beginnings of `samples` of each length that they have."""
    for seconds in LENGTHS_S:
        if len(samples) >= seconds * RATE_HZ:
            yield f"{name}/{seconds}", samples[: int(seconds * RATE_HZ)]


def demo_cases(wav: Path) -> dict[str, np.ndarray]:
    """Crops of the demo recording."""
    return dict(crops(read(wav, DEMO_FIRST_S), "demo"))


def data_cases(folder: Path) -> dict[str, np.ndarray]:
    """Crops of two meetings and of a read sentence."""
    return {k: v for path, first_s in RECORDINGS for k, v in crops(read(folder / path, first_s), path)}


def read(path: Path, first_s: int) -> np.ndarray:
    """Samples from `first_s` seconds on, float32."""
    samples, rate = soundfile.read(path, start=first_s * RATE_HZ, dtype="float32")
    assert rate == RATE_HZ
    return samples
