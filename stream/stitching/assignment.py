"""Maps a window's local speakers to speakers: linear assignment, then runs that fit another speaker better move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..labels import Bools
from ..windows import WINDOW_FRAMES
from .aggregation import Said
from .clustering import product, unit
from .config import FRAME_S, StitcherConfig, frames
from .linear_assignment import best_pairs
from .segments import Run

Floats = NDArray[np.float32]
BLOCK_WINDOWS = 64  # decided at once: enough to save calls, few enough to keep products small


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """What is kept of a window until the stream ends: its position, its activity as bits, its local speakers' runs."""

    first_frame: int
    bits: NDArray[np.uint8]
    runs: list[list[Run]]

    @property
    def active(self) -> Bools:
        """Binary activity, (589, S) bool."""
        bits = np.unpackbits(self.bits, count=WINDOW_FRAMES * len(self.runs))
        return bits.view(np.bool_).reshape(WINDOW_FRAMES, len(self.runs))

    @property
    def end_frame(self) -> int:
        """One past the last frame."""
        return self.first_frame + WINDOW_FRAMES


def clean_seconds(runs: list[Run]) -> float:
    """Clean speech of the runs that have an embedding."""
    return sum(run.clean_frames for run in runs if run.segment.vector is not None) * FRAME_S


def mean_vector(runs: list[Run]) -> Floats:
    """Mean of the runs' embeddings, weighted by clean speech, (D,) of unit norm; at least one run must have one."""
    parts = [run.clean_frames * run.segment.vector for run in runs if run.segment.vector is not None]
    return unit(np.sum(parts, axis=0))


def decide(
    windows: Sequence[Window], ids: list[int], vectors: Floats, config: StitcherConfig
) -> Iterator[tuple[Window, Said]]:
    """Each window with its decision, given the speakers `ids` with centroids `vectors` (K, D)."""
    for start in range(0, len(windows), BLOCK_WINDOWS):
        block = windows[start : start + BLOCK_WINDOWS]
        cosines = _cosines(block, vectors)
        for window in block:
            yield window, _Decision(window, ids, cosines, config).said()


def _cosines(windows: Sequence[Window], vectors: Floats) -> dict[int, Floats]:
    """Cosines of every embedded segment with the speakers, (K,), by the segment's Python id."""
    segments = {id(run.segment): run.segment for window in windows for runs in window.runs for run in runs}
    embedded = {key: segment.vector for key, segment in segments.items() if segment.vector is not None}
    if not embedded or not len(vectors):
        return {}
    return dict(zip(embedded, product(np.stack(list(embedded.values())), vectors.T), strict=True))


class _Decision:
    """The decision for one window; `owners` are the speakers of its local speakers, None where there is none."""

    def __init__(self, window: Window, ids: list[int], cosines: dict[int, Floats], config: StitcherConfig):
        self._window = window
        self._active = window.active
        self._ids = ids
        self._cosines = cosines
        self._config = config
        self.owners: list[int | None] = [None] * len(window.runs)
        self._assign()

    def said(self) -> Said:
        """The speaker and the frames of every local speaker, and of every run that leaves one."""
        said: Said = []
        rest = self._active.copy()
        for n, run, speaker in self._moved():
            span = self._window_slice(run)
            mask = np.zeros(len(rest), bool)
            mask[span] = rest[span, n]
            rest[span, n] = False
            said.append((speaker, mask))
        said.extend((owner, rest[:, n]) for n, owner in enumerate(self.owners) if rest[:, n].any())
        return said

    def _assign(self) -> None:
        """Linear assignment, one local speaker to one speaker, then to whom they sound like much more.

        The score is the mean cosine of the local speaker's runs, weighted by clean speech, times a trust that grows
        with that speech. Local speakers without an embedding stay unknown unless `force_speaker` is set.
        """
        scored = [n for n, runs in enumerate(self._window.runs) if self._known(runs)]
        if scored:
            scores = np.stack([self._score(self._window.runs[n]) for n in scored])
            for row, column in best_pairs(scores):
                self.owners[scored[row]] = self._ids[column]
            for n, score in zip(scored, scores, strict=True):
                self.owners[n] = self._shared(n, score)
        if self._config.force_speaker:
            self._guess([n for n in range(len(self.owners)) if n not in scored and self._active[:, n].any()])

    def _shared(self, local: int, score: Floats) -> int | None:
        """The owner of a local speaker, or whom it sounds like much more, if they do not talk elsewhere meanwhile.

        The model at times gives one voice two channels in a window; they take turns.
        """
        owner, best = self.owners[local], int(score.argmax())
        least = 0.0 if owner is None else score[self._ids.index(owner)] + self._config.override_margin
        others = [n for n, other in enumerate(self.owners) if other == self._ids[best] and n != local]
        meanwhile = self._active[:, others].any(axis=1) & self._active[:, local]
        return self._ids[best] if score[best] > least and not meanwhile.any() else owner

    def _guess(self, unheard: list[int]) -> None:
        """Give local speakers without an embedding to a speaker unused in the window, or else one silent meanwhile."""
        for n in unheard:
            talking = {owner for m, owner in enumerate(self.owners) if (self._active[:, m] & self._active[:, n]).any()}
            free = [speaker for speaker in self._ids if speaker not in self.owners]
            silent = [speaker for speaker in self._ids if speaker not in talking]
            self.owners[n] = next(iter([*free, *silent]), None)

    def _known(self, runs: list[Run]) -> bool:
        return bool(self._ids) and any(run.evidence_frames(self._config) for run in runs)

    def _score(self, runs: list[Run]) -> Floats:
        known = [run for run in runs if run.segment.vector is not None]
        clean = np.array([run.evidence_frames(self._config) for run in known], np.float32)
        clean_frames = float(clean.sum())
        trust = min(1.0, self._config.assign_trust_floor + clean_frames * FRAME_S / self._config.assign_trust_s)
        mean: Floats = product(clean, np.array([self._cosines[id(run.segment)] for run in known]))
        return mean * np.float32(trust / clean_frames)

    def _moved(self) -> list[tuple[int, Run, int]]:
        """Runs that move from their local speaker to another speaker: (local, run, speaker).

        The segmentation model silently changes speakers inside one local channel. A run moves if its own embedding
        fits another speaker better by `override_margin`, and that speaker is not talking elsewhere in the window.
        """
        shortest = frames(self._config.override_run_s)
        moved: list[tuple[int, Run, int]] = []
        for n, (runs, owner) in enumerate(zip(self._window.runs, self.owners, strict=True)):
            if len(runs) < 2 or owner is None:
                continue
            own = self._ids.index(owner)
            for run in runs:
                cosine = self._cosines.get(id(run.segment))
                if cosine is None or run.end - run.start < shortest:
                    continue
                best = int(cosine.argmax())
                better = (
                    cosine[best] - cosine[own] >= self._config.override_margin
                    and cosine[best] > self._config.override_cosine
                )
                if better and not self._talking(self._ids[best], run, moved):
                    moved.append((n, run, self._ids[best]))
        return moved

    def _talking(self, speaker: int, run: Run, moved: list[tuple[int, Run, int]]) -> bool:
        """Whether `speaker` already talks during `run`."""
        span = self._window_slice(run)
        elsewhere = any(self._active[span, n].any() for n, owner in enumerate(self.owners) if owner == speaker)
        return elsewhere or any(s == speaker and r.start < run.end and run.start < r.end for _, r, s in moved)

    def _window_slice(self, run: Run) -> slice:
        return slice(max(0, run.start - self._window.first_frame), run.end - self._window.first_frame)
