"""The floor of the segmentation model under stitching, and the way from frames to turns that all baselines share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from turnstream.clients.evaluation.recordings import Recording, Turns
from turnstream.labels import Labels, runs_of, smooth_runs
from turnstream.rttm import RttmSegment
from turnstream.stitching.aggregation import Aggregator, Said, edge_trust
from turnstream.stitching.assignment import decide
from turnstream.stitching.clustering import centroids
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.linear_assignment import best_pairs
from turnstream.stitching.record import RecordStitcher
from turnstream.stitching.stitchers import is_kept
from turnstream.timeline.runs import DROP_FRAMES, FILL_FRAMES
from turnstream.timeline.timeline import Timeline
from turnstream.windows import WINDOW_FRAMES, frame_seconds

Bools = NDArray[np.bool_]


class Live:
    """Frames as they are decided at each latency: what lies further back than it is never touched again."""

    def __init__(self, latencies_s: list[float], shape: tuple[int, int]):
        self._latency_frames = {latency: Timeline(latency).latency_frames for latency in latencies_s}
        self._committed = dict.fromkeys(latencies_s, 0)
        self.decided = {latency: np.zeros(shape, bool) for latency in latencies_s}

    def update(self, active: Bools, horizon_frame: int) -> None:
        """Commit what is older than each latency now; (frames, speakers), the columns of old speakers stay theirs."""
        for latency, late in self._latency_frames.items():
            self._commit(latency, active, max(self._committed[latency], horizon_frame - late))

    def finish(self, active: Bools) -> None:
        """Commit the rest."""
        for latency in self.decided:
            self._commit(latency, active, len(active))

    def _commit(self, latency: float, active: Bools, upto: int) -> None:
        place, decided = slice(self._committed[latency], upto), self.decided[latency]
        if active.shape[1] > decided.shape[1]:
            decided = self.decided[latency] = np.pad(decided, ((0, 0), (0, active.shape[1] - decided.shape[1])))
        decided[place, : active.shape[1]] = active[place]
        self._committed[latency] = upto


def oracle(recording: Recording, latencies_s: list[float], config: StitcherConfig) -> dict[str, Turns]:
    """Every window's local speakers under the names of the reference, aggregated as the stitcher does."""
    truth = recording.reference_frames()
    votes, live = Aggregator(config, 0), Live(latencies_s, truth.shape)
    labels = np.zeros_like(truth)
    for first_frame, active in recording.windows():
        votes.forget(max(0, first_frame))  # no later window votes on what is before it
        votes.add(first_frame, edge_trust(len(active), config), said_by(first_frame, active, truth))
        write(labels, votes.labels())
        live.update(labels, first_frame + len(active))
    live.finish(labels)
    rows = {**{f"oracle {latency:g} s": decided for latency, decided in live.decided.items()}, "oracle final": labels}
    return {row: turns_from(active, recording.end_frame) for row, active in rows.items()}


def known_voices(recording: Recording, config: StitcherConfig) -> dict[str, Turns]:
    """The engine's final result if clustering were perfect: its centroids are of the true speakers' own segments."""
    stitcher, truth = RecordStitcher(config), recording.reference_frames()
    for first_frame, active in recording.windows():
        if is_kept(first_frame):
            stitcher.remember(recording.embed_all(stitcher.observe(first_frame, active)))
    stitcher.finish(recording.embed_all)
    members = [s for s in stitcher.store.segments if s.shapes_clusters(config) and truth[s.start : s.end].any()]
    speakers = np.array([truth[s.start : s.end].sum(axis=0).argmax() for s in members], np.int64)
    names, clusters = np.unique(speakers, return_inverse=True)
    vectors = np.stack([s.vector for s in members if s.vector is not None])
    found = centroids(vectors, np.array([s.clean_frames for s in members], np.float32), clusters)
    votes, trust = Aggregator(config, 0), edge_trust(WINDOW_FRAMES, config)
    every = stitcher.windows.between(0, len(stitcher.windows))
    for window, said in decide(every, names.tolist(), found, config):
        votes.add(window.first_frame, trust, [(who, mask) for who, mask in said if who is not None])
    return {"voices final": turns_from(columns(votes.labels(), truth.shape), recording.end_frame)}


def said_by(first_frame: int, active: Bools, truth: Bools) -> Said:
    """A window's local speakers, (T, S) bool from `first_frame` on, as the true speakers whom they fit best."""
    place = slice(max(0, first_frame), max(0, first_frame + len(active)))
    here = active[place.start - first_frame :][: len(truth[place])]
    shared = here.T.astype(np.int64) @ truth[place].astype(np.int64)
    return [(speaker, active[:, local]) for local, speaker in best_pairs(shared)]


def columns(labels: Labels, shape: tuple[int, ...]) -> Bools:
    """Labels from frame 0 on as (frames, speakers), each speaker in the column of his number."""
    dense = np.zeros(shape, bool)
    write(dense, labels)
    return dense


def write(dense: Bools, labels: Labels) -> None:
    """Put the labels in their place of (frames, speakers), each speaker in the column of his number."""
    place = dense[labels.first_frame : labels.end_frame]
    place[:] = False
    for n, speaker in enumerate(labels.speakers):
        place[:, speaker] = labels.active[: len(place), n]


def turns_from(active: Bools, end_frame: int) -> Turns:
    """Turns with gaps closed and flicker dropped as the timeline does it; (frames, speakers)."""
    return [
        RttmSegment(frame_seconds(start), frame_seconds(min(end, end_frame)), str(speaker))
        for speaker in range(active.shape[1])
        for start, end in smooth_runs(runs_of(active[:, speaker]), FILL_FRAMES, DROP_FRAMES)
        if start < end_frame
    ]
