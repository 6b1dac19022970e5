"""What every system is timed on: windows, hops and audio of one folder; one pass over them, timed call by call.

Written by `benchmarks.peers.prepare`, read by systems that may have another interpreter: NumPy only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WINDOWS = 8  # of a pass over whole windows, spread over the recording
RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Timed:
    """`seconds` of every call; `result` is what JSON can hold, `arrays` what the check compares."""

    seconds: list[float]
    result: Any = None
    arrays: dict[str, np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class Hops:
    """What the models were asked at every hop of a recording.

    Shapes: windows (H, 160000) float32, starts (H,) first samples of the windows, crops: for every hop a list of
    fbank rows (T, 80) float32.
    """

    windows: np.ndarray
    starts: np.ndarray
    crops: list[list[np.ndarray]]

    def write(self, folder: Path) -> None:
        """Into a folder that `read_hops` reads."""
        counts = [len(crops) for crops in self.crops]
        rows = [crop for crops in self.crops for crop in crops]
        np.savez(
            folder / "hops.npz",
            windows=self.windows,
            starts=self.starts,
            counts=counts,
            lengths=[len(crop) for crop in rows],
            rows=np.concatenate([np.zeros((0, 80), np.float32), *rows]),
        )


def read_hops(folder: Path) -> Hops:
    """The hops that `Hops.write` wrote."""
    with np.load(folder / "hops.npz") as stored:
        crops = np.split(stored["rows"], np.cumsum(stored["lengths"])[:-1]) if len(stored["lengths"]) else []
        waiting = iter(crops)
        dealt = [[next(waiting) for _ in range(count)] for count in stored["counts"].tolist()]
        return Hops(stored["windows"], stored["starts"], dealt)


def timed_windows(segment: Callable[[np.ndarray], np.ndarray], hops: Hops) -> Timed:
    """Windows full of audio, batch 1: segment takes (1, 160000) and gives (1, 589, 7)."""
    seconds, outputs = [], []
    chosen = np.linspace(np.argmax(hops.starts >= 0), len(hops.windows) - 1, WINDOWS).astype(int)
    for number in chosen:
        window = hops.windows[number : number + 1]
        began = time.perf_counter()
        outputs.append(segment(window))
        seconds.append(time.perf_counter() - began)
    return Timed(seconds, arrays={"log_probabilities": np.concatenate(outputs), "starts": hops.starts[chosen]})


def timed_hops(
    segment: Callable[[np.ndarray, int], np.ndarray], embed: Callable[[np.ndarray], np.ndarray], hops: Hops
) -> Timed:
    """Every hop of the recording: its window (1, 160000) with its start, and its crops (T, 80) -> (192,) unit norm."""
    seconds, outputs, vectors = [], [], []
    for n, (start, crops) in enumerate(zip(hops.starts.tolist(), hops.crops, strict=True)):
        began = time.perf_counter()
        outputs.append(segment(hops.windows[n : n + 1], start))
        vectors += [embed(crop) for crop in crops]
        seconds.append(time.perf_counter() - began)
    logp = np.concatenate(outputs)
    return Timed(seconds, arrays={"log_probabilities": logp, "starts": hops.starts, "embeddings": np.stack(vectors)})


def centered(rows: np.ndarray) -> np.ndarray:
    """Features as CAM++ takes them: (T, 80) -> (1, T, 80), their mean over the crop taken off."""
    off: np.ndarray = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return off[None]


def unit(vector: np.ndarray) -> np.ndarray:
    """(D,) of length 1."""
    scaled: np.ndarray = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return scaled


def read_audio(path: str) -> np.ndarray:
    """(N,) float32 at 16 kHz, one of the `.npy` files of the folder."""
    samples: np.ndarray = np.load(path)
    return samples
