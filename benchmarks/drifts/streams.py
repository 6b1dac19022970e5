"""Long streams put together from annotated recordings, at the cost of everything but the models.

Each recording is followed by silence up to a whole period, so that its windows are those of the recording alone and
their outputs come from the cache of `benchmarks.der`. What is not there, the windows behind a recording's end, is asked
of the models once and kept beside. Features of embeddings stand on the recording's own grid: in a stream they would be
up to 10 ms apart from it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.long_stream import PERIOD_SAMPLES
from turnstream.clients.evaluation.recordings import LazyModels, Recording, Turns, read_samples, turns_of, write_array
from turnstream.models.segmentation import activity
from turnstream.rttm import RttmSegment
from turnstream.stitching.record import RecordStitcher
from turnstream.stitching.stitchers import Stitchers, is_kept
from turnstream.timeline.records import FinalRecord
from turnstream.timeline.timeline import Timeline
from turnstream.windows import FRAME_SAMPLES, HOP_FRAMES, HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_FRAMES, WINDOW_SAMPLES

PERIOD_FRAMES = PERIOD_SAMPLES // FRAME_SAMPLES
BEFORE_HOPS = (WINDOW_SAMPLES - 1) // HOP_SAMPLES  # windows that begin before the recording
SILENCE_SAMPLES = WINDOW_SAMPLES  # behind each recording at least: no window hears two of them

Bools = NDArray[np.bool_]


class Source:
    """A recording with what the models say of every window that hears it, the last one past its end."""

    def __init__(self, recording: Recording, models: LazyModels):
        self.recording = recording
        self._models = models
        samples = round(recording.duration_s * SAMPLE_RATE_HZ) + SILENCE_SAMPLES
        self.frames = -(-samples // PERIOD_SAMPLES) * PERIOD_FRAMES

    @cached_property
    def active(self) -> Bools:
        """(W, 589, 3); the first window begins BEFORE_HOPS before the recording, the last hears silence alone."""
        logp = np.stack([window for _, window in self.recording.log_probabilities()])
        return activity(np.concatenate([logp, self._behind(len(logp))]))

    def _behind(self, known: int) -> NDArray[np.float32]:
        path = self.recording.kept("behind.npy")
        if not path.exists():
            samples = np.pad(read_samples(self.recording.path), (0, 2 * WINDOW_SAMPLES))
            starts = range((known - BEFORE_HOPS) * HOP_SAMPLES, len(samples) - WINDOW_SAMPLES, HOP_SAMPLES)
            models = self._models.get()
            write_array(path, np.stack([models.segment(samples[s : s + WINDOW_SAMPLES], s, None)[0] for s in starts]))
        behind: NDArray[np.float32] = np.load(path)
        return behind


@dataclass(frozen=True)
class Piece:
    """A recording as part of a stream."""

    source: Source
    first_frame: int
    repeated: bool  # it was played before in this stream

    @property
    def start_s(self) -> float:
        """Where it begins, in seconds of the stream."""
        return self.first_frame * FRAME_SAMPLES / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Stream:
    """Recordings one after the other."""

    pieces: tuple[Piece, ...]
    end_frame: int

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self.end_frame * FRAME_SAMPLES / SAMPLE_RATE_HZ

    @property
    def reference(self) -> Turns:
        """Who talks, by the recordings' references."""
        return [
            RttmSegment(piece.start_s + turn.start_s, piece.start_s + turn.end_s, turn.speaker)
            for piece in self.pieces
            for turn in piece.source.recording.reference
        ]

    def windows(self) -> Iterator[tuple[int, Bools, Piece]]:
        """(first frame, (589, 3) activity, the piece that is heard) of every window that is due."""
        number = 0
        for first in range(-BEFORE_HOPS * HOP_FRAMES, self.end_frame - WINDOW_FRAMES + HOP_FRAMES, HOP_FRAMES):
            following = self.pieces[number + 1 : number + 2]
            if following and first >= following[0].first_frame - BEFORE_HOPS * HOP_FRAMES:
                number += 1
            piece = self.pieces[number]
            active = piece.source.active
            yield first, active[min((first - piece.first_frame) // HOP_FRAMES + BEFORE_HOPS, len(active) - 1)], piece


def lay(sources: Sequence[Source | float]) -> Stream:
    """Recordings in this order; a number is a pause of as many seconds, rounded up to whole periods."""
    pieces: list[Piece] = []
    at = 0
    for source in sources:
        if isinstance(source, Source):
            repeated = any(piece.source is source for piece in pieces)
            pieces.append(Piece(source, at, repeated))
            at += source.frames
        else:
            at += -(-round(source * SAMPLE_RATE_HZ) // PERIOD_SAMPLES) * PERIOD_FRAMES
    return Stream(tuple(pieces), at)


def shuffled(sources: Sequence[Source], hours: float, seed: int) -> Stream:
    """All recordings in random order, again and again, until the stream is at least so long."""
    rng, order, frames = np.random.default_rng(seed), [], 0
    while frames * FRAME_SAMPLES < hours * 3600 * SAMPLE_RATE_HZ:
        for number in rng.permutation(len(sources)).tolist():
            if frames * FRAME_SAMPLES < hours * 3600 * SAMPLE_RATE_HZ:
                order.append(sources[number])
                frames += sources[number].frames
    return lay(order)


@dataclass
class Told:
    """What the engine said of a stream: committed at each latency (as it was first committed), final, offline."""

    live: dict[float, Turns] = field(default_factory=dict)
    final: Turns = field(default_factory=list)
    offline: Turns = field(default_factory=list)
    different_frames: int = 0  # of the final result from the offline one, other numbers of speakers apart


def hear(stream: Stream, latencies_s: Sequence[float], offline: bool = True) -> Told:
    """The stream live at several latencies, and once more as offline, by the record alone."""
    stitchers, timelines = Stitchers(), {latency: Timeline(latency) for latency in latencies_s}
    record, told = RecordStitcher(), Told()
    for first_frame, active, piece in stream.windows():
        horizon = min(stream.end_frame, first_frame + len(active))
        labels = stitchers.assign(_vectors(stitchers.observe(first_frame, active), piece))
        for timeline in timelines.values():
            timeline.update(labels, max(0, horizon))
        if offline and is_kept(first_frame):
            record.remember(_vectors(record.observe(first_frame, active), piece))
    embed = functools.partial(_vectors, piece=stream.pieces[-1])
    labels = stitchers.finish(embed)
    for piece in stream.pieces:
        piece.source.recording.keep()
    finals = [timeline.finish(labels, stream.end_frame) for timeline in timelines.values()]
    told.live = {latency: turns_of(timeline.live_rttm("x")) for latency, timeline in timelines.items()}
    told.final = turns_of(timelines[latencies_s[0]].rttm("x"))
    if offline:
        alone = Timeline()
        expected = alone.finish(record.finish(embed), stream.end_frame)
        told.offline = turns_of(alone.rttm("x"))
        told.different_frames = max(different_frames(final, expected, stream.end_frame) for final in finals)
    return told


def different_frames(one: FinalRecord, other: FinalRecord, end_frame: int) -> int:
    """Frames in which two results do not have the same people talk, whatever their numbers."""
    frames = [_frames_of(final, end_frame) for final in (one, other)]
    first_said = [sorted(said, key=lambda n: (n is None, int(said[n].argmax()), said[n].tobytes())) for said in frames]
    if len(frames[0]) != len(frames[1]):
        return end_frame
    apart = np.zeros(end_frame, bool)
    for a, b in zip(*first_said, strict=True):
        apart |= frames[0][a] != frames[1][b]
    return int(apart.sum())


def _frames_of(final: FinalRecord, end_frame: int) -> dict[int | None, Bools]:
    said: dict[int | None, Bools] = {}
    for turn in final.turns:
        said.setdefault(turn.speaker, np.zeros(end_frame, bool))[turn.start_frame : turn.end_frame] = True
    return said


def _vectors(crops: Sequence[NDArray[np.int64]], piece: Piece) -> NDArray[np.float32]:
    return np.array([piece.source.recording.embed(crop - piece.first_frame) for crop in crops], np.float32)
