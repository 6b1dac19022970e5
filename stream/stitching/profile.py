"""A voice profile: an embedding and the amount of speech behind it. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .clustering import unit
from .config import FRAME_S
from .segments import Segment

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A voice: `vector` (D,) float32 of unit norm is the mean embedding of `clean_s` seconds of one person's speech."""

    vector: Floats
    clean_s: float


def mean_profile(profiles: Sequence[Profile]) -> Profile:
    """One profile from several of the same voice, weighted by seconds of speech; at least one is required."""
    total = np.sum([profile.vector * np.float32(profile.clean_s) for profile in profiles], axis=0)
    return Profile(unit(total), sum(profile.clean_s for profile in profiles))


def profiles(ids: Sequence[int], vectors: Floats, members: Iterable[tuple[int | None, Segment]]) -> dict[int, Profile]:
    """The voices of the speakers `ids` with centroids `vectors` (K, D), each with the speech of the segments it has."""
    own: dict[int | None, list[Segment]] = {}
    for speaker, segment in members:
        own.setdefault(speaker, []).append(segment)
    voices = zip(ids, vectors, strict=True)
    return {id: Profile(vector, _clean_frames(own[id]) * FRAME_S) for id, vector in voices if id in own}


def _clean_frames(segments: Sequence[Segment]) -> int:
    """Clean frames of one speaker's segments; a frame covered by several segments counts once."""
    covered, reach = 0, 0
    plain = [s for s in segments if s.parts == 1]
    for start, end in sorted((s.start, s.end) for s in plain):
        covered += max(0, end - max(start, reach))
        reach = max(reach, end)
    clean = min(covered, sum(s.clean_frames for s in plain))
    return clean + sum(s.clean_frames for s in segments if s.parts > 1)
