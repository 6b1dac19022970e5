"""Made-up conversations for the stitcher, whose truth is known: local speakers shuffled anew in every window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from turnstream.labels import Labels
from turnstream.stitching.config import StitcherConfig, frames
from turnstream.stitching.stitchers import Stitchers
from turnstream.windows import HOP_FRAMES, WINDOW_FRAMES

CONFIG = StitcherConfig()
DIMENSION = 192


@dataclass
class Conversation:
    """`truth` (T, K) says who talks; embeddings are the talkers' directions, noisier the shorter the crop."""

    truth: np.ndarray
    seed: int = 0
    shuffle: bool = True

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.voices = np.linalg.qr(rng.normal(size=(DIMENSION, self.truth.shape[1])))[0].T
        self.truth = np.pad(self.truth, ((0, WINDOW_FRAMES), (0, 0)))

    def windows(self):
        """(first frame, (589, 3) local activity), the local speakers in an order of its own for each window."""
        rng = np.random.default_rng(self.seed + 1)
        first_of_all = -(WINDOW_FRAMES // HOP_FRAMES) * HOP_FRAMES
        for first in range(first_of_all, len(self.truth) - WINDOW_FRAMES, HOP_FRAMES):
            here = self.truth[max(0, first) : first + WINDOW_FRAMES]
            active = np.zeros((WINDOW_FRAMES, 3), bool)
            talkers = np.flatnonzero(here.any(axis=0))[:3]
            places = rng.permutation(3) if self.shuffle else np.arange(3)
            active[WINDOW_FRAMES - len(here) :, places[: len(talkers)]] = here[:, talkers]
            yield first, active

    def embed(self, crop: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(int(crop.sum()))
        share = self.truth[crop].mean(axis=0)
        noise = rng.normal(size=DIMENSION) * 0.04 / np.sqrt(len(crop) / 60)
        vector = share @ self.voices + noise
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def embed_all(self, crops: list[np.ndarray]) -> np.ndarray:
        return np.array([self.embed(crop) for crop in crops], np.float32)

    def hear(self, stitchers: Stitchers) -> list[Labels]:
        return [stitchers.assign(self.embed_all(stitchers.observe(*window))) for window in self.windows()]

    def run(self, stitchers: Stitchers) -> tuple[list[Labels], Labels]:
        return self.hear(stitchers), stitchers.finish(self.embed_all)


def turns(*spans: tuple[int, float, float], length_s: float) -> np.ndarray:
    truth = np.zeros((frames(length_s), max(speaker for speaker, _, _ in spans) + 1), bool)
    for speaker, start_s, end_s in spans:
        truth[frames(start_s) : frames(end_s), speaker] = True
    return truth


def random_turns(seed: int, speakers: int, length_s: float = 60.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spans, at_s, speaker = [], 0.5, 0
    while at_s < length_s - 5:
        speaker = (speaker + rng.integers(1, speakers)) % speakers
        end_s = at_s + rng.uniform(1.5, 5)
        spans.append((int(speaker), at_s, end_s))
        at_s = end_s + rng.uniform(-0.4, 0.8)
    return turns((speakers - 1, 0, 0), *spans, length_s=length_s)


def agreement(truth: np.ndarray, labels: Labels) -> float:
    """Share of speaking frames with the right speaker under the best one-to-one mapping."""
    held = labels.active[: max(0, len(truth) - labels.first_frame)]
    here = truth[labels.first_frame :][: len(held)]
    shared = here.T.astype(int) @ held.astype(int)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return float(shared[rows, columns].sum() / max(here.sum(), held.sum(), 1))
