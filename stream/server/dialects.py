"""What is spoken on a path: this project's protocol, or that of another service for the clients written for it.

A dialect turns frames into what a session takes and messages into the texts that its clients know.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..events import Final, Revision, Turn
from ..protocol.messages import Error, Request, ServerMessage, Start, Stop, client_object, decode_client, encode
from ..rttm import RttmSegment, format_rttm
from ..wire import ProtocolError

Heard = bytes | Start | Stop | Request | None
FLOAT_16KHZ = Start(encoding="pcm_f32le")


class Dialect(Protocol):
    """One connection's way to speak."""

    start: Start | None  # the configuration, where the client cannot choose one

    def hear(self, frame: str | bytes) -> Heard:
        """What the client said; None is to be ignored. Raises ProtocolError."""

    def say(self, message: ServerMessage, seq: int | None) -> list[str]:
        """The text frames that say it; none where the client's protocol has none for it."""


class Native:
    """docs/protocol.md."""

    start: Start | None = None

    def hear(self, frame: str | bytes) -> Heard:
        """See `Dialect`."""
        if isinstance(frame, bytes):
            return frame or Stop()
        message = decode_client(frame)
        return message if isinstance(message, Start | Stop | Request) else None

    def say(self, message: ServerMessage, seq: int | None) -> list[str]:
        """See `Dialect`."""
        return [encode(message, seq)]


class Pyannote:
    """The event shape of pyannoteAI's live API: who starts and who stops to talk, once it is committed."""

    start: Start | None = FLOAT_16KHZ

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}  # those not sent to their end yet, as they stand
        self._talking: dict[str, str] = {}  # turn -> the speaker sent

    def hear(self, frame: str | bytes) -> Heard:
        """See `Dialect`."""
        if isinstance(frame, bytes):
            return frame
        return Stop() if client_object(frame).get("type") == "end_of_stream" else None

    def say(self, message: ServerMessage, seq: int | None) -> list[str]:
        """See `Dialect`."""
        match message:
            case Turn(state="retracted"):
                self._turns.pop(message.id, None)
                return []
            case Turn():
                self._turns[message.id] = message
                return self._advance(message, message.committed_s)
            case Revision():
                return [text for number in message.turns for text in self._change(number, message.new)]
            case Final():
                return [text for turn in list(self._turns.values()) for text in self._finish(turn)]
            case _:
                return []

    def _advance(self, turn: Turn, committed_s: float) -> list[str]:
        texts = []
        if turn.id not in self._talking and turn.speaker is not None and committed_s > turn.start_s:
            self._talking[turn.id] = turn.speaker
            texts.append(_event("start", turn.start_s, turn.speaker))
        if turn.state == "committed":
            texts += self._stop(turn)
            del self._turns[turn.id]
        return texts

    def _change(self, number: str, speaker: str | None) -> list[str]:
        turn = self._turns.get(number)
        if turn is None or speaker is None:
            return []
        self._turns[number] = turn = replace(turn, speaker=speaker)
        texts = []
        if before := self._talking.get(number):
            self._talking[number] = speaker
            texts.append(_event("end", turn.committed_s, before))
        else:
            self._talking[number] = speaker
        return [*texts, _event("start", turn.committed_s if texts else turn.start_s, speaker)]

    def _finish(self, turn: Turn) -> list[str]:
        return self._advance(replace(turn, state="committed"), turn.end_s)

    def _stop(self, turn: Turn) -> list[str]:
        speaker = self._talking.pop(turn.id, None)
        return [] if speaker is None else [_event("end", turn.end_s, speaker)]


class Diart:
    """diart's client: base64 of float32 comes in, RTTM lines go out, one for each stretch when it is committed."""

    start: Start | None = FLOAT_16KHZ

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}  # those not sent to their end yet, as they stand
        self._sent_s: dict[str, float] = {}

    def hear(self, frame: str | bytes) -> Heard:
        """See `Dialect`."""
        try:
            return base64.b64decode(frame, validate=True) or None
        except (binascii.Error, ValueError):
            raise ProtocolError("base64 text of float32 samples", frame) from None

    def say(self, message: ServerMessage, seq: int | None) -> list[str]:
        """See `Dialect`."""
        match message:
            case Turn(state="retracted"):
                self._turns.pop(message.id, None)
            case Turn():
                self._turns[message.id] = message
                return self._lines(message, message.committed_s)
            case Revision():
                for turn in [self._turns[number] for number in message.turns if number in self._turns]:
                    self._turns[turn.id] = replace(turn, speaker=message.new)
            case Final():
                return [text for turn in list(self._turns.values()) for text in self._lines(turn, turn.end_s)]
            case _:
                pass
        return []

    def _lines(self, turn: Turn, until_s: float) -> list[str]:
        start_s = self._sent_s.get(turn.id, turn.start_s)
        self._sent_s[turn.id] = until_s
        if turn.state == "committed":
            del self._turns[turn.id], self._sent_s[turn.id]
        if turn.speaker is None:
            return []
        line = format_rttm("stream", [RttmSegment(start_s, until_s, f"speaker{_number(turn.speaker)}")])
        return [line] if line else []


def _event(kind: str, at_s: float, speaker: str) -> str:
    data = {"timestamp": at_s, "speaker": f"SPEAKER_{_number(speaker):02d}"}
    return json.dumps({"type": f"diarization_speaker_{kind}", "data": data}, separators=(",", ":"))


def _number(speaker: str) -> int:
    """Counted from 0, as other systems do."""
    return int(speaker[1:]) - 1


def dialect_of(name: str) -> Dialect:
    """The dialect by the name that ServerConfig.root has for it."""
    kinds: dict[str, Callable[[], Dialect]] = {"turnstream": Native, "pyannote": Pyannote, "diart": Diart}
    return kinds[name]()


def error_reason(error: Error) -> str:
    """The sentence as the reason of a close frame, which holds 123 bytes."""
    return error.message.encode()[:120].decode(errors="ignore")
