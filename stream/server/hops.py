"""Under pressure a server looks at its sessions' audio less often before it refuses anyone.

A longer hop costs a session promptness, up to the hop that its client allows, and never its final result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..windows import HOP_FRAMES, hop_at_most, hop_seconds

DEFAULT_HOP_S = hop_seconds(HOP_FRAMES)
FIXED_SHARE = 0.2  # of a session's cost at the default hop, whatever the hop: embeddings, the windows that are kept


@dataclass(frozen=True, slots=True)
class HopRange:
    """The hop that a client asks for and the longest that it allows, both possible ones; seconds."""

    asked_s: float
    most_s: float

    @classmethod
    def of(cls, asked_s: float, most_s: float) -> HopRange:
        """From what a client says. Raises TurnstreamError for what is out of range."""
        asked, most = (hop_seconds(hop_at_most(hop_s)) for hop_s in (asked_s, most_s))
        return cls(asked, max(asked, most))

    @property
    def least_load(self) -> float:
        """Of the session at its longest hop."""
        return load(self.most_s)


def load(hop_s: float) -> float:
    """What a session at this hop costs, in sessions at the default hop."""
    return FIXED_SHARE + (1 - FIXED_SHARE) * DEFAULT_HOP_S / hop_s


def least_load(ranges: Iterable[HopRange]) -> float:
    """What sessions cost when all of them are at their longest hops."""
    return sum(hops.least_load for hops in ranges)


def fitted(ranges: Sequence[HopRange], room: float) -> list[float]:
    """The hop of each session so that all of them cost `room` or less, as far as they allow it.

    ranges: oldest session first; the newest are lengthened first, so that it is not all that change when one comes.
    """
    hops_s = [hops.asked_s for hops in ranges]
    cost = sum(map(load, hops_s))
    for number in reversed(range(len(ranges))):
        if cost <= room:
            break
        cost -= load(hops_s[number]) - ranges[number].least_load
        hops_s[number] = ranges[number].most_s
    return hops_s
