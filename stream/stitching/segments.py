"""Runs of local speakers in one window, and the segments of speech that follow a run from hop to hop."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..labels import Bools, runs_of
from .clustering import average_linkage, product
from .config import StitcherConfig, frames
from .pair_votes import PairVotes

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Span = tuple[int, int]
NOTHING = np.zeros(0, np.int64)
ADOPT_OVERLAP = 0.7  # shared / all frames from which the two stitchers' segments are one stretch of speech


@dataclass(eq=False, slots=True)
class Segment:
    """One stretch of one speaker's speech, as seen by the newest window that covers it.

    Positions are absolute frames. `clean_frames` counts the frames in which nobody else talks; `clean` lists them
    while windows still reach the segment. `votes` counts how often each speaker's cluster contained it, and `speaker`
    is the most recent one. `reported` holds the stretches that labels no longer reach, by the speaker last reported;
    `doubt` is whom clusterings have given them to instead since `doubt_frame`.
    """

    start: int
    end: int
    clean: Ints
    clean_frames: int = 0
    asked: bool = False  # for an embedding, which may be on its way
    vector: Floats | None = None
    embedded_frames: int = 0
    whole: bool = False  # embedded after its end was known
    misses: int = 0
    mixed: bool = False  # embedded with all of its frames: others talk in nearly all of it
    votes: dict[int, float] = field(default_factory=dict)
    speaker: int | None = None
    reported: dict[int | None, list[Span]] = field(default_factory=dict)
    doubt: int | None = None
    doubt_frame: int = 0
    parts: int = 1  # segments merged into it
    packed_index: int | None = None  # index among the segments of packed windows

    def renew(self, start: int, end: int, clean: Ints, first_frame: int) -> None:
        """Update it from a window that begins at `first_frame`; anything earlier stays as it was."""
        if self.start >= first_frame:
            self.start = start
        self.end = end
        self.clean = np.concatenate([self.clean[self.clean < first_frame], clean])
        self.clean_frames = len(self.clean)
        self.misses = -1

    def adopt(self, other: Segment) -> bool:
        """Take the embedding of another stitcher's segment if it is of the same stretch and of more; whether it was."""
        better = other.vector is not None and not other.mixed and other.embedded_frames > self.embedded_frames
        if self.vector is None or not better or self._overlap(other) < ADOPT_OVERLAP:
            return False
        self.vector, self.embedded_frames, self.mixed = other.vector, other.embedded_frames, False
        return True

    def _overlap(self, other: Segment) -> float:
        """Shared frames of clean speech / all frames of both, 0 to 1."""
        if self.end <= other.start or other.end <= self.start:
            return 0.0
        shared = len(np.intersect1d(self.clean, other.clean, assume_unique=True))
        return shared / (len(self.clean) + len(other.clean) - shared or 1)

    def shapes_clusters(self, config: StitcherConfig) -> bool:
        """Whether it is embedded and long enough to take part in clustering."""
        return self.vector is not None and self.clean_frames >= frames(config.cluster_segment_s)


@dataclass(slots=True)
class Run:
    """A stretch of one local speaker in one window, [start, end) in absolute frames, and the segment it belongs to."""

    start: int
    end: int
    clean_frames: int
    segment: Segment

    def evidence_frames(self, config: StitcherConfig) -> float:
        """Frames of clean speech that its embedding counts for; 0 without an embedding."""
        if self.segment.vector is None:
            return 0.0
        return config.assign_mixed_share * (self.end - self.start) if self.segment.mixed else self.clean_frames


def find_runs(active: Bools, first_frame: int, config: StitcherConfig) -> list[list[Span]]:
    """Runs of every local speaker in absolute frames; short gaps are bridged where nobody else talks.

    Shapes:
        active: (T, S) bool
        returns: S lists of (start, end) in order of time
    """
    shortest, bridge = frames(config.run_min_s), frames(config.run_bridge_s)
    found = []
    for local in range(active.shape[1]):
        others = active.sum(axis=1) > active[:, local]
        joined: list[Span] = []
        for start, end in runs_of(active[:, local]):
            if joined and start - joined[-1][1] <= bridge and not others[joined[-1][1] : start].any():
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        spans = [(s + first_frame, e + first_frame) for s, e in joined if e - s >= shortest]
        found.append([piece for span in spans for piece in _pieces(*span, frames(config.run_piece_s))])
    return found


def _pieces(start: int, end: int, length: int) -> list[Span]:
    """[start, end) cut at the multiples of `length` that are at least half of `length` away from both ends."""
    first = -(-(start + length // 2) // length)
    last = (end - length // 2) // length
    cuts = [start, *(n * length for n in range(first, last + 1)), end]
    return list(pairwise(cuts))


class SegmentStore:
    """All segments of a stream in order of first appearance; `near` are those that windows still reach."""

    def __init__(self, config: StitcherConfig):
        self._config = config
        self.segments: list[Segment] = []
        self.near: list[Segment] = []
        self.pair_votes = PairVotes()

    def follow(self, runs: list[list[Span]], clean: Bools, first_frame: int) -> list[list[Run]]:
        """Match a window's runs one to one with the nearby segments by shared frames; unmatched runs start new ones.

        Shapes:
            runs: S lists of (start, end); clean: (T, S) bool, the frames in which only that local speaker talks
            returns: the same runs with their segments
        """
        flat = [(local, start, end) for local, spans in enumerate(runs) for start, end in spans]
        matched = self._match(flat)
        made: list[list[Run]] = [[] for _ in runs]
        for number, (local, start, end) in enumerate(flat):
            fresh = np.flatnonzero(clean[start - first_frame : end - first_frame, local]) + start
            segment = matched.get(number)
            if segment is None:
                segment = self._new(start, end, fresh)
            else:
                segment.renew(start, end, fresh, first_frame)
            made[local].append(Run(start, end, len(fresh), segment))
        self.pair_votes.count([[run.segment for run in found] for found in made])
        self._forget(first_frame)
        return made

    def due(self, segment: Segment, window_end: int, growth: float) -> bool:
        """Whether the segment needs its first embedding, or a new one as its clean speech has grown by this factor."""
        if segment.clean_frames < frames(self._config.segment_embed_s) or not segment.asked:
            return self._is_enough(segment, self.ended(segment, window_end)) and not segment.asked
        return segment.clean_frames >= growth * segment.embedded_frames

    def due_whole(self, segment: Segment, window_end: int) -> bool:
        """Whether the segment has ended and its embedding is of a part of it, or of more than it turned out to be."""
        partly = segment.asked and not segment.whole and segment.clean_frames != segment.embedded_frames
        enough = segment.clean_frames >= frames(self._config.segment_embed_s)
        return partly and enough and self.ended(segment, window_end)

    def due_at_end(self, segment: Segment) -> bool:
        """Whether the segment, which ends with the stream, is to be embedded as it is now."""
        new = not segment.asked or segment.clean_frames != segment.embedded_frames
        return new and not segment.whole and self._is_enough(segment, ended=True)

    def ask(self, segment: Segment, window_end: int) -> Ints:
        """The frames to embed now, seen from a window that ends at `window_end`: clean speech, or all of it.

        The segment notes what its next embedding is made of.
        """
        segment.asked = True
        segment.mixed = segment.clean_frames < frames(self._config.segment_embed_s)
        segment.embedded_frames = segment.clean_frames
        segment.whole = self.ended(segment, window_end)
        return np.arange(max(0, segment.start), segment.end) if segment.mixed else segment.clean

    def ended(self, segment: Segment, window_end: int) -> bool:
        """Whether a window that ends at `window_end` has seen the segment's end."""
        return segment.end < window_end - frames(self._config.segment_ended_s)

    def _is_enough(self, segment: Segment, ended: bool) -> bool:
        """Whether there is enough of it for an embedding: clean speech, or, once it has ended, any speech."""
        if segment.clean_frames >= frames(self._config.segment_embed_s):
            return True
        return ended and segment.end - segment.start >= frames(self._config.segment_mixed_s)

    def _new(self, start: int, end: int, clean: Ints) -> Segment:
        segment = Segment(start, end, clean, len(clean), misses=-1)
        self.segments.append(segment)
        self.near.append(segment)
        return segment

    def _match(self, flat: list[tuple[int, int, int]]) -> dict[int, Segment]:
        pairs = []
        for number, (_, start, end) in enumerate(flat):
            for place, segment in enumerate(self.near):
                shared = min(end, segment.end) - max(start, segment.start)
                shorter = min(end - start, segment.end - segment.start)
                if shared > 0 and shared >= self._config.segment_match_share * shorter:
                    pairs.append((-shared, number, place))
        matched: dict[int, Segment] = {}
        taken: set[int] = set()
        for _, number, place in sorted(pairs):
            if number not in matched and place not in taken:
                matched[number] = self.near[place]
                taken.add(place)
        return matched

    def _forget(self, first_frame: int) -> None:
        """Drop segments that several windows did not confirm; stop following those that no window reaches."""
        denied: set[int] = set()
        for segment in self.near:
            segment.misses += 1
            if segment.misses >= self._config.segment_misses_windows and segment.start >= first_frame:
                denied.add(id(segment))
        if denied:
            self.segments = [s for s in self.segments if id(s) not in denied]
        still = []
        for segment in self.near:
            if id(segment) not in denied and segment.end > first_frame:
                still.append(segment)
            else:
                segment.clean = NOTHING
        self.near = still

    def condense(self, reach_frame: int) -> None:
        """Bound the number of segments: merge similar ones that ended before `reach_frame`.

        A merged segment has their weighted mean, which is exact for average linkage where they would have merged
        first. Segments too short to shape clusters are dropped once out of reach. The result depends on the windows
        alone, never on reported speakers, nor on segments that are newer than these.
        """
        config = self._config
        self.segments = [s for s in self.segments if s.end > reach_frame or s.shapes_clusters(config)]
        self.pair_votes.keep(self.segments)
        old = [s for s in self.segments if s.end <= reach_frame]
        if len(old) <= config.segments_most:
            return
        new = [s for s in self.segments if s.end > reach_frame]
        groups = [[segment] for segment in old]
        for distance in config.condense_distances:
            if len(groups) <= config.segments_most // 2:
                break
            groups = _alike(old, distance)
        self.segments = [group[0] if len(group) == 1 else self._condensed(group) for group in groups] + new

    def _condensed(self, group: list[Segment]) -> Segment:
        segment = _condensed(group)
        self.pair_votes.merge(group, segment)
        return segment


def _alike(segments: list[Segment], distance: float) -> list[list[Segment]]:
    """Groups of average linkage cut at `distance`."""
    vectors = np.stack([s.vector for s in segments if s.vector is not None])
    weights = np.array([s.clean_frames for s in segments], np.float32)
    clusters = average_linkage(product(vectors, vectors.T), weights, distance)
    return [[segments[n] for n in np.flatnonzero(clusters == c).tolist()] for c in range(clusters.max() + 1)]


def _condensed(group: list[Segment]) -> Segment:
    """Several segments as one: their time span, clean speech, mean embedding (not of unit norm) and mean votes."""
    weight = sum(s.clean_frames for s in group)
    votes: dict[int, float] = {}
    reported: dict[int | None, list[Span]] = {}
    for s in group:
        for name, times in s.votes.items():
            votes[name] = votes.get(name, 0.0) + times * s.clean_frames / weight
        for speaker, spans in s.reported.items():
            reported.setdefault(speaker, []).extend(spans)
    return Segment(
        start=min(s.start for s in group),
        end=max(s.end for s in group),
        clean=NOTHING,
        clean_frames=weight,
        vector=np.sum([s.vector * np.float32(s.clean_frames / weight) for s in group if s.vector is not None], axis=0),
        votes=votes,
        speaker=max(group, key=lambda s: s.clean_frames).speaker,
        reported=reported,
        parts=sum(s.parts for s in group),
    )
