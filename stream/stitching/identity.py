"""The speakers of a stream: global clusters with stable ids, and new speakers opened before a clustering finds them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .clustering import CosineTable, name_clusters, noise_gain, product
from .config import StitcherConfig, frames
from .finding import FoundSpeakers, find_speakers, stranger_bar
from .links import Links
from .pair_votes import PairVotes
from .segments import Segment
from .splitting import Splitter

Floats = NDArray[np.float32]


@dataclass(slots=True)
class Tentative:
    """A speaker that no clustering has confirmed yet."""

    id: int
    vector: Floats
    seconds: float
    segments: list[Segment]
    heard_frame: int


def _names(found: FoundSpeakers) -> dict[int, int]:
    """The ids of the clusters that votes or links give one."""
    linked = {cluster: id_ for id_, cluster in found.linked.items() if cluster in found.kept}
    free = [cluster for cluster in found.kept if cluster not in linked]
    votes = [{id_: times for id_, times in s.votes.items() if id_ not in found.linked} for s in found.members]
    return {**name_clusters(votes, found.weights, found.clusters, free), **linked}


class Speakers:
    """Ids and centroids of the current speakers; ids count up and are never reused.

    Shapes:
        ids: K of them; vectors: (K, D) float32, unit norm

    `certain` are those whose voice the last clustering found unlike all heavier ones.
    """

    def __init__(self, config: StitcherConfig, links: Links | None = None):
        self._given_config = config
        self._links = Links() if links is None else links
        self._next_id = 1
        self._confirmed: list[int] = []
        self._tentative: list[Tentative] = []
        self._table = CosineTable()
        self._splitter = Splitter(config)
        self._centroids: Floats = np.zeros((0, 0), np.float32)
        self._seconds: Floats = np.zeros(0, np.float32)
        self.certain: set[int] = set()
        self.ids: list[int] = []
        self.vectors: Floats = self._centroids

    def cluster(self, segments: list[Segment], pair_votes: PairVotes, horizon_frame: int) -> None:
        """Cluster all segments that are long enough, name the clusters, and confirm or absorb tentative speakers.

        Afterwards every embedded segment has the speaker of its cluster, or the nearest one if its cluster has none.
        """
        config, waiting = self._config, self._waiting(horizon_frame)
        new_from_frame = horizon_frame - frames(config.new_patience_s)
        links, known = self._links, (self.ids, self.vectors)
        found = find_speakers(
            segments, config, self._table, self._splitter, pair_votes, waiting, new_from_frame, links, known
        )
        if not found.members:
            return
        names = _names(found)
        for cluster in found.kept:
            if cluster not in names:
                names[cluster] = self._new_id(names.values())
                inside = np.flatnonzero(found.clusters == cluster)
                links.descendant(names[cluster], [found.members[n] for n in inside], found.weights[inside])
        links.changed = False
        self._confirmed = [names[cluster] for cluster in found.kept]
        self.certain = {id_ for id_, certain in zip(self._confirmed, found.certain, strict=True) if certain}
        self._centroids, self._seconds = found.centroids, found.seconds
        settled = set()
        for segment, cluster in zip(found.members, found.clusters.tolist(), strict=True):
            if cluster in names:
                settled.add(id(segment))
                name = segment.speaker = names[cluster]
                segment.votes[name] = segment.votes.get(name, 0) + 1
        self._settle_tentative(settled, horizon_frame)
        self._collect()
        self._assign_nearest([s for s in segments if s.vector is not None and id(s) not in settled])

    def open(self, vector: Floats, clean_s: float, segments: list[Segment], horizon_frame: int) -> int:
        """The id of a new tentative speaker; a dropped speaker that these segments once belonged to is reopened."""
        votes: dict[int, float] = {}
        for segment in segments:
            for name, times in segment.votes.items():
                if name not in self.ids:
                    votes[name] = votes.get(name, 0.0) + times * segment.clean_frames
        name = max(votes, key=lambda n: (votes[n], -n)) if votes else self._new_id(self.ids)
        for segment in segments:
            segment.votes[name] = segment.votes.get(name, 0) + 1
        self._tentative.append(Tentative(name, vector, clean_s, segments, horizon_frame))
        self._collect()
        return name

    def is_new(self, vector: Floats, clean_s: float) -> bool:
        """Whether an embedding of `clean_s` seconds is too far from every current speaker to be one of them.

        Never when there are as many speakers as the user allows.
        """
        if not self.ids or len(self.ids) >= self._config.max_speakers:
            return not self.ids
        seconds = np.array([*self._seconds, *(t.seconds for t in self._tentative)], np.float32)
        gains = noise_gain(seconds, self._config.join_noise_s) * noise_gain(clean_s, self._config.join_noise_s)
        bar = min(self._config.join_cosine, float(stranger_bar(clean_s, float(seconds.sum()), self._config)))
        return float((product(self.vectors, vector) * gains).max()) < bar

    def reserve(self) -> int:
        """An id for somebody whom only the user knows so far."""
        self._next_id += 1
        return self._next_id - 1

    @property
    def _config(self) -> StitcherConfig:
        return self._links.relaxed(self._given_config)

    def _new_id(self, taken: Collection[int]) -> int:
        """The next id; where the user knows how many people there are, one of those few that is free."""
        if self._next_id > self._config.max_speakers:
            return next(n for n in range(1, self._next_id) if n not in taken)
        self._next_id += 1
        return self._next_id - 1

    def _waiting(self, horizon_frame: int) -> set[int]:
        """Python ids of the segments whose speakers wait to be confirmed."""
        newest = horizon_frame - frames(self._config.new_patience_s)
        return {id(s) for t in self._tentative for s in t.segments if s.end > newest}

    def _settle_tentative(self, settled: set[int], horizon_frame: int) -> None:
        """Drop tentative speakers that are confirmed, have a clustered segment, or have waited too long."""
        oldest = horizon_frame - frames(self._config.new_patience_s)
        self._tentative = [
            t
            for t in self._tentative
            if t.heard_frame > oldest and t.id not in self._confirmed and not any(id(s) in settled for s in t.segments)
        ]

    def _collect(self) -> None:
        self.ids = [*self._confirmed, *(t.id for t in self._tentative)]
        parts = [self._centroids] if len(self._centroids) else []
        self.vectors = np.concatenate([*parts, *(t.vector[None] for t in self._tentative)])

    def _assign_nearest(self, segments: list[Segment]) -> None:
        """Give segments outside every speaker's cluster to the nearest speaker."""
        if segments:
            vectors = np.stack([s.vector for s in segments if s.vector is not None])
            nearest = product(vectors, self.vectors.T).argmax(axis=1)
            for segment, column in zip(segments, nearest.tolist(), strict=True):
                segment.speaker = self.ids[column]
