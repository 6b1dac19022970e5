"""Audio on its way to the server: what it may still lack is kept, so that a lost connection loses no sample."""

from __future__ import annotations


class SendBuffer:
    """The bytes from the oldest that the server may lack to the newest, and how far they were sent.

    Positions count bytes from the start of the stream; the server counts whole samples of `frame_bytes` bytes.
    """

    def __init__(self, frame_bytes: int) -> None:
        self.frame_bytes = frame_bytes
        self.start = 0  # of what is kept
        self.sent = 0
        self._data = bytearray()

    @property
    def end(self) -> int:
        return self.start + len(self._data)

    @property
    def unsent(self) -> int:
        return self.end - self.sent

    def append(self, data: bytes | memoryview) -> None:
        """The newest audio, cut anywhere."""
        self._data += data

    def take(self, most: int) -> bytes:
        """The next piece to send, of up to `most` bytes; empty when all was sent."""
        first = self.sent - self.start
        piece = bytes(self._data[first : first + most])
        self.sent += len(piece)
        return piece

    def acknowledge(self, samples: int) -> None:
        """The server has this many samples: they are not kept any longer, unless they were never sent."""
        received = min(samples * self.frame_bytes, self.sent)
        if received > self.start:
            del self._data[: received - self.start]
            self.start = received

    def rewind(self, samples: int) -> bool:
        """The server has this many samples: sending goes on behind them. False where that is not possible.

        They are kept until they are acknowledged: a server that has them may still be lost.
        """
        position = samples * self.frame_bytes
        if not self.start <= position <= self.end:
            return False
        self.sent = position
        return True
