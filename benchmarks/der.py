"""Diarization error of the stitcher and the timeline on labelled recordings, live and at the end.

    python -m benchmarks.der RECORDING.flac... [--cache FOLDER] [--latency 0.5 1 2 5]

Each recording needs its reference beside it (`.rttm`; `.uem` where only a part is labelled). Printed per row: DER and
its parts (false alarm, missed, confusion), overlap scored, without a collar and with 0.25 s on either side, pooled over
the recordings, by pyannote.metrics. Rows: `live` is what was committed at that latency, unrevised; `revised` is the
same with every revision of the stream applied; `final` the result at the end; `oracle` what the windows give when each
local speaker is one reference speaker, the one with whom he shares most frames. Only taking local speakers apart, as
the stitcher does where the model changes speakers inside one, can go below it.

What the models say is kept in the cache folder by the recording's hash, so the second run takes seconds; name another
folder when the models have changed.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment
from pyannote.core import Timeline as Extent
from pyannote.metrics.diarization import DiarizationErrorRate

from stream.aggregation import Aggregator, Said, edge_trust
from stream.batcher import Batcher
from stream.cache import cache_dir
from stream.clustering import best_pairs
from stream.events import Event, Revision, Turn, frame_seconds
from stream.fbank import fbank, rows_of_frames
from stream.labels import Labels, runs_of, smooth_runs
from stream.rttm import RttmSegment, parse_rttm
from stream.segmentation import activity
from stream.stitcher import Stitcher
from stream.stitcher_config import StitcherConfig
from stream.timeline import DROP_FRAMES, FILL_FRAMES, Timeline
from stream.weights import embedding_weights, segmentation_weights
from stream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES, WindowSchedule

COLLARS_S = (0.0, 0.25)
Turns = list[RttmSegment]


class Recording:
    """A labelled recording and what the models say about it, from the cache where it is known."""

    def __init__(self, path: Path, folder: Path, models: LazyModels):
        self.path = path
        self._models = models
        self._samples, rate = soundfile.read(path, dtype="float32")
        if rate != SAMPLE_RATE_HZ or self._samples.ndim != 1:
            raise SystemExit(
                f"{path}: expected mono audio of {SAMPLE_RATE_HZ} Hz, got {self._samples.shape} of {rate} Hz"
            )
        self.duration_s = len(self._samples) / SAMPLE_RATE_HZ
        self.end_frame = -(-len(self._samples) // FRAME_SAMPLES)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        self._windows_path = folder / f"{digest}-segmentation.npy"
        self._vectors_path = folder / f"{digest}-embedding.npz"
        self.reference = _one(path.with_suffix(".rttm").read_text())
        uem = path.with_suffix(".uem")
        self.extent_s = tuple(map(float, uem.read_text().split()[2:4])) if uem.exists() else (0.0, self.duration_s)
        self._vectors = dict(np.load(self._vectors_path)) if self._vectors_path.exists() else {}
        self._known = len(self._vectors)
        self._features: NDArray[np.float32] | None = None
        self.embedded = 0

    def windows(self) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """(first frame, (T, 3) local activity) of every window that is due."""
        schedule = WindowSchedule()
        starts: list[int] = []
        while schedule.frames_end < len(self._samples):
            starts.append(schedule.take())
        if not self._windows_path.exists():
            padded = np.pad(self._samples, (WINDOW_SAMPLES, WINDOW_SAMPLES + schedule.hop_samples))
            said = [
                self._models.get().segment(padded[s + WINDOW_SAMPLES :][:WINDOW_SAMPLES], s, None)[0] for s in starts
            ]
            np.save(self._windows_path, np.stack(said))
        for start, logp in zip(starts, np.load(self._windows_path, mmap_mode="r"), strict=True):
            yield start // FRAME_SAMPLES, activity(logp)

    def reference_frames(self) -> NDArray[np.bool_]:
        """The reference on the frame grid, (frames, speakers in order of name)."""
        names = sorted({turn.speaker for turn in self.reference})
        truth = np.zeros((self.end_frame + WINDOW_SAMPLES // FRAME_SAMPLES, len(names)), bool)
        for turn in self.reference:
            start, end = (
                round((at * SAMPLE_RATE_HZ - FRAME_OFFSET_SAMPLES) / FRAME_SAMPLES) for at in (turn.start_s, turn.end_s)
            )
            truth[max(0, start) : end, names.index(turn.speaker)] = True
        return truth

    def embed(self, crop: NDArray[np.int64]) -> NDArray[np.float32]:
        """Unit-norm embedding of the clean speech in these frames."""
        self.embedded += 1
        rows = rows_of_frames(crop)
        key = hashlib.sha256(rows.tobytes()).hexdigest()[:24]
        if key not in self._vectors:
            if self._features is None:
                self._features = fbank(np.pad(self._samples, (0, WINDOW_SAMPLES)))
            self._vectors[key] = self._models.get().embed([self._features[rows]])[0]
        return self._vectors[key]

    def keep(self) -> None:
        """Write new embeddings to the cache."""
        if len(self._vectors) > self._known:
            np.savez(self._vectors_path, **self._vectors)
            self._known = len(self._vectors)


class LazyModels:
    """The models, loaded only when something is not in the cache."""

    def __init__(self) -> None:
        self._models: Batcher | None = None

    def get(self) -> Batcher:
        """Load them once."""
        if self._models is None:
            self._models = Batcher(segmentation_weights(), embedding_weights())
        return self._models


@dataclass
class Outcome:
    """Hypotheses of one recording by row name, and what else was seen."""

    turns: dict[str, Turns] = field(default_factory=dict)
    hops: int = 0
    stitch_s: list[float] = field(default_factory=list)
    revised_s: dict[float, float] = field(default_factory=dict)
    speakers: int = 0


def run(recording: Recording, latencies_s: list[float], config: StitcherConfig) -> Outcome:
    """The engine without the models: one stitcher, one timeline for each latency."""
    stitcher, timelines = Stitcher(config), {latency: Timeline(latency) for latency in latencies_s}
    outcome = Outcome(revised_s=dict.fromkeys(latencies_s, 0.0))
    for first_frame, active in recording.windows():
        started = time.perf_counter()
        crops = stitcher.observe(first_frame, active)
        seen = time.perf_counter()
        vectors = np.array([recording.embed(crop) for crop in crops], np.float32)
        embedded = time.perf_counter()
        labels = stitcher.assign(vectors)
        for latency, timeline in timelines.items():
            before = {turn.id: turn for turn in timeline.turns}
            events = timeline.update(labels, max(0, first_frame + len(active)))
            outcome.revised_s[latency] += _revised_s(before, events)
        outcome.stitch_s.append(time.perf_counter() - embedded + seen - started)
    recording.keep()
    final_labels = stitcher.finish()
    for latency, timeline in timelines.items():
        outcome.turns[f"revised {latency:g} s"] = _one(timeline.rttm("x"))
        final = timeline.finish(final_labels, recording.end_frame)
        outcome.turns[f"live {latency:g} s"] = _one(timeline.live_rttm("x"))
        outcome.turns["final"] = _one(final.rttm("x"))
        outcome.speakers = len(final.talk_frames)
    return outcome


def _revised_s(before: dict[int, Turn], events: list[Event]) -> float:
    """Seconds of committed speech whose speaker these events changed."""
    turns = [before[i] for event in events if isinstance(event, Revision) for i in event.turns]
    return sum(turn.committed_frame - turn.start_frame for turn in turns) * FRAME_SAMPLES / SAMPLE_RATE_HZ


def oracle(recording: Recording, latencies_s: list[float], config: StitcherConfig) -> dict[str, Turns]:
    """The floor: every window's local speakers under the names of the reference, aggregated as the stitcher does."""
    truth = recording.reference_frames()
    votes = Aggregator(config, 0)
    live = {latency: np.zeros_like(truth) for latency in latencies_s}
    committed = dict.fromkeys(latencies_s, 0)
    for first_frame, active in recording.windows():
        horizon = first_frame + len(active)
        votes.add(first_frame, edge_trust(len(active), config), _oracle_said(first_frame, active, truth))
        labels = _columns(votes.labels(), truth.shape)
        for latency, decided in live.items():
            upto = max(committed[latency], horizon - Timeline(latency).latency_frames)
            decided[committed[latency] : upto] = labels[committed[latency] : upto]
            committed[latency] = upto
    for latency, decided in live.items():
        decided[committed[latency] :] = labels[committed[latency] :]
    rows = {**{f"oracle {latency:g} s": decided for latency, decided in live.items()}, "oracle final": labels}
    return {row: _turns(frames, recording.end_frame) for row, frames in rows.items()}


def _oracle_said(first_frame: int, active: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Said:
    place = slice(max(0, first_frame), max(0, first_frame + len(active)))
    here = active[place.start - first_frame :][: len(truth[place])]
    shared = here.T.astype(np.int64) @ truth[place].astype(np.int64)
    return [(speaker, active[:, local]) for local, speaker in best_pairs(shared)]


def _columns(labels: Labels, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    dense = np.zeros(shape, bool)
    for n, speaker in enumerate(labels.speakers):
        length = min(len(labels.active), len(dense))
        dense[:length, speaker] = labels.active[:length, n]
    return dense


def _turns(active: NDArray[np.bool_], end_frame: int) -> Turns:
    return [
        RttmSegment(frame_seconds(start), frame_seconds(min(end, end_frame)), str(speaker))
        for speaker in range(active.shape[1])
        for start, end in smooth_runs(runs_of(active[:, speaker]), FILL_FRAMES, DROP_FRAMES)
        if start < end_frame
    ]


def _one(text: str) -> Turns:
    """The turns of an RTTM text of one recording."""
    return [segment for segments in parse_rttm(text).values() for segment in segments]


def _annotation(turns: Turns) -> Annotation:
    annotation = Annotation()
    for n, turn in enumerate(turns):
        annotation[Segment(turn.start_s, turn.end_s), n] = turn.speaker
    return annotation


class Score:
    """DER of one row, pooled over recordings, for each collar."""

    def __init__(self) -> None:
        # pyannote.metrics takes the width of the whole collar, both sides of a boundary together
        self._metrics = {collar: DiarizationErrorRate(collar=2 * collar) for collar in COLLARS_S}

    def add(self, recording: Recording, turns: Turns) -> None:
        """Score one recording's turns."""
        extent = Extent([Segment(*recording.extent_s)])
        for metric in self._metrics.values():
            metric(_annotation(recording.reference), _annotation(turns), uem=extent)

    def cells(self) -> str:
        """DER, false alarm, missed and confusion in percent, for each collar."""
        parts = []
        for metric in self._metrics.values():
            total = metric["total"] or 1.0
            shares = [metric[part] / total for part in ("false alarm", "missed detection", "confusion")]
            parts.append("  ".join(f"{100 * share:5.1f}" for share in [sum(shares), *shares]))
        return "   |  ".join(parts)


def main() -> None:
    """Run over the recordings and print the table."""
    arguments = _arguments()
    folder = arguments.cache or cache_dir() / "der"
    folder.mkdir(parents=True, exist_ok=True)
    models, config = LazyModels(), StitcherConfig()
    scores: dict[str, Score] = {}
    hop_ms: list[float] = []
    for path in arguments.recordings:
        recording = Recording(path, folder, models)
        outcome = run(recording, arguments.latency, config)
        hop_ms.extend(1000 * hop for hop in outcome.stitch_s)
        for row, turns in {**outcome.turns, **oracle(recording, arguments.latency, config)}.items():
            scores.setdefault(row, Score()).add(recording, turns)
        true = len({turn.speaker for turn in recording.reference})
        revised = "  ".join(f"{latency:g} s: {seconds:.0f}" for latency, seconds in outcome.revised_s.items())
        rate = recording.embedded / recording.duration_s
        print(f"{path.stem}: {outcome.speakers} speakers found, {true} true; {rate:.2f} embeddings a second;", end=" ")
        print(f"seconds revised at {revised}", flush=True)
    print(f"\n{'':14}  collar 0: DER, false alarm, missed, confusion |  collar 0.25")
    for row in sorted(scores, key=_row_order):
        print(f"{row:14}  {scores[row].cells()}")
    print(f"\nstitcher and {len(arguments.latency)} timelines: mean {np.mean(hop_ms):.2f} ms a hop, median", end=" ")
    print(f"{np.median(hop_ms):.2f}, p95 {np.percentile(hop_ms, 95):.2f}, max {np.max(hop_ms):.1f}")


def _row_order(row: str) -> tuple[int, str]:
    kinds = ["oracle", "live", "revised", "final"]
    return kinds.index(row.split()[0]), row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, help="where model outputs are kept")
    parser.add_argument("--latency", type=float, nargs="+", default=[0.5, 1.0, 2.0, 5.0])
    return parser.parse_args()


if __name__ == "__main__":
    main()
