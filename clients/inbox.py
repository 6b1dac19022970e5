"""Events that wait to be read: whoever reads late finds the newest of each thing, and memory stays bounded."""

from __future__ import annotations

from collections import OrderedDict

from stream.protocol import Activity, Final, Revision, Speaker, Started, Status, Turn

Event = Started | Speaker | Turn | Revision | Activity | Status | Final


class Inbox:
    """A queue in which a turn replaces an older message about the same turn; so do status and activity."""

    def __init__(self) -> None:
        self._events: OrderedDict[tuple[str, int | str], Event] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """The newest event; it is read last."""
        self._count += 1
        key: tuple[str, int | str] = ("event", self._count)
        if isinstance(event, Turn):
            key = ("turn", event.id)
        elif isinstance(event, Status | Activity):
            key = ("newest", type(event).__name__)
        self._events.pop(key, None)
        self._events[key] = event

    def take(self) -> Event | None:
        """The oldest event; None where none waits."""
        return self._events.popitem(last=False)[1] if self._events else None
