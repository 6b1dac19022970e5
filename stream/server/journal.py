"""The messages of a session for its client: numbered, in order, each thing as it now stands; again after a resume.

A message about the same thing takes the place of an older one that was not sent yet, so a client that reads slowly
makes nothing grow: it misses steps on the way (provisional ones above all), never where they led. Knows no socket.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ..events import Activity, Final, Revision, Speaker, Turn
from ..protocol.messages import Answer, ServerMessage, Started, Status

MAX_RETRACTED = 1024  # retractions kept for a resume; far more than can be on the way to a client
MAX_ANSWERS = 1024  # the same for answers, which a page counts again after it was reloaded
MAX_ACTIVITY = 50  # those that wait to be sent: 5 s


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, its number, when it was added, and whether its subject is new to the client."""

    seq: int
    message: ServerMessage
    added_s: float
    new: bool


class Journal:
    """Messages of one session; `add` what happened, `take` what to send next, `resume` after a lost connection."""

    def __init__(self) -> None:
        self._seq = 0
        self._pending: dict[Hashable, Entry] = {}
        self._sent: dict[Hashable, Entry] = {}
        self._retracted: dict[Hashable, None] = {}
        self._answers: dict[Hashable, None] = {}
        self._activities = 0
        self._retold = False  # the client may know of more than this journal does

    def copy(self) -> Journal:
        """As it is now, to be written down while this one goes on."""
        other = Journal()
        other._seq, other._activities, other._retold = self._seq, self._activities, self._retold
        other._pending, other._sent = self._pending.copy(), self._sent.copy()
        other._retracted, other._answers = self._retracted.copy(), self._answers.copy()
        return other

    def taken_over(self, seq: int) -> None:
        """It was written down some time ago, and the client heard more since, up to `seq`: that is told again."""
        self._seq, self._retold = max(self._seq, seq), True

    def add(self, message: ServerMessage, now_s: float) -> None:
        """One more message, in place of an older one about the same thing."""
        key = _subject(message, self._seq + 1)
        before = self._pending.pop(key, None)
        new = before.new if before else key not in self._sent
        if isinstance(message, Turn) and message.state == "retracted":
            if new and not self._retold:
                return  # it came and went unseen
            self._forget_oldest(self._retracted, key, MAX_RETRACTED)
        if isinstance(message, Answer):
            self._forget_oldest(self._answers, key, MAX_ANSWERS)
        if isinstance(message, Activity):
            self._forget_activity()
        self._seq += 1
        self._pending[key] = Entry(self._seq, message, now_s, new)

    def take(self) -> Entry | None:
        """The next message to send, if there is one; it counts as sent."""
        if not self._pending:
            return None
        key = next(iter(self._pending))
        entry = self._pending.pop(key)
        self._activities -= isinstance(entry.message, Activity)
        if not isinstance(entry.message, Started | Status | Activity):
            self._sent.pop(key, None)
            self._sent[key] = entry
        return entry

    def resume(self, started: Started, seq: int, now_s: float) -> None:
        """Begin again with `started`, then everything with a number above `seq`, under new numbers."""
        lost = [(key, entry) for key, entry in self._sent.items() if entry.seq > seq]
        waiting = [
            item for item in self._pending.items() if not isinstance(item[1].message, Started | Status | Activity)
        ]
        for key, _ in lost:
            del self._sent[key]
        self._pending.clear()
        self._activities = 0
        self.add(started, now_s)
        for key, entry in [*lost, *waiting]:
            self._seq += 1
            self._pending.pop(key, None)
            self._pending[key] = Entry(self._seq, entry.message, now_s, False)

    def __len__(self) -> int:
        return len(self._pending)

    def _forget_oldest(self, known: dict[Hashable, None], key: Hashable, most: int) -> None:
        """Adds a key to those of its kind, of which the oldest is forgotten where there are more than `most`."""
        known[key] = None
        if len(known) > most:
            oldest = next(iter(known))
            del known[oldest]
            self._sent.pop(oldest, None)
            self._pending.pop(oldest, None)

    def _forget_activity(self) -> None:
        self._activities += 1
        if self._activities > MAX_ACTIVITY:
            oldest = next(key for key, entry in self._pending.items() if isinstance(entry.message, Activity))
            del self._pending[oldest]
            self._activities -= 1


def _subject(message: ServerMessage, seq: int) -> Hashable:
    """What the message is about: a later one about the same replaces it."""
    match message:
        case Turn():
            return "turn", message.id
        case Speaker():
            return "speaker", message.id, message.state
        case Revision() | Activity():
            return "number", seq
        case Answer():
            return "answer", message.id or -seq
        case Started() | Status() | Final():
            return type(message).__name__
        case _:
            raise ValueError(f"expected a message of a session, got {type(message).__name__}")
