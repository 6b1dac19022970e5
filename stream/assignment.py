"""Which speaker each local speaker of a window is: linear assignment, then runs that fit another speaker better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.aggregation import Said
from stream.clustering import best_pairs, unit
from stream.labels import Bools
from stream.segments import Run
from stream.stitcher_config import FRAME_S, StitcherConfig, frames

Floats = NDArray[np.float32]
BLOCK_WINDOWS = 64  # decided at once: enough to spare calls, few enough to keep products small


@dataclass(slots=True)
class Window:
    """What is kept of a window: its place, its binary activity (T, S) and the runs of its S local speakers."""

    first_frame: int
    active: Bools
    runs: list[list[Run]]


def clean_seconds(runs: list[Run]) -> float:
    """Clean speech of the runs that have an embedding."""
    return sum(run.clean_frames for run in runs if run.segment.vector is not None) * FRAME_S


def mean_vector(runs: list[Run]) -> Floats:
    """Mean of the runs' embeddings, weighted by clean speech, (D,) of unit norm; there must be one."""
    parts = [run.clean_frames * run.segment.vector for run in runs if run.segment.vector is not None]
    return unit(np.sum(parts, axis=0))


def decide(
    windows: Sequence[Window], ids: list[int], vectors: Floats, margin: float, config: StitcherConfig
) -> Iterator[tuple[Window, Said]]:
    """What each window says under the speakers `ids` with centroids `vectors` (K, D).

    `margin` is the cosine that a run must gain to leave its local speaker.
    """
    for start in range(0, len(windows), BLOCK_WINDOWS):
        block = windows[start : start + BLOCK_WINDOWS]
        cosines = _cosines(block, vectors)
        for window in block:
            chosen = assign_locals(window, ids, cosines, config)
            yield window, _spoken(window, chosen, _moved_runs(window, chosen, ids, cosines, margin, config))


def _cosines(windows: Sequence[Window], vectors: Floats) -> dict[int, Floats]:
    """Cosines of every embedded segment with the speakers, (K,), by the segment's identity."""
    segments = {id(run.segment): run.segment for window in windows for runs in window.runs for run in runs}
    embedded = {key: segment.vector for key, segment in segments.items() if segment.vector is not None}
    if not embedded or not len(vectors):
        return {}
    return dict(zip(embedded, np.stack(list(embedded.values())) @ vectors.T, strict=True))


def assign_locals(
    window: Window, ids: list[int], cosines: dict[int, Floats], config: StitcherConfig
) -> list[int | None]:
    """The speaker of every local speaker, one to one; None where no speaker is left or none is active.

    The score is the mean cosine of his runs, weighted by clean speech, times a trust that grows with that speech.
    Locals without an embedding take the speakers that remain, in the order of `ids`.
    """
    chosen: list[int | None] = [None] * len(window.runs)
    scored, scores = [], []
    for n, runs in enumerate(window.runs):
        known = [(run.clean_frames, cosines[id(run.segment)]) for run in runs if id(run.segment) in cosines]
        total = sum(clean for clean, _ in known)
        if total:
            trust = min(1.0, config.assign_trust_floor + total * FRAME_S / config.assign_trust_s)
            scored.append(n)
            scores.append(sum((clean * row for clean, row in known), np.zeros(len(ids))) * (trust / total))
    if scored:
        for row, column in best_pairs(np.stack(scores)):
            chosen[scored[row]] = ids[column]
    free = [speaker for speaker in ids if speaker not in chosen]
    for n in range(len(chosen)):
        if n not in scored and free and window.active[:, n].any():
            chosen[n] = free.pop(0)
    return chosen


def _moved_runs(
    window: Window,
    chosen: list[int | None],
    ids: list[int],
    cosines: dict[int, Floats],
    margin: float,
    config: StitcherConfig,
) -> list[tuple[int, Run, int]]:
    """Runs that leave their local speaker for another one: (local, run, speaker).

    The segmentation model silently changes speakers inside one local channel; a run whose own embedding fits another
    speaker better by `margin`, while that speaker is not talking elsewhere in the window, is that speaker's.
    """
    moved: list[tuple[int, Run, int]] = []
    for n, (runs, owner) in enumerate(zip(window.runs, chosen, strict=True)):
        if len(runs) < 2 or owner is None:
            continue
        own = ids.index(owner)
        for run in runs:
            cosine = cosines.get(id(run.segment))
            if cosine is None or run.end - run.start < frames(config.override_run_s):
                continue
            best = int(cosine.argmax())
            better = cosine[best] - cosine[own] >= margin and cosine[best] > config.override_cosine
            if better and not _talking(window, chosen, moved, ids[best], run):
                moved.append((n, run, ids[best]))
    return moved


def _spoken(window: Window, chosen: list[int | None], moved: list[tuple[int, Run, int]]) -> Said:
    """What the window says: for every local speaker, and every run that left one, the speaker and his frames."""
    said: Said = []
    rest = window.active.copy()
    for n, run, speaker in moved:
        place = slice(max(0, run.start - window.first_frame), run.end - window.first_frame)
        mask = np.zeros(len(rest), bool)
        mask[place] = rest[place, n]
        rest[place, n] = False
        said.append((speaker, mask))
    said.extend((chosen[n], rest[:, n]) for n in range(rest.shape[1]) if rest[:, n].any())
    return said


def _talking(
    window: Window, chosen: list[int | None], moved: list[tuple[int, Run, int]], speaker: int, run: Run
) -> bool:
    """Whether `speaker` already talks during `run`."""
    place = slice(max(0, run.start - window.first_frame), run.end - window.first_frame)
    elsewhere = any(window.active[place, n].any() for n, owner in enumerate(chosen) if owner == speaker)
    return elsewhere or any(s == speaker and r.start < run.end and run.start < r.end for _, r, s in moved)
