"""All turns of a stream by id, found by place and counted by speaker at a cost that does not grow with the stream."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ..events import Turn

PLACE_FRAMES = 600  # about 10 s: most turns lie in one or two places


class TurnTable:
    """Every turn that was not retracted, as it now stands."""

    def __init__(self) -> None:
        self.by_id: dict[int, Turn] = {}
        self._by_place: defaultdict[int, set[int]] = defaultdict(set)
        self._held: Counter[int | None] = Counter()

    def put(self, turn: Turn) -> None:
        """Add a turn, or replace the one of its id."""
        before = self.by_id.get(turn.id)
        if before is not None:
            self._forget(before)
        self.by_id[turn.id] = turn
        self._held[turn.speaker] += 1
        for place in _places(turn.start_frame, turn.end_frame):
            self._by_place[place].add(turn.id)

    def remove(self, turn_id: int) -> None:
        """Take a turn out. KeyError for an unknown id."""
        self._forget(self.by_id.pop(turn_id))

    def near(self, spans: Iterable[tuple[int, int]]) -> list[Turn]:
        """Turns that may overlap any of these (start, end) frames, in order of id."""
        places = {place for start, end in spans for place in _places(start, end)}
        ids = {turn_id for place in places for turn_id in self._by_place.get(place, ())}
        return [self.by_id[turn_id] for turn_id in sorted(ids)]

    def holds(self, speaker: int | None) -> bool:
        """Whether any turn is this speaker's."""
        return self._held[speaker] > 0

    def _forget(self, turn: Turn) -> None:
        self._held[turn.speaker] -= 1
        for place in _places(turn.start_frame, turn.end_frame):
            self._by_place[place].discard(turn.id)


def heirs(before: Iterable[Turn], after: TurnTable) -> dict[int, int]:
    """Speakers of the turns `before` who have none `after`, and the speaker who then talks most at their places."""
    shared: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for turn in before:
        if turn.speaker is not None and not after.holds(turn.speaker):
            for other in after.near([(turn.start_frame, turn.end_frame)]):
                overlap = min(turn.end_frame, other.end_frame) - max(turn.start_frame, other.start_frame)
                if other.speaker is not None and overlap > 0:
                    shared[turn.speaker][other.speaker] += overlap
    return {old: frames.most_common(1)[0][0] for old, frames in shared.items()}


def _places(start_frame: int, end_frame: int) -> range:
    return range(start_frame // PLACE_FRAMES, end_frame // PLACE_FRAMES + 1)
