"""Events that wait to be read: all of them, until so many wait that only the newest of each thing is kept."""

from __future__ import annotations

from turnstream.events import Activity, Final, Revision, Speaker, Turn
from turnstream.protocol.messages import Started, Status

Event = Started | Speaker | Turn | Revision | Activity | Status | Final

MANY = 2000


class Inbox:
    """A queue. While `many` wait, a turn replaces the older message about the same turn; so do status and activity."""

    def __init__(self, many: int = MANY) -> None:
        self._many = many
        self._events: dict[int, Event] = {}  # by number, oldest first
        self._newest: dict[str, int] = {}  # what a message is about -> number of the last one
        self._count = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """The newest event; it is read last."""
        self._count += 1
        if about := _about(event):
            if len(self._events) >= self._many:
                self._events.pop(self._newest.get(about, 0), None)
            self._newest[about] = self._count
        self._events[self._count] = event

    def take(self) -> Event | None:
        """The oldest event; None where none waits."""
        number = next(iter(self._events), None)
        return None if number is None else self._events.pop(number)


def _about(event: Event) -> str | None:
    """What a message replaces the older one of; None where each counts."""
    if isinstance(event, Turn):
        return event.id
    return type(event).__name__ if isinstance(event, Status | Activity) else None
