"""What a session has received and not processed: audio, cut anywhere by its sender, and requests in it; bounded."""

from __future__ import annotations

from collections import deque

from .worker import Item, cut, joined, samples_of

QUEUE_S = 2.0  # audio that waits here; more waits in the sender
QUEUE_BYTES = 4 << 20  # of it, where many channels make less than that
FEED_S = 0.5  # most audio given to the engine at once, so that its events are sent soon
GATHER_S = 0.1  # less audio than this is kept until there is more, unless a window is due


class AudioQueue:
    """Of one session. `samples`, per channel, are those that wait and those that were taken and are not done yet."""

    def __init__(self, rate_hz: int, frame_bytes: int):
        self.samples = 0
        self._rate_hz, self._frame_bytes = rate_hz, frame_bytes
        self._most_samples = min(QUEUE_S * rate_hz, QUEUE_BYTES / frame_bytes)
        self._items: deque[Item] = deque()
        self._partial = b""  # of a sample
        self._skip_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether its sender has to wait."""
        return self.samples > self._most_samples

    def start_anew(self, skip_samples: int = 0) -> None:
        """Another connection sends now: what was cut off is lost, and so much of what comes is here already."""
        self._partial, self._skip_bytes = b"", skip_samples * self._frame_bytes

    def whole(self, data: bytes) -> bytes:
        """The new samples that are complete with `data`; the rest is kept until there is more."""
        skipped = data[: self._skip_bytes]
        self._skip_bytes -= len(skipped)
        data = self._partial + data[len(skipped) :]
        size = len(data) - len(data) % self._frame_bytes
        self._partial = data[size:]
        return data[:size]

    @property
    def partial(self) -> bytes:
        """What was cut off, less than a sample."""
        return self._partial

    def add(self, item: Item) -> int:
        """The samples of one more item."""
        samples = samples_of(item, self._frame_bytes)
        self._items.append(item)
        self.samples += samples
        return samples

    def is_worth_a_thread(self, is_due: bool) -> bool:
        """Whether a window `is_due`, or there is much audio, or something that is no audio."""
        if any(not isinstance(item, bytes) for item in self._items):
            return True
        return bool(self._items) and (is_due or self.samples >= GATHER_S * self._rate_hz)

    def take(self) -> list[Item]:
        """Items for one call: audio up to about FEED_S, at least one item."""
        most = FEED_S * self._rate_hz
        taken: list[Item] = []
        while self._items and (not taken or most > 0):
            item = self._items.popleft()
            samples = samples_of(item, self._frame_bytes)
            if samples > most:
                item, rest = cut(item, max(1, int(most)), self._frame_bytes)
                self._items.appendleft(rest)
                samples = samples_of(item, self._frame_bytes)
            taken.append(item)
            most -= samples
        return joined(taken)

    def done(self, items: list[Item]) -> int:
        """The samples of items that were taken and are processed now."""
        samples = sum(samples_of(item, self._frame_bytes) for item in items)
        self.samples -= samples
        return samples
