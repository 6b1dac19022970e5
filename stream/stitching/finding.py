"""The speakers among the segments of a stream: clusters of them, and which clusters are people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .clustering import CosineTable, average_linkage, centroids, join_clusters, noise_gain, product
from .config import FRAME_S, StitcherConfig
from .links import Links
from .pair_votes import PairVotes
from .segments import Segment
from .splitting import Splitter

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
NOBODY: tuple[Sequence[int], Floats] = ((), np.zeros((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class FoundSpeakers:
    """Speakers found among segments: `clusters` (n,) of the `members`, and the K clusters `kept` as speakers.

    `centroids` (K, D) and `seconds` (K,) of speech are those of the kept clusters, and `certain` (K,) whether their
    voice is unlike all heavier ones. `linked`: the clusters of speakers of whom the user said what is theirs, by id.
    """

    members: list[Segment]
    weights: Floats
    clusters: Ints
    kept: list[int]
    centroids: Floats
    seconds: Floats
    certain: Bools
    linked: dict[int, int] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        """Speaker ids, from 1, in the order of `centroids`."""
        return list(range(1, len(self.kept) + 1))

    @property
    def speakers(self) -> list[int | None]:
        """The speaker of each member; None where its cluster is not a speaker."""
        number = dict(zip(self.kept, self.ids, strict=True))
        return [number.get(cluster) for cluster in self.clusters.tolist()]


def find_speakers(
    segments: list[Segment],
    config: StitcherConfig,
    table: CosineTable,
    splitter: Splitter,
    pair_votes: PairVotes,
    waiting: Collection[int] = (),
    new_from_frame: float = np.inf,
    links: Links | None = None,
    known: tuple[Sequence[int], Floats] = NOBODY,
) -> FoundSpeakers:
    """Cluster the segments that are long enough: average linkage, then joins by cluster means, then splits.

    `find_people` says which clusters are speakers; those with a segment in `waiting` are. A cluster is new if one of
    its segments ends after `new_from_frame`, infinite at the end of the stream. What `links` say is then applied;
    `known` are the ids they mean, with the centroids that these speakers had.
    """
    segments = links.joined(segments) if links else segments
    members = [s for s in segments if s.shapes_clusters(config)]
    parts = [s.vector for s in members if s.vector is not None]
    weights = np.array([s.clean_frames * FRAME_S for s in members], np.float32)
    if not members:
        none = np.zeros(0, bool)
        return FoundSpeakers([], weights, np.zeros(0, np.int64), [], np.zeros((0, 0), np.float32), weights, none)
    vectors = np.stack(parts)
    cosines = table.among(parts)
    clusters = average_linkage(cosines, weights, config.cluster_distance)
    clusters = join_clusters(vectors, weights, clusters, config.join_cosine, config.join_noise_s)
    together, apart = pair_votes.among(members)
    clusters = splitter.split(cosines, weights, clusters, together, apart)
    clusters, linked = links.bind(members, vectors, weights, clusters, known) if links else (clusters, {})
    mass = np.bincount(clusters, weights).astype(np.float32)
    means = centroids(vectors, weights, clusters)
    held, new = np.zeros(len(mass), bool), np.zeros(len(mass), bool)
    for segment, cluster in zip(members, clusters.tolist(), strict=True):
        held[cluster] |= id(segment) in waiting
        new[cluster] |= segment.end > new_from_frame
    held[list(linked.values())] = True
    people, certain = find_people(means, mass, held, new, config)
    kept = _heaviest(people, mass, config, at_end=new_from_frame == np.inf)
    return FoundSpeakers(members, weights, clusters, kept.tolist(), means[kept], mass[kept], certain[kept], linked)


def find_people(means: Floats, mass: Floats, held: Bools, new: Bools, config: StitcherConfig) -> tuple[Bools, Bools]:
    """Which clusters are people, and which are unlike all heavier people; `held` clusters are people in any case.

    A light cluster is most often a mixture of others, or odd moments of one voice: the less of all speech it has, the
    more unlike the others it has to be. With hardly any speech only `new` ones count, who have just begun to talk.

    Shapes:
        means: (K, D) unit norm; mass: (K,) seconds; held, new: (K,); returns: (K,) bool, (K,) bool
    """
    total = float(mass.sum())
    least_s = min(config.cluster_keep_max_s, max(config.cluster_keep_min_s, config.cluster_keep_share * total))
    bars = stranger_bar(mass, total, config)
    begun = np.where(new & (mass >= config.cluster_keep_min_s), config.stranger_cosine, -np.inf)
    needed = np.where(mass >= least_s, bars, begun)
    nearest = np.full(len(mass), -np.inf)
    people = held.copy()
    voices = means * noise_gain(mass, config.join_noise_s)[:, None]
    cosines = product(voices, voices.T)
    order = np.argsort(-mass, kind="stable")
    people[order[0]] = True
    for place, cluster in enumerate(order[1:], start=1):
        heavier = order[:place]
        nearest[cluster] = cosines[cluster, heavier[people[heavier]]].max()
        people[cluster] |= nearest[cluster] < needed[cluster]
    return people, nearest < bars


def stranger_bar(seconds: Any, speech_s: float, config: StitcherConfig) -> Any:
    """The noise-corrected cosine to all others below which `seconds` of a voice, of `speech_s` in all, are a person."""
    light_s = config.cluster_light_share * speech_s
    return config.stranger_cosine + config.stranger_heavy_cosine * np.log(np.maximum(1.0, seconds / light_s))


def _heaviest(people: Bools, mass: Floats, config: StitcherConfig, at_end: bool) -> Ints:
    """Numbers of the clusters that are speakers, in order: the heaviest people, as many as the user allows.

    Before the end, people who have not talked yet are not missing.
    """
    order = np.lexsort((-mass, ~people))
    count = min(int(people.sum()), config.max_speakers)
    return np.sort(order[: max(count, config.min_speakers) if at_end else count])
