"""From the local speakers of overlapping windows to speakers of the stream. Knows no model and no audio.

Every hop has two steps, so that the embeddings of many streams can share one call: `observe` takes a window's
segmentation and returns the crops to embed, `assign` takes their embeddings and returns labels. If labels are only
needed at the end, `remember` just takes the embeddings. The same windows and embeddings always give the same labels,
and the same result of `finish` whichever of the two was called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..labels import Bools, Change, Labels, joined
from ..limits import Reason
from ..windows import WINDOW_FRAMES
from .aggregation import Aggregator, edge_trust
from .assignment import Window, clean_seconds, decide, mean_vector
from .clustering import CosineTable
from .config import FRAME_S, StitcherConfig, frames
from .history import WindowHistory
from .identity import FoundSpeakers, Speakers, find_speakers
from .profile import Profile
from .segments import Segment, SegmentStore, find_runs
from .splitting import Splitter

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
FINAL_BLOCK_WINDOWS = 256  # decided before their votes are counted: keeps the end of a long stream small
CROP_REACH_FRAMES = frames(20.0)  # crops reach back at most this far from the window's end; audio is kept that long


class Stitcher:
    """Takes one stream's windows in order; the module docstring explains the two steps of a hop.

    Call `observe` and `assign` in turn. At the end `finish` decides everything once more.
    """

    def __init__(self, config: StitcherConfig | None = None):
        self.config = config or StitcherConfig()
        self.speakers = Speakers(self.config)
        self.store = SegmentStore(self.config)
        self.windows = WindowHistory()
        self._settled = Aggregator(self.config, 0)
        self._settled_windows = 0
        self._trust = edge_trust(WINDOW_FRAMES, self.config)
        self._asked: list[Segment] = []
        self._heard: set[int] = set()  # speakers whom labels may name
        self._found: FoundSpeakers | None = None  # at the end

    def observe(self, first_frame: int, active: Bools) -> list[Ints]:
        """Take a window's local activities; returns the crops to embed.

        Shapes:
            first_frame: absolute, may be negative; frames before 0 are ignored
            active: (589, S) bool, S local speakers
            returns: crops, each an increasing int64 array of absolute frames >= 0, clean speech of one local speaker,
                about `run_piece_s` long at most, and none older than 20 s before the window's end
        Raises ValueError for another number of frames, if the last crops have no embeddings yet, and for a window
        that is not later than the last one.
        """
        if len(active) != WINDOW_FRAMES:
            raise ValueError(f"expected a window of {WINDOW_FRAMES} frames, got {len(active)}")
        if self._asked:
            raise ValueError(f"expected embeddings of {len(self._asked)} crops before the next window, got none")
        for newest in self.windows.newest(1):
            if first_frame <= newest.first_frame:
                raise ValueError(f"expected a window after frame {newest.first_frame}, got {first_frame}")
        active = active & (np.arange(first_frame, first_frame + len(active)) >= 0)[:, None]
        clean = active & (active.sum(axis=1) == 1)[:, None]
        runs = self.store.follow(find_runs(active, first_frame, self.config), clean, first_frame)
        window = Window(first_frame, np.packbits(active), runs)
        self.windows.append(window)
        end = window.end_frame
        self._asked = [run.segment for found in runs for run in found if self.store.due(run.segment, end)]
        crops = map(self.store.crop, self._asked)
        return [crop[crop >= end - CROP_REACH_FRAMES] for crop in crops]

    def remember(self, vectors: Floats) -> None:
        """Take the embeddings of the crops from `observe`, (crops, D) float32 of unit norm, without deciding anything.

        Raises ValueError if there are more or fewer of them than crops.
        """
        if len(vectors) != len(self._asked):
            raise ValueError(f"expected {len(self._asked)} embeddings, got {len(vectors)}")
        [window] = self.windows.newest(1)
        for segment, vector in zip(self._asked, vectors, strict=True):
            self.store.embedded(segment, vector, window.end_frame)
        self._asked = []
        self.store.condense(self._reach())
        self.windows.pack(self.config.assign_windows, self.store.near)

    def assign(self, vectors: Floats) -> Labels:
        """`remember`, then return labels: they cover the windows that are decided again at every hop."""
        asked = self._asked
        self.remember(vectors)
        [window] = self.windows.newest(1)
        # Without a new embedding there is nobody that the last clustering did not know
        fresh = any(segment.shapes_clusters(self.config) for segment in asked)
        changes = self._cluster(window.end_frame) if fresh else ()
        self._open_speakers(window)
        return replace(self._labels(), changes=changes)

    def finish(self) -> Labels:
        """Cluster and decide every window once more: labels of the whole stream from frame 0 on.

        Earlier decisions of `assign` have no influence: the result is the same as for the recording.
        """
        config = self.config
        self._found = found = find_speakers(
            self.store.segments, config, CosineTable(), Splitter(config), self.store.pair_votes
        )
        votes, blocks = Aggregator(config, 0), []
        for start in range(0, len(self.windows), FINAL_BLOCK_WINDOWS):
            block = self.windows.between(start, start + FINAL_BLOCK_WINDOWS)
            self._add(votes, block, found.ids, found.centroids, config.override_final_margin)
            following = self.windows.between(start + FINAL_BLOCK_WINDOWS, start + FINAL_BLOCK_WINDOWS + 1)
            blocks.append(votes.settle(max(0, following[0].first_frame) if following else block[-1].end_frame))
        return joined(blocks)

    def _reach(self) -> int:
        """First frame of the oldest window that is still decided again at every hop."""
        return self.windows.newest(self.config.assign_windows)[0].first_frame

    def profiles(self) -> dict[int, Profile]:
        """The voices of the current speakers, by id, without those opened since the last clustering.

        After `finish`, the voices of the speakers in its labels.
        """
        own: dict[int | None, list[Segment]] = {}
        if self._found is None:
            ids, vectors = self.speakers.ids, self.speakers.vectors
            for segment in self.store.segments:
                if segment.shapes_clusters(self.config):
                    own.setdefault(segment.speaker, []).append(segment)
        else:
            ids, vectors = self._found.ids, self._found.centroids
            for segment, speaker in zip(self._found.members, self._found.speakers, strict=True):
                own.setdefault(speaker, []).append(segment)
        voices = zip(ids, vectors, strict=True)
        return {id: Profile(vector, _clean_frames(own[id]) * FRAME_S) for id, vector in voices if id in own}

    def _cluster(self, horizon_frame: int) -> tuple[Change, ...]:
        """Cluster; returns the changes to segments that labels no longer reach."""
        before = set(self.speakers.ids)
        self.speakers.cluster(self.store.segments, self.store.pair_votes, horizon_frame)
        return tuple(self._changes(before))

    def _changes(self, before: set[int]) -> Iterator[Change]:
        """Stretches that labels no longer reach and whose speaker differs from the one last reported."""
        reach = self._reach()
        now = set(self.speakers.ids)
        for segment in self.store.segments:
            new = segment.speaker
            if segment.end > reach or new is None:
                continue
            reported = segment.reported or {None: [(segment.start, segment.end)]}
            for old in [speaker for speaker in reported if speaker != new]:
                if old is not None:
                    reason: Reason = "merged" if old not in now else "reassigned" if new in before else "split"
                    yield from (Change(start, end, old, new, reason) for start, end in reported[old])
                reported.setdefault(new, []).extend(reported.pop(old))
            segment.reported = reported

    def _open_speakers(self, window: Window) -> None:
        """Open a tentative speaker for every local speaker of the newest window that fits no known speaker."""
        for runs in window.runs:
            clean_s = clean_seconds(runs)
            if clean_s >= self.config.new_speaker_s:
                vector = mean_vector(runs)
                if self.speakers.is_new(vector, clean_s):
                    self.speakers.open(vector, clean_s, [run.segment for run in runs], window.end_frame)

    def _labels(self) -> Labels:
        """Decide the newest windows again, on top of the settled votes of older ones."""
        ids, vectors, margin = self.speakers.ids, self.speakers.vectors, self.config.override_margin
        recent = self.windows.newest(self.config.assign_windows)
        settled = self.windows.between(self._settled_windows, len(self.windows) - len(recent))
        self._add(self._settled, settled, ids, vectors, margin)
        self._settled_windows += len(settled)
        self._settled.forget(max(0, recent[0].first_frame))
        votes = self._settled.copy()
        self._add(votes, recent, ids, vectors, margin)
        return self._public(votes.labels())

    def _public(self, labels: Labels) -> Labels:
        """The labels with speakers of whom too little was heard as somebody unknown, until there is more."""
        self._heard |= self._heard_enough({speaker for speaker in labels.speakers if speaker is not None} - self._heard)
        known = np.array([speaker in self._heard for speaker in labels.speakers], bool)
        if known.all():
            return labels
        unknown = labels.active[:, ~known].any(axis=1)
        speakers = [speaker for speaker in labels.speakers if speaker in self._heard]
        return replace(labels, active=np.column_stack([labels.active[:, known], unknown]), speakers=(*speakers, None))

    def _heard_enough(self, speakers: set[int]) -> set[int]:
        """Those of the speakers to whom a clustering gave at least `public_s` of clean speech."""
        clean = dict.fromkeys(speakers, 0)
        for segment in self.store.segments if speakers else ():
            if segment.speaker in clean:
                clean[segment.speaker] += segment.clean_frames
        return {speaker for speaker, count in clean.items() if count * FRAME_S >= self.config.public_s}

    def _add(
        self, votes: Aggregator, windows: Sequence[Window], ids: list[int], vectors: Floats, margin: float
    ) -> None:
        """Add the windows' votes, decided with the speakers `ids` with centroids `vectors` (K, D)."""
        for window, said in decide(windows, ids, vectors, margin, self.config):
            votes.add(window.first_frame, self._trust, said)


def _clean_frames(segments: Sequence[Segment]) -> int:
    """Clean frames of one speaker's segments; a frame covered by several segments counts once."""
    covered, reach = 0, 0
    plain = [s for s in segments if s.parts == 1]
    for start, end in sorted((s.start, s.end) for s in plain):
        covered += max(0, end - max(start, reach))
        reach = max(reach, end)
    clean = min(covered, sum(s.clean_frames for s in plain))
    return clean + sum(s.clean_frames for s in segments if s.parts > 1)
