"""What a client has to say to its server and has heard of it, over however many connections; it knows no socket."""

from __future__ import annotations

from dataclasses import replace

from turnstream.events import Final, Speaker
from turnstream.limits import SAMPLE_BYTES
from turnstream.protocol.messages import (
    Answer,
    Error,
    ServerMessage,
    Start,
    Started,
    Status,
    Stop,
    Unknown,
    encode,
)

from .connection import ClientError, LostError
from .inbox import Inbox
from .requests import Requests
from .send_buffer import SendBuffer

PIECE_BYTES = 2**15
ROUNDED_S = 0.1  # a status says what was received in seconds: believed up to here
RESUMABLE = ("too_slow", "timeout", "over_capacity")  # errors after which the session waits for us, if there is one


class Exchange:
    """Of one session. `hear` takes what comes; to be sent are, on every connection, `hello` and, once the server has
    `greeted`, what `next` gives whenever anything `is_due`.
    """

    def __init__(self, url: str, start: Start, buffer_bytes: int) -> None:
        self.started: Started | None = None
        self.final: Final | None = None
        self.buffer = SendBuffer(SAMPLE_BYTES[start.encoding] * start.channels)
        self.requests = Requests()
        self.inbox = Inbox()
        self.greeted = False
        self._url, self._start, self._buffer_bytes = url, start, max(buffer_bytes, PIECE_BYTES)
        self._speakers: set[str] = set()
        self._seq = 0
        self._stopping = self._stop_due = False

    @property
    def is_full(self) -> bool:
        """Whether one more piece would be more than is kept."""
        return self.buffer.end - self.buffer.start + PIECE_BYTES > self._buffer_bytes

    def add(self, audio: memoryview) -> None:
        """Audio to be sent. Raises ClientError where it has ended."""
        if self._stopping or self.final:
            raise ClientError("the audio has ended: open another session for more")
        self.buffer.append(audio)

    def stop(self) -> None:
        """The audio has ended."""
        self._stop_due |= not self._stopping
        self._stopping = True

    def check_speaker(self, speaker: str) -> None:
        """Raises ClientError for one who has not appeared."""
        if speaker not in self._speakers:
            known = ", ".join(sorted(self._speakers)) or "none, for nobody has appeared"
            raise ClientError(f"expected a speaker of this session ({known}), got {speaker}")

    def hello(self) -> Start:
        """A new session, or the one that goes on."""
        if self.started is None:
            return self._start
        return replace(self._start, session=self.started.session, seq=self._seq, position=None)

    def stop_again(self) -> None:
        """A new connection has not carried the end of the audio, where that was said."""
        self._stop_due = self._stopping

    @property
    def is_due(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.requests or self.buffer.unsent or self._stop_due)

    def next(self) -> str | bytes | None:
        """What is to be sent next; None where the next request has been answered meanwhile."""
        assert self.started is not None
        if self.requests:
            request = self.requests.take()
            return encode(request) if request else None
        if piece := self.buffer.take(min(PIECE_BYTES, self.started.limits.message_bytes)):
            return piece
        self._stop_due = False
        return encode(Stop())

    def hear(self, seq: int | None, message: ServerMessage) -> None:
        """Takes a message, unless it came before. Raises ClientError where it ends the session, LostError where it ends
        the connection only."""
        if seq is not None and seq <= self._seq:
            return
        self._seq = seq or self._seq
        match message:
            case Unknown():
                return
            case Error():
                kind = LostError if self.started and message.code in RESUMABLE else ClientError
                raise kind(f"the server ended the session: {message.message}")
            case Started():
                self._begin(message)
            case Status():
                received_s = max(message.received_s - ROUNDED_S, 0)
                self.buffer.acknowledge(int(received_s * self._start.sample_rate_hz))
            case Speaker():
                self._speakers.add(message.id)
                self.requests.named(message)
            case Answer():
                self.requests.answered(message)
                return
            case Final():
                self.final = message
        self.inbox.put(message)

    def _begin(self, started: Started) -> None:
        """The session is open, or goes on with the audio that the server does not have."""
        if not self.buffer.rewind(started.position):
            raise ClientError(f"{self._url} goes on from sample {started.position}, which is not kept any longer")
        self.started, self.greeted = started, True
        self.requests.begin(started.corrections)
