"""A voice profile: an embedding and the amount of speech behind it. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .clustering import unit

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
