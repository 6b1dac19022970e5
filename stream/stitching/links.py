"""What the user said about who talks, as clusterings have to honor it: must-links and cannot-links. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .clustering import centroids, product, unit
from .config import StitcherConfig
from .linear_assignment import best_pairs
from .segments import Segment, Span

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
FOLLOW_ROUNDS = 3  # of moving free segments to the nearer mean
MOST_SHARED = 0.5  # of a segment may be others' speech, for it to count as the linked speaker's


@dataclass(eq=False, slots=True)
class Link:
    """The speech from `start_frame` to `end_frame` is `speaker`'s and not `old`'s, ids of the live stitcher.

    `others`: when somebody else was said to talk meanwhile. `is_new`: nobody was known to be this speaker before.
    """

    start_frame: int
    end_frame: int
    others: tuple[Span, ...]
    speaker: int
    old: int | None
    is_new: bool = False

    def holds(self, segment: Segment) -> bool:
        """Whether most of the segment is the linked speech."""
        length = segment.end - segment.start
        inside = min(segment.end, self.end_frame) - max(segment.start, self.start_frame)
        shared = sum(max(0, min(segment.end, end) - max(segment.start, start)) for start, end in self.others)
        return segment.parts == 1 and inside > length / 2 and shared <= MOST_SHARED * length


@dataclass(eq=False, slots=True)
class Together:
    """The speakers `ids` of the live stitcher are one person, and so is whoever splits off their speech so far."""

    before_frame: int
    ids: set[int]


@dataclass(slots=True)
class Links:
    """The links of one stitcher, each with its segments, which it keeps where they are condensed into others."""

    links: list[Link] = field(default_factory=list)
    held: list[list[Segment]] = field(default_factory=list)
    merges: list[Together] = field(default_factory=list)
    changed: bool = False  # since the last clustering

    def __bool__(self) -> bool:
        return bool(self.links)

    def relaxed(self, config: StitcherConfig) -> StitcherConfig:
        """The constants for as many speakers more as are found twice, or were found by the user alone."""
        twice, new = len(self.merges), sum(link.is_new for link in self.links)
        if not twice and not new:
            return config
        return replace(config, min_speakers=config.min_speakers + twice, max_speakers=config.max_speakers + twice + new)

    def add(self, link: Link, segments: Sequence[Segment]) -> None:
        """One more link; it overrules earlier ones about the same segments."""
        self.links.append(link)
        self.held.append([])
        self.changed = True
        self.gather(segments)

    def remove(self, link: Link, segments: Sequence[Segment]) -> None:
        """The link is taken back; nobody was ever its speaker where that one was new."""
        place = self.links.index(link)
        del self.links[place], self.held[place]
        self.changed = True
        for segment in segments if link.is_new else ():
            segment.votes.pop(link.speaker, None)

    def gather(self, segments: Sequence[Segment]) -> None:
        """Note which segments the links are about, before they are condensed."""
        for link, held in zip(self.links, self.held, strict=True):
            known = set(map(id, held))
            held += [segment for segment in segments if id(segment) not in known and link.holds(segment)]

    def joined(self, segments: list[Segment]) -> list[Segment]:
        """These segments, and those with links that are not among them any more."""
        if not self.links:
            return segments
        self.gather(segments)
        known = set(map(id, segments))
        kept = {id(s): s for held in self.held for s in held if id(s) not in known}
        return [*segments, *kept.values()]

    def descendant(self, id_: int, members: Sequence[Segment], weights: Floats) -> None:
        """A new speaker: the same person as those of whose speech up to their merge most of it was."""
        for merge in self.merges:
            theirs = [max(s.votes, key=s.votes.__getitem__) in merge.ids if s.votes else False for s in members]
            old = np.array([mine and s.end <= merge.before_frame for mine, s in zip(theirs, members, strict=True)])
            if float(weights[old].sum()) > float(weights.sum()) / 2:
                merge.ids.add(id_)

    def bind(
        self,
        members: Sequence[Segment],
        vectors: Floats,
        weights: Floats,
        clusters: Ints,
        known: tuple[Sequence[int], Floats],
    ) -> tuple[Ints, dict[int, int]]:
        """Clusters that honor every link, and the clusters of the linked speakers by their ids.

        Linked segments are in the cluster of their speaker; free ones follow them from where they were taken if they
        are nearer to that speaker's mean.

        Shapes: vectors (n, D), weights and clusters (n,); known: K ids and the centroids (K, D) they had
        """
        bound, pairs = self._bound(members)
        clusters = clusters.copy()
        owners = _owners(centroids(vectors, weights, clusters), known)
        for speaker, old in pairs:
            mine, fresh = bound == speaker, max([int(clusters.max()), *owners.values()]) + 1
            sources = {int(cluster) for cluster in clusters[mine]}
            if speaker not in owners:
                owners[speaker] = fresh
            elif old is not None and old in known[0] and old not in owners:  # both in one cluster
                owners[old] = fresh
                free = (clusters == owners[speaker]) & (bound != speaker)
                mean = unit((vectors * weights[:, None])[mine].sum(axis=0))
                seeds = [known[1][list(known[0]).index(n)] if n in known[0] else mean for n in (old, speaker)]
                nearer = product(vectors, np.stack(seeds).T)
                clusters[free & (nearer[:, 0] > nearer[:, 1])] = fresh
            clusters[mine] = target = owners[speaker]
            for source in sorted({*sources, owners.get(old or 0, target)} - {target}):
                _follow(vectors, weights, clusters, source, target, bound == 0)
        numbers, renamed = np.unique(clusters, return_inverse=True)
        place = {int(number): n for n, number in enumerate(numbers)}
        linked = {speaker for speaker, _ in pairs}
        return renamed.astype(np.int64), {s: place[c] for s, c in owners.items() if s in linked and c in place}

    def _bound(self, members: Sequence[Segment]) -> tuple[Ints, list[tuple[int, int | None]]]:
        """The linked speaker of each member, 0 for none, and the pairs (speaker, old) of links that have members."""
        place = {id(segment): n for n, segment in enumerate(members)}
        bound = np.zeros(len(members), np.int64)
        for link, held in zip(self.links, self.held, strict=True):
            bound[[place[id(segment)] for segment in held if id(segment) in place]] = link.speaker
        pairs = {(link.speaker, link.old if link.old != link.speaker else None): None for link in self.links}
        return bound, [pair for pair in pairs if (bound == pair[0]).any()]


def _owners(means: Floats, known: tuple[Sequence[int], Floats]) -> dict[int, int]:
    """The clusters of the speakers known before, one to one, by their means."""
    ids, vectors = known
    if not ids:
        return {}
    return {ids[column]: row for row, column in best_pairs(product(means, vectors.T))}


def _follow(vectors: Floats, weights: Floats, clusters: Ints, source: int, target: int, free: Bools) -> None:
    """Move free segments of the source to the target while they are nearer to its mean."""
    for _ in range(FOLLOW_ROUNDS):
        own, other = (unit((vectors * weights[:, None])[clusters == number].sum(axis=0)) for number in (source, target))
        nearer = (clusters == source) & free & (product(vectors, other) > product(vectors, own))
        if not nearer.any():
            return
        clusters[nearer] = target
