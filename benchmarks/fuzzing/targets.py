"""What reads the words of strangers: each with the error it may raise, and examples to begin with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from turnstream.errors import PeopleError, TurnstreamError
from turnstream.events import Final, Revision, Speaker, Turn
from turnstream.people.person import Person, format_export, format_person, parse_export
from turnstream.protocol.messages import (
    Name,
    Start,
    Stop,
    decode_client,
    decode_server,
    encode,
    start_of_query,
)
from turnstream.rttm import parse_rttm
from turnstream.stitching.clustering import unit
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.profile import Profile
from turnstream.wire import ProtocolError

LONGEST = 2000  # characters of an error; one lists every constant


@dataclass(frozen=True)
class Target:
    """`read` takes bytes; it may raise `documented` and nothing else."""

    read: Callable[[bytes], object]
    documented: type[Exception]
    examples: Sequence[bytes]

    def complaint(self, data: bytes) -> str | None:
        """What is wrong with how it took `data`, if anything is."""
        try:
            self.read(data)
        except self.documented as error:
            said = str(error)
            return None if "\n" not in said and len(said) <= LONGEST else f"not a sentence: {said[:200]!r}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
        return None


def targets() -> dict[str, Target]:
    """By name; the files they need are in a folder of their own."""
    voice = Profile(unit(np.arange(1, 193, dtype=np.float32)), 12.5)
    person = Person("Anna Maria", "a" * 64, (voice,), ("2026-01-01T00:00:00+00:00",))
    return {
        "decode_client": Target(_client, ProtocolError, [*(encode(message).encode() for message in CLIENT), *HOSTILE]),
        "decode_server": Target(_server, ProtocolError, [encode(message, 3).encode() for message in SERVER]),
        "start_of_query": Target(lambda data: start_of_query(_text(data)), ProtocolError, QUERIES),
        "parse_export": Target(
            lambda data: parse_export(_text(data), "it"),
            PeopleError,
            [format_person(person).encode(), format_export([person]).encode()],
        ),
        "from_json": Target(_constants(), TurnstreamError, CONSTANTS),
        "parse_rttm": Target(lambda data: parse_rttm(_text(data)), TurnstreamError, LINES),
    }


TURN = Turn("T1", "S1", "Anna", 1.0, 2.5, 2.0, "provisional")
CLIENT = (Start(), Start(speakers=("Anna",), session="abc", position=3, token="t" * 16), Stop(), Name("S1", "Zoë"))
SERVER = (
    TURN,
    Revision(("T1",), "S1", "S2", "merged", 1.0),
    Speaker("S1", "appeared", None, None, None, 2.0),
    Final("stop", 9.0, (), ()),
)
HOSTILE = (  # what changes of the others hardly ever come to
    b'{"type":"start","latency":%s}' % (b"9" * 400),
    b'{"type":"start","latency":%s}' % (b"[" * 1000 + b"]" * 1000),
    b'{"type":%s1%s}' % (b'{"a":' * 300, b"}" * 300),
)
QUERIES = (
    b"sample_rate=48000&channels=2&latency=0.5",
    b"speakers=A%20B&speakers=%C3%A9&provisional=false&session=abc",
)
LINES = (
    b"SPEAKER talk 1 0.5 1.25 <NA> <NA> Anna <NA> <NA>\n;; note\nSPEAKER b 1 2 3 <NA> <NA> B <NA>\n",
    b"\xef\xbb\xbfSPKR-INFO a",
)
CONSTANTS = (
    json.dumps({name: field.default for name, field in StitcherConfig.__dataclass_fields__.items()}).encode(),
    b"{}",
)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _client(data: bytes) -> None:
    message: Any = decode_client(_text(data))
    assert decode_client(encode(message)) == message


def _server(data: bytes) -> None:
    decode_server(_text(data))


def _constants() -> Callable[[bytes], object]:
    path = Path(tempfile.mkdtemp()) / "constants.json"

    def read(data: bytes) -> StitcherConfig:
        path.write_bytes(data)
        return StitcherConfig.from_json(path)

    return read
