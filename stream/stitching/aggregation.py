"""Combines the decisions of overlapping windows into one answer per frame, by weighted vote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..labels import Bools, Labels
from .config import FRAME_S, StitcherConfig

Said = list[tuple[int | None, Bools]]  # speaker, and the frames of the window, (T,), in which they talk


def edge_trust(window_frames: int, config: StitcherConfig) -> NDArray[np.float32]:
    """Weight of each frame of a window: small at the edges, where the model lacks context; 1 well inside."""
    index = np.arange(window_frames)
    seconds = (np.minimum(index, window_frames - 1 - index) + 0.5) * FRAME_S
    return np.minimum(1.0, config.edge_trust_floor + seconds).astype(np.float32)


class Aggregator:
    """Votes for (speaker, frame), from `first_frame` on."""

    def __init__(self, config: StitcherConfig, first_frame: int):
        self._config = config
        self.first_frame = first_frame
        self._length = 0
        self._total = np.zeros(0, np.float32)  # with room to grow
        self._votes: dict[int | None, NDArray[np.float32]] = {}

    def copy(self) -> Aggregator:
        """An independent copy of the votes."""
        other = Aggregator(self._config, self.first_frame)
        other._length = self._length
        other._total = self._total.copy()
        other._votes = {speaker: votes.copy() for speaker, votes in self._votes.items()}
        return other

    def forget(self, first_frame: int) -> None:
        """Drop all votes for frames before `first_frame`, and speakers left without any."""
        gone = first_frame - self.first_frame
        if gone > 0:
            self.first_frame = first_frame
            self._length = max(0, self._length - gone)
            self._total = self._total[gone:]
            self._votes = {speaker: votes[gone:] for speaker, votes in self._votes.items() if votes[gone:].any()}

    def add(self, first_frame: int, trust: NDArray[np.float32], said: Said) -> None:
        """Add one window's votes; frames before `self.first_frame` are ignored."""
        skip = max(0, self.first_frame - first_frame)
        if skip >= len(trust):
            return
        start, end = first_frame + skip - self.first_frame, first_frame + len(trust) - self.first_frame
        self._reach(end)
        self._total[start:end] += trust[skip:]
        for speaker, mask in said:
            if speaker not in self._votes:
                self._votes[speaker] = np.zeros_like(self._total)
            self._votes[speaker][start:end] += trust[skip:] * mask[skip:]

    def labels(self) -> Labels:
        """Who talks in each frame: the speakers with at least `vote_share` of the weights."""
        speakers = sorted(self._votes, key=lambda speaker: (speaker is None, speaker or 0))
        active = np.zeros((self._length, len(speakers)), bool)
        least = self._config.vote_share * np.maximum(self._total[: self._length], 1e-6)
        for n, speaker in enumerate(speakers):
            active[:, n] = self._votes[speaker][: self._length] >= least
        return Labels(self.first_frame, active, tuple(speakers))

    def settle(self, end_frame: int) -> Labels:
        """The labels of all frames before `end_frame`, which are then forgotten: no later window may vote on them."""
        labels = self.labels()
        self.forget(end_frame)
        return replace(labels, active=labels.active[: self.first_frame - labels.first_frame])

    def _reach(self, length: int) -> None:
        self._length = max(self._length, length)
        if length > len(self._total):
            room = (0, max(length, 2 * len(self._total)) - len(self._total))
            self._total = np.pad(self._total, room)
            self._votes = {speaker: np.pad(votes, room) for speaker, votes in self._votes.items()}
