"""The messages of the websocket protocol, without a socket: the events, what opens and ends a session, and JSON.

docs/protocol.md is the page for people who write clients. Times are seconds from the start of the stream, turns are
named `T3`, speakers `S1`. What a client sends is checked strictly (an unknown field is an error); a client leaves out
fields of the server that it does not know. Either side ignores unknown message types (`Unknown`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl

from ..events import SECONDS, SPEAKER_ID, TURN_ID, Activity, Final, Revision, Speaker, Turn, message_fields
from ..limits import (
    MAX_CHANNELS,
    MAX_HOP_S,
    MAX_LATENCY_S,
    MAX_RATE_HZ,
    MAX_SPEAKERS,
    MIN_HOP_S,
    MIN_LATENCY_S,
    MIN_RATE_HZ,
    NAME_LETTERS,
    SAMPLE_BYTES,
    Encoding,
    RefusalCode,
)
from ..wire import (
    ProtocolError,
    build,
    fields_of,
    flag,
    many,
    name_text,
    nested,
    number,
    one_of,
    optional,
    parse_object,
    text,
    whole,
    wire,
    wire_name,
)

VERSION = 1
SUBPROTOCOL = "turnstream.v1"
TOKEN_SUBPROTOCOL = "token."  # and the token, as another subprotocol the client offers
STOP_TYPES = ("stop", "terminate", "endofstream", "closestream")  # in any case, with or without underscores
MAX_KNOWN_SPEAKERS = 100
FIRST_HOP_S = 0.506  # of servers that do not say it
MAX_CLIENT_LETTERS = 1 << 16  # of JSON; a `start` with so many long names fits

SESSION_ID = text(64, r"[A-Za-z0-9_-]+", "a session id")
PLAIN = text(1000)
PEOPLE = whole(1, MAX_SPEAKERS)
SPEAKER_OR_NEW = text(20, r"S[1-9]\d*|new", "a speaker such as S1, or new,")
RequestType = Literal["name", "merge", "assign", "undo"]


class CloseCode(IntEnum):
    """Why the server closed the connection."""

    DONE = 1000
    SHUTDOWN = 1001
    RESTART = 1012
    MALFORMED = 4400
    UNAUTHORIZED = 4401
    UNKNOWN_SESSION = 4404
    UNKNOWN_VERSION = 4406
    TIMEOUT = 4408
    REPLACED = 4409
    SESSION_TOO_LONG = 4410
    TOO_SLOW = 4425
    TOO_MANY_SESSIONS = 4429
    INTERNAL = 4500
    OVER_CAPACITY = 4503


@dataclass(frozen=True, slots=True)
class Start:
    """How the audio will come and what is wanted, or which session goes on. Everything is optional.

    hop_s: audio between two looks at it; max_hop_s: the longest it may become while the server is busy, if longer
    min_speakers, max_speakers: how many people there are, as far as that is known; equal where it is known exactly
    position: first sample (per channel, at sample_rate) of the audio that follows, where a session goes on
    seq: number of the last message the client has, where a session goes on
    """

    version: int = wire(whole(0), default=VERSION)
    encoding: Encoding = wire(one_of(*SAMPLE_BYTES), default="pcm_s16le")
    sample_rate_hz: int = wire(whole(MIN_RATE_HZ, MAX_RATE_HZ), name="sample_rate", default=16_000)
    channels: int = wire(whole(1, MAX_CHANNELS), default=1)
    latency_s: float = wire(number(MIN_LATENCY_S, MAX_LATENCY_S), name="latency", default=1.0)
    hop_s: float = wire(number(MIN_HOP_S, MAX_HOP_S), name="hop", default=0.5)
    max_hop_s: float = wire(number(MIN_HOP_S, MAX_HOP_S), name="max_hop", default=1.0)
    provisional: bool = wire(flag, default=True)
    activity: bool = wire(flag, default=False)
    speakers: tuple[str, ...] = wire(many(name_text(NAME_LETTERS), MAX_KNOWN_SPEAKERS), default=())
    min_speakers: int | None = wire(optional(PEOPLE), default=None)
    max_speakers: int | None = wire(optional(PEOPLE), default=None)
    session: str | None = wire(optional(SESSION_ID), default=None)
    seq: int = wire(whole(0), default=0)
    position: int | None = wire(optional(whole(0)), default=None)
    token: str | None = wire(optional(text(200)), default=None)

    def __post_init__(self) -> None:
        if self.min_speakers is not None and self.max_speakers is not None and self.min_speakers > self.max_speakers:
            raise ProtocolError(f"max_speakers of at least {self.min_speakers}", self.max_speakers, "start")


@dataclass(frozen=True, slots=True)
class Stop:
    """The audio has ended; an empty binary frame says the same."""


@dataclass(frozen=True, slots=True)
class Name:
    """The user says who a speaker is; null takes the name away. `take`: even from another speaker.

    id: of the request, as in each of them: rising numbers; one that is not higher than the last is a repetition
    """

    speaker: str = wire(SPEAKER_ID)
    name: str | None = wire(optional(name_text(NAME_LETTERS)))
    take: bool = wire(flag, default=False)
    id: int | None = wire(optional(whole(1)), default=None)


@dataclass(frozen=True, slots=True)
class Merge:
    """The user says that two speakers are one person: all of `speaker` is `into`'s."""

    speaker: str = wire(SPEAKER_ID)
    into: str = wire(SPEAKER_ID)
    id: int | None = wire(optional(whole(1)), default=None)


@dataclass(frozen=True, slots=True)
class Assign:
    """The user says whose a turn is: a speaker's, or `new` for somebody not known so far."""

    turn: str = wire(TURN_ID)
    speaker: str = wire(SPEAKER_OR_NEW)
    id: int | None = wire(optional(whole(1)), default=None)


@dataclass(frozen=True, slots=True)
class Undo:
    """The user takes back the last `merge` or `assign` that stands."""

    id: int | None = wire(optional(whole(1)), default=None)


Request = Name | Merge | Assign | Undo


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that this side does not know, to be ignored."""

    type: str = wire(PLAIN)


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration in effect, which may be less than was asked for."""

    encoding: Encoding = wire(one_of(*SAMPLE_BYTES))
    sample_rate_hz: int = wire(whole(MIN_RATE_HZ, MAX_RATE_HZ), name="sample_rate")
    channels: int = wire(whole(1, MAX_CHANNELS))
    latency_s: float = wire(number(MIN_LATENCY_S, MAX_LATENCY_S), name="latency")
    provisional: bool = wire(flag)
    activity: bool = wire(flag)
    speakers: tuple[str, ...] = wire(many(name_text(NAME_LETTERS), MAX_KNOWN_SPEAKERS))
    min_speakers: int | None = wire(optional(PEOPLE), default=None)
    max_speakers: int | None = wire(optional(PEOPLE), default=None)
    hop_s: float = wire(SECONDS, name="hop", default=FIRST_HOP_S)
    max_hop_s: float = wire(SECONDS, name="max_hop", default=FIRST_HOP_S)


@dataclass(frozen=True, slots=True)
class Model:
    """What computes: names of the two models, seconds of audio between two windows unless another hop is asked for."""

    name: str = wire(PLAIN)
    segmentation: str = wire(PLAIN)
    embedding: str = wire(PLAIN)
    hop_s: float = wire(SECONDS, name="hop")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server allows; the times are in seconds, `values_per_s` is the most of sample_rate times channels."""

    message_bytes: int = wire(whole(1))
    idle_s: float = wire(SECONDS, name="idle")
    session_s: float = wire(SECONDS, name="session")
    resume_s: float = wire(SECONDS, name="resume")
    values_per_s: int | None = wire(optional(whole(1)), default=None)


@dataclass(frozen=True, slots=True)
class Started:
    """The session is open; audio goes on from sample `position` (per channel, at the client's rate).

    corrections: the server takes `merge`, `assign` and `undo`, and answers requests
    """

    version: int = wire(whole(0))
    session: str = wire(SESSION_ID)
    resumed: bool = wire(flag)
    position: int = wire(whole(0))
    config: Config = wire(nested(Config))
    model: Model = wire(nested(Model))
    limits: Limits = wire(nested(Limits))
    corrections: bool = wire(flag, default=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request; nobody else is told. `code` says why it was refused (null: done), `message` for people.

    id: the request's
    speaker: whose the turn of `assign` is now, who is left of a `merge`, or who has the name that is in use
    """

    id: int | None = wire(optional(whole(1)))
    request: RequestType = wire(one_of(*get_args(RequestType)))
    code: RefusalCode | None = wire(optional(text(40, r"[a-z_]+", "a code")))
    message: str | None = wire(optional(PLAIN))
    speaker: str | None = wire(optional(SPEAKER_ID))


@dataclass(frozen=True, slots=True)
class Status:
    """How the session goes; the times are seconds of audio, realtime_factor is time taken over audio time.

    hop_s: the hop now, longer than the one asked for while the server is busy
    """

    received_s: float = wire(SECONDS, name="received")
    processed_s: float = wire(SECONDS, name="processed")
    backlog_s: float = wire(SECONDS, name="backlog")
    realtime_factor: float = wire(SECONDS)
    silent_s: float = wire(SECONDS, name="silent")
    dropped_s: float = wire(SECONDS, name="dropped")
    warning: str | None = wire(optional(PLAIN))
    hop_s: float | None = wire(optional(SECONDS), name="hop", default=None)


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong; the connection is closed next, with `close`."""

    code: str = wire(text(40, r"[a-z_]+", "a code"))
    message: str = wire(PLAIN)
    expected: str | None = wire(optional(PLAIN))
    close: int = wire(whole(1000, 4999))


ClientMessage = Start | Stop | Request | Unknown
ServerMessage = Started | Turn | Revision | Speaker | Activity | Status | Answer | Final | Error | Unknown

CLIENT_TYPES: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in (Start, Stop, Name, Merge, Assign, Undo)}
SERVER_TYPES: dict[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Started, Turn, Revision, Speaker, Activity, Status, Answer, Final, Error)
}
_NAMES = {kind: name for name, kind in {**CLIENT_TYPES, **SERVER_TYPES}.items()}
_QUERY = {wire_name(entry): entry for entry in fields(Start) if entry.name != "token"}


def encode(message: ClientMessage | ServerMessage, seq: int | None = None) -> str:
    """The JSON text of a message; those of the server carry their number `seq` (errors: none).

    Raises ProtocolError for a message that the other side would refuse.
    """
    head = {"type": message.type if isinstance(message, Unknown) else _NAMES[type(message)]}
    numbered = {} if seq is None else {"seq": whole(1)(seq)}
    return json.dumps({**head, **numbered, **_values(message)}, separators=(",", ":"), ensure_ascii=False)


def decode_client(data: str | bytes) -> ClientMessage:
    """What a client said in a text frame; raises ProtocolError, one sentence, for what the protocol does not allow."""
    values = client_object(data)
    kind = _type(values)
    if kind.replace("_", "").lower() in STOP_TYPES:
        return Stop()
    message: ClientMessage = build(CLIENT_TYPES[kind], values, strict=True) if kind in CLIENT_TYPES else Unknown(kind)
    return message


def client_object(data: str | bytes) -> dict[str, Any]:
    """The JSON object in a client's text frame, as long as it may be; raises ProtocolError for anything else."""
    if len(data) > MAX_CLIENT_LETTERS:
        raise ProtocolError(f"JSON of at most {MAX_CLIENT_LETTERS} characters", len(data))
    return parse_object(data)


def decode_server(data: str | bytes) -> tuple[int | None, ServerMessage]:
    """(seq, message) of a text frame of the server; fields that are not known are left out. Raises ProtocolError."""
    values = parse_object(data)
    kind, seq = _type(values), optional(whole(1))(values.get("seq"))
    return seq, build(SERVER_TYPES[kind], values, strict=False) if kind in SERVER_TYPES else Unknown(kind)


def start_of_query(query: str) -> Start | None:
    """The `start` that the query string of the address holds; None where it is empty. Raises ProtocolError."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=200
        )
    except ValueError:
        raise ProtocolError("a query string such as sample_rate=48000&channels=2", query) from None
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key not in _QUERY:
            raise ProtocolError(f"query fields out of {', '.join(_QUERY)}", key)
        if key == "speakers":
            values.setdefault(key, []).append(value)
        elif key in values:
            raise ProtocolError("each query field once", key)
        else:
            values[key] = _query_value(key, value)
    return build(Start, values, strict=True) if values else None


def _query_value(key: str, value: str) -> Any:
    """Text as the JSON value it stands for; what it cannot stand for stays text, which the check then refuses."""
    if isinstance(_QUERY[key].default, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(value, value)
    if key in ("encoding", "session"):
        return value
    if value.isascii() and value.isdecimal() and len(value) <= 20:
        return int(value)
    try:
        return float(value) if key in ("latency", "hop", "max_hop") else value
    except ValueError:
        return value


def _values(message: ClientMessage | ServerMessage) -> dict[str, Any]:
    if isinstance(message, Unknown):
        return {}
    if isinstance(message, Request):  # without what has its default: older servers refuse fields they do not know
        return {key: value for key, value in fields_of(message).items() if value or key == "name"}
    return message_fields(message) if isinstance(message, Final) else fields_of(message)


def _type(values: dict[str, Any]) -> str:
    kind = values.pop("type", None)
    if not isinstance(kind, str):
        raise ProtocolError("a field type with a word", kind)
    return kind
