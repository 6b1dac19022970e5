"""All turns of a stream by id, found by time and counted by speaker at a cost that does not grow with the stream."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from .records import TurnRecord

BUCKET_FRAMES = 600  # about 10 s: most turns lie in one or two buckets


class TurnTable:
    """Every turn that was not retracted, as it now stands."""

    def __init__(self) -> None:
        self.by_id: dict[int, TurnRecord] = {}
        self._by_bucket: defaultdict[int, set[int]] = defaultdict(set)
        self._held: Counter[int | None] = Counter()

    def put(self, turn: TurnRecord) -> None:
        """Add a turn, or replace the one of its id."""
        before = self.by_id.get(turn.id)
        if before is not None:
            self._forget(before)
        self.by_id[turn.id] = turn
        self._held[turn.speaker] += 1
        for bucket in _buckets(turn.start_frame, turn.end_frame):
            self._by_bucket[bucket].add(turn.id)

    def remove(self, turn_id: int) -> None:
        """Take a turn out. KeyError for an unknown id."""
        self._forget(self.by_id.pop(turn_id))

    def overlapping(self, spans: Iterable[tuple[int, int]]) -> list[TurnRecord]:
        """Turns that may overlap any of these (start, end) frames, in order of id."""
        buckets = {bucket for start, end in spans for bucket in _buckets(start, end)}
        ids = {turn_id for bucket in buckets for turn_id in self._by_bucket.get(bucket, ())}
        return [self.by_id[turn_id] for turn_id in sorted(ids)]

    def holds(self, speaker: int | None) -> bool:
        """Whether any turn is this speaker's."""
        return self._held[speaker] > 0

    def _forget(self, turn: TurnRecord) -> None:
        self._held[turn.speaker] -= 1
        for bucket in _buckets(turn.start_frame, turn.end_frame):
            self._by_bucket[bucket].discard(turn.id)


def successors(before: Iterable[TurnRecord], after: TurnTable) -> dict[int, int]:
    """Speakers of the turns `before` who have none `after`, and the speaker who then talks most at those times."""
    shared: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for turn in before:
        if turn.speaker is not None and not after.holds(turn.speaker):
            for other in after.overlapping([(turn.start_frame, turn.end_frame)]):
                overlap = min(turn.end_frame, other.end_frame) - max(turn.start_frame, other.start_frame)
                if other.speaker is not None and overlap > 0:
                    shared[turn.speaker][other.speaker] += overlap
    return {old: frames.most_common(1)[0][0] for old, frames in shared.items()}


def _buckets(start_frame: int, end_frame: int) -> range:
    return range(start_frame // BUCKET_FRAMES, end_frame // BUCKET_FRAMES + 1)
