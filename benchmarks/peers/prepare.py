"""Writes what all systems are given into a folder: weights, audio, and what the models are asked at each hop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.passes import Hops, Timed
from benchmarks.stand_ins import Forwarding
from turnstream.audio.input import AudioInput
from turnstream.clients.evaluation.recordings import read_samples
from turnstream.diarizer import Diarizer
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording, embedding_weights, segmentation_weights


class Listening(Forwarding):
    """The models, with what they are asked."""

    def __init__(self, models: Any):
        super().__init__(models)
        self.windows: list[np.ndarray] = []
        self.starts: list[int] = []
        self.crops: list[list[np.ndarray]] = []

    def segment(self, window: np.ndarray, start_sample: int, state: Any) -> Any:
        """See `turnstream.diarizer.Models`."""
        self.windows.append(window.copy())
        self.starts.append(start_sample)
        return self._models.segment(window, start_sample, state)

    def embed(self, crops: list[np.ndarray]) -> np.ndarray:
        """See `turnstream.diarizer.Models`."""
        self.crops.append([crop.copy() for crop in crops])
        vectors: np.ndarray = self._models.embed(crops)
        return vectors


class Prepare:
    """Fetches the weights where they are missing."""

    def __init__(self, folder: Path, cores: int):
        self.folder = folder

    def write(self, recordings: list[str]) -> Timed:
        """`segmentation.npz`, `embedding.npz`, `hops.npz` of the demo recording, and audio; where each of it is."""
        np.savez(self.folder / "segmentation.npz", **segmentation_weights())
        np.savez(self.folder / "embedding.npz", **embedding_weights())
        paths = [demo_recording()[0], *map(Path, recordings)]
        audio = []
        for number, path in enumerate(paths):
            samples, to = read_samples(path), self.folder / f"audio-{number}.npy"
            np.save(to, samples)
            audio.append({"recording": str(path), "audio": str(to), "seconds": len(samples) / 16_000})
        self._hops(np.load(audio[0]["audio"])).write(self.folder)
        return Timed([], audio)

    @staticmethod
    def _hops(samples: np.ndarray) -> Hops:
        with Diarizer() as engine:
            models = Listening(engine.models)
            session = Session(models, AudioInput(), StitcherConfig(), Timeline(1.0))
            session.feed(samples)
            session.flush()
        return Hops(np.stack(models.windows), np.array(models.starts), models.crops)
