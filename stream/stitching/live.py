"""Who is speaking now: every window is decided with the speakers known by then, the newest ones again at every hop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..labels import Bools, Change, Labels
from ..limits import Reason
from .aggregation import Aggregator
from .assignment import Window, clean_seconds, mean_vector
from .config import FRAME_S, StitcherConfig, frames
from .identity import Speakers
from .profile import Profile, profiles
from .segments import Segment
from .stitcher import Floats, Ints, Stitcher


class LiveStitcher(Stitcher):
    """Takes one stream's windows in order: call `observe` and `assign` in turn."""

    def __init__(self, config: StitcherConfig | None = None):
        super().__init__(config)
        self.speakers = Speakers(self.config, self.links)
        self._windows: list[Window] = []  # the newest, which are decided again
        self._settled = Aggregator(self.config, 0)  # votes of older ones
        self._heard: set[int] = set()  # speakers whom labels may name
        self._adopted = False  # embeddings, since the last clustering

    def observe(self, first_frame: int, active: Bools) -> list[Ints]:
        """See `Stitcher`. Raises ValueError too if the last crops have no embeddings yet."""
        if self._asked:
            raise ValueError(f"expected embeddings of {len(self._asked[0].segments)} crops before the next window")
        return super().observe(first_frame, active)

    def adopt(self, segments: Sequence[Segment]) -> None:
        """Take the embeddings of the record's segments for the same stretches, where they are made of more speech."""
        for own in self.store.near:
            self._adopted |= any(own.adopt(segment) for segment in segments)

    def assign(self, vectors: Floats) -> Labels:
        """Take the embeddings of the crops; returns labels, which cover the windows that are decided again.

        Shapes: vectors (crops, D) float32 of unit norm. Raises ValueError if there are more or fewer than crops.
        """
        asked, window = self._answered(vectors), self._windows[-1]
        self.links.gather(self.store.segments)
        self.store.condense(self._reach())
        # Without a new embedding there is nobody that the last clustering did not know
        told = self._adopted or self.links.changed
        fresh = told or any(segment.shapes_clusters(self.config) for segment in asked.segments)
        self._adopted = False
        changes = self._cluster(window.end_frame) if fresh else ()
        self._open_speakers(window)
        return replace(self._labels(), changes=changes)

    def profiles(self) -> dict[int, Profile]:
        """The voices of the current speakers, by id, without those opened since the last clustering."""
        members = [segment for segment in self.store.segments if segment.shapes_clusters(self.config)]
        return profiles(self.speakers.ids, self.speakers.vectors, [(segment.speaker, segment) for segment in members])

    def _keep(self, window: Window) -> None:
        self._windows.append(window)

    def _due(self, segment: Segment, window: Window) -> bool:
        grown = self.store.due(segment, window.end_frame, self.config.segment_embed_growth)
        more = segment.clean_frames > segment.embedded_frames  # not where an adopted embedding has as much
        return grown or (more and self.store.due_whole(segment, window.end_frame))

    def _reach(self) -> int:
        """First frame of the oldest window that is decided again at every hop."""
        return self._windows[-self.config.assign_windows :][0].first_frame

    def _cluster(self, horizon_frame: int) -> tuple[Change, ...]:
        """Cluster; returns the changes to segments that labels no longer reach."""
        before = set(self.speakers.ids)
        self.speakers.cluster(self.store.segments, self.store.pair_votes, horizon_frame)
        return tuple(self._changes(before, horizon_frame))

    def _changes(self, before: set[int], horizon_frame: int) -> Iterator[Change]:
        """Stretches that labels no longer reach and whose speaker differs from the one last reported.

        One who is still there keeps them until clusterings have agreed on another for a while.
        """
        reach, lately = self._reach(), horizon_frame - frames(self.config.change_after_s)
        now = set(self.speakers.ids)
        for segment in self.store.segments:
            if segment.end > reach or segment.speaker is None:
                continue
            new = segment.speaker if segment.speaker in self._heard else None
            reported = segment.reported = segment.reported or {new: [(segment.start, segment.end)]}
            others = [speaker for speaker in reported if new not in (speaker, None)]
            if segment.doubt != new or not others:
                segment.doubt, segment.doubt_frame = new, horizon_frame
            for old in [speaker for speaker in others if speaker not in now or segment.doubt_frame <= lately]:
                reason: Reason = "merged" if old not in now else "reassigned" if new in before else "split"
                yield from (Change(start, end, old, new, reason) for start, end in reported[old])
                reported.setdefault(new, []).extend(reported.pop(old))

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
        ids, vectors = self.speakers.ids, self.speakers.vectors
        old = self._windows[: -self.config.assign_windows]
        del self._windows[: len(old)]
        self._add(self._settled, old, ids, vectors)
        self._settled.forget(max(0, self._windows[0].first_frame))
        votes = self._settled.copy()
        self._add(votes, self._windows, ids, vectors)
        return self._public(votes.labels())

    def _public(self, labels: Labels) -> Labels:
        """The labels with speakers of whom too little was heard as somebody unknown, until there is more."""
        if not self._heard.issuperset(self.speakers.ids):
            self._hear()
        known = np.array([speaker in self._heard for speaker in labels.speakers], bool)
        if known.all():
            return labels
        unknown = labels.active[:, ~known].any(axis=1)
        speakers = [speaker for speaker in labels.speakers if speaker in self._heard]
        return replace(labels, active=np.column_stack([labels.active[:, known], unknown]), speakers=(*speakers, None))

    def _hear(self) -> None:
        """From now on labels may name those with enough speech unlike others', and those whom the user named."""
        clean_s = dict.fromkeys(self.speakers.ids, 0.0)
        for segment in self.store.segments:
            if segment.speaker in clean_s:
                clean_s[segment.speaker] += segment.clean_frames * FRAME_S
        least_s = self.config.public_after_s(sum(clean_s.values()))
        certain = {id_ for id_, heard_s in clean_s.items() if heard_s >= least_s and id_ in self.speakers.certain}
        self._heard |= certain | ({link.speaker for link in self.links.links} & set(clean_s))
