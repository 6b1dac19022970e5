"""What is kept of a voice: an embedding and the speech it stands for. NumPy only."""

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
    """One voice from several takes of it, each counting by its seconds; there must be one."""
    total = np.sum([profile.vector * np.float32(profile.clean_s) for profile in profiles], axis=0)
    return Profile(unit(total), sum(profile.clean_s for profile in profiles))
