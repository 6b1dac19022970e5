"""What the activity benchmark shares: many streams stepping together, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.der import Recording
from benchmarks.results import Better, Figure
from turnstream.clients.evaluation.recordings import within
from turnstream.models.carried_state import CELL_MEMORY_S, CarriedState
from turnstream.models.segmentation import PyanNet, activity
from turnstream.stitching.aggregation import Aggregator, edge_trust
from turnstream.stitching.config import StitcherConfig
from turnstream.windows import FRAME_SAMPLES, RECEPTIVE_FIELD_SAMPLES, SAMPLE_RATE_HZ

BATCH = 8
Talkers = NDArray[np.int8]  # how many talk in each frame, (T,)


@dataclass(frozen=True)
class Row:
    """One stream; `samples` may be read in a loop."""

    wave: NDArray[np.float32]
    state: CarriedState
    samples: int

    def read(self, start: int, end: int) -> NDArray[np.float32]:
        """Samples [start, end), from the beginning again where the recording ends."""
        return self.wave.take(np.arange(start, end), mode="wrap")


def hear(network: PyanNet, rows: Sequence[Row], chunk_frames: int, ahead_frames: int) -> list[Talkers]:
    """What the activity path says of every row, up to its last whole chunk; cells fade as in the engine."""
    said: list[list[Talkers]] = [[] for _ in rows]
    states = [row.state for row in rows]
    start = 0
    end = (chunk_frames + ahead_frames - 1) * FRAME_SAMPLES + RECEPTIVE_FIELD_SAMPLES
    while alive := [n for n, row in enumerate(rows) if row.samples >= end]:
        for group in (alive[i : i + BATCH] for i in range(0, len(alive), BATCH)):
            chunks = np.stack([rows[n].read(start, end) for n in group])
            logp, after = network.step(chunks, [states[n] for n in group], ahead_frames)
            for n, state, talkers in zip(group, after, activity(np.array(logp)).sum(axis=2), strict=True):
                said[n].append(talkers.astype(np.int8))
                states[n] = state.faded(chunk_frames * FRAME_SAMPLES, CELL_MEMORY_S)
        start, end = end, end + chunk_frames * FRAME_SAMPLES
    return [np.concatenate(parts) for parts in said]


def windows_say(recording: Recording, latency_frames: int | None) -> Talkers:
    """What the windows say of every frame once it is `latency_frames` old (None: at the end), all windows weighed."""
    votes, config = Aggregator(StitcherConfig(), 0), StitcherConfig()
    said, decided = np.zeros(recording.end_frame + 1_000, np.int8), 0
    for first_frame, active in recording.windows():
        count, end = active.sum(axis=1), first_frame + len(active)
        votes.add(first_frame, edge_trust(len(active), config), [(0, count > 0), (1, count > 1)])
        upto = decided if latency_frames is None else end - latency_frames
        if upto > decided:
            said[decided:upto] = votes.labels().active[decided:upto].sum(axis=1)
            decided = upto
    rest = votes.labels().active[decided:].sum(axis=1)
    said[decided : decided + len(rest)] = rest
    return said[: recording.end_frame]


@dataclass
class Errors:
    """Frames said rightly and wrongly, pooled."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("frames", "missed", "false", "both", "one"), 0)
    )

    def add(self, said: Talkers, truth: NDArray[Any], scored: NDArray[np.bool_] | None = None) -> None:
        """Frames in which `truth` people talk, of which `said` were said to."""
        size = min(len(said), len(truth))
        said, truth = said[:size], truth[:size]
        if scored is not None:
            said, truth = said[scored[:size]], truth[scored[:size]]
        counts = self.counts
        counts["frames"] += len(said)
        counts["missed"] += int(((said == 0) & (truth > 0)).sum())
        counts["false"] += int(((said > 0) & (truth == 0)).sum())
        counts["both"] += 2 * int(((said > 1) & (truth > 1)).sum())
        counts["one"] += int((said > 1).sum() + (truth > 1).sum())

    @property
    def percent(self) -> dict[str, float]:
        """Speech error and its two parts in percent of frames, and the F1 of overlap in percent."""
        frames = max(1, self.counts["frames"])
        missed, false = (100 * self.counts[kind] / frames for kind in ("missed", "false"))
        overlap = 100 * self.counts["both"] / max(1, self.counts["one"])
        return {"speech_error": missed + false, "missed": missed, "false_alarm": false, "overlap_f1": overlap}

    def figures(self, name: str) -> dict[str, Figure]:
        """The same as `NAME.speech_error` and so on."""
        better: dict[str, Better] = dict.fromkeys(self.percent, "lower") | {"overlap_f1": "higher"}
        return {f"{name}.{part}": Figure(value, "%", "error", better[part]) for part, value in self.percent.items()}

    def cells(self) -> str:
        """The same for the table."""
        error, missed, false, overlap = self.percent.values()
        return f"{error:6.2f}  ({missed:5.2f}  {false:5.2f})  {overlap:6.1f}"


def truth_of(recording: Recording) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """How many talk in each frame by the reference, and which frames it covers."""
    talkers = recording.reference_frames().sum(axis=1)[: recording.end_frame]
    frames = np.arange(len(talkers)) * FRAME_SAMPLES / SAMPLE_RATE_HZ
    return talkers, within(frames, recording.extents_s)


def errors_between(said: Sequence[Talkers], truths: Sequence[NDArray[Any]], start: int, end: int) -> Errors:
    """The errors in frames [start, end) of every stream."""
    errors = Errors()
    for talkers, truth in zip(said, truths, strict=True):
        errors.add(talkers[start:end], truth[start:end])
    return errors
