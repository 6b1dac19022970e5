"""The wire protocol without a socket: round trips, what is refused and how, and a fuzzed decoder."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.events import Final, Turn
from turnstream.protocol.messages import (
    CLIENT_TYPES,
    SERVER_TYPES,
    CloseCode,
    Error,
    Start,
    Started,
    Status,
    Stop,
    Unknown,
    decode_client,
    decode_server,
    encode,
    start_of_query,
)
from turnstream.wire import ProtocolError, fields_of, wire_fields

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
WORDS: dict[str, list[str]] = {
    "encoding": ["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"],
    "Turn.state": ["provisional", "committed", "final", "retracted"],
    "Speaker.state": ["appeared", "named", "merged"],
    "Revision.reason": ["reassigned", "merged", "split", "named", "corrected"],
    "Answer.request": ["name", "merge", "assign", "undo"],
    "Answer.code": [
        *("name_in_use", "unknown_speaker", "unknown_turn", "same_speaker", "nothing_to_undo"),
        "too_many_corrections",
    ],
    "Final.reason": ["stop", "idle", "session_too_long", "shutdown"],
}
NAMES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=64)
RANGES = {
    "sample_rate": (8_000, 192_000),
    "channels": (1, 128),
    "min_speakers": (1, 50),
    "max_speakers": (50, 10_000),
    "message_bytes": (1, 2**53),
    "values_per_s": (1, 2**53),
    "close": (1000, 4999),
    "id": (1, 2**53),
}
TEXTS = {
    "session": st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    "code": st.from_regex(r"[a-z_]{1,40}", fullmatch=True),
    "name": NAMES,
    "id": st.integers(1, 10**9).map("T{}".format),
    "turn": st.integers(1, 10**9).map("T{}".format),
} | dict.fromkeys(("speaker", "from", "to", "into"), st.integers(1, 10**9).map("S{}".format))


def values_of(kind: type, key: str, hint: Any) -> st.SearchStrategy[Any]:
    """Values of one field that the protocol allows, by its type and name."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return st.none() | values_of(kind, key, args[0])
    if typing.get_origin(hint) is tuple:
        item = TEXTS["id"] if key == "turns" and args[0] is str else NAMES if args[0] is str else messages(args[0])
        return st.lists(item, max_size=5).map(tuple)
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(*RANGES.get(key, (0, 2**53)))
    if hint is float:
        low, high = {"latency": (0.5, 5), "hop": (0.34, 2), "max_hop": (0.34, 2), "confidence": (0, 1)}.get(
            key, (0, 1e9)
        )
        return st.floats(low, high)
    words = WORDS.get(key) or WORDS.get(f"{kind.__name__}.{key}")
    if typing.get_origin(hint) is typing.Literal:
        assert set(args) == set(words or ())
        return st.sampled_from(args)
    if hint is str:
        return st.sampled_from(words) if words else TEXTS.get(key, st.text(max_size=100))
    return messages(hint)


def messages(kind: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    entries = wire_fields(kind).items()
    return st.builds(kind, **{entry.name: values_of(kind, key, hints[entry.name]) for key, entry in entries})


CLIENT = st.one_of(*map(messages, CLIENT_TYPES.values()))
SERVER = st.one_of(*map(messages, SERVER_TYPES.values()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(message=CLIENT)
def test_what_a_client_says_comes_back_as_it_was(message: Any) -> None:
    assert decode_client(encode(message)) == message
    assert decode_client(encode(message).encode()) == message


@given(message=SERVER, seq=st.none() | st.integers(1, 2**53))
def test_what_the_server_says_comes_back_as_it_was(message: Any, seq: int | None) -> None:
    assert decode_server(encode(message, seq)) == (seq, message)


@given(message=messages(Start))
def test_a_query_string_holds_what_start_holds(message: Start) -> None:
    given_fields = {k: v for k, v in fields_of(message).items() if v is not None and k != "token"}
    pairs = [(k, str(v).lower() if isinstance(v, bool) else v) for k, v in given_fields.items()]
    found = start_of_query(urlencode(pairs, doseq=True))
    assert found is not None
    assert fields_of(found) == fields_of(message) | {"token": None}


def test_the_empty_query_string_starts_nothing() -> None:
    assert start_of_query("") is None


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sample_rate=44", "sample_rate: expected a whole number of 8000 to 192000, got 44"),
        ("sample_rate=48k", "sample_rate: expected a whole number of 8000 to 192000, got '48k'"),
        ("sampel_rate=48000", "expected query fields out of version, encoding"),
        ("token=secret", "expected query fields"),
        ("latency=nan", "latency: expected a number of 0.5 to 5, got nan"),
        ("provisional=maybe", "provisional: expected true or false, got maybe"),
        ("channels=1&channels=2", "expected each query field once, got channels"),
        ("channels", "expected a query string"),
        ("encoding=%ff", "expected a query string"),
        ("speakers=", "speakers: expected a name of 1 to 64 printable characters"),
    ],
)
def test_bad_query_strings_are_one_sentence(query: str, says: str) -> None:
    with pytest.raises(ProtocolError, match="^" + says):
        start_of_query(query)


@pytest.mark.parametrize("kind", ["stop", "Terminate", "EndOfStream", "end_of_stream", "CloseStream", "terminate"])
def test_every_usual_way_to_stop(kind: str) -> None:
    assert decode_client(json.dumps({"type": kind, "last_seq_no": 7})) == Stop()


@pytest.mark.slow
@given(kind=st.text(max_size=30).filter(lambda k: k not in CLIENT_TYPES), rest=st.dictionaries(st.text(), JSON))
def test_unknown_types_are_no_error(kind: str, rest: dict[str, Any]) -> None:
    try:
        text = json.dumps({**rest, "type": kind}, allow_nan=False)
    except ValueError:
        return
    rest.pop("seq", None)
    assert decode_client(text) in (Unknown(kind), Stop())
    if kind not in SERVER_TYPES:
        assert decode_server(json.dumps({"type": kind})) == (None, Unknown(kind))


def check_decoders(data: str | bytes) -> None:
    """Whatever comes, it is a message or refused in one sentence."""
    for decode in (decode_client, decode_server):
        said = ""
        try:
            decode(data)
        except ProtocolError as error:
            said = str(error)
        assert not said or ("expected" in said and "\n" not in said and len(said) < 500)


@given(data=st.binary() | st.text() | JSON.map(json.dumps))
def test_the_decoder_gives_a_message_or_one_sentence(data: str | bytes) -> None:
    check_decoders(data)


@pytest.mark.slow
@given(message=CLIENT | SERVER, data=st.data())
def test_a_message_that_was_cut_or_changed_is_refused_or_another_message(message: Any, data: st.DataObject) -> None:
    text = encode(message)
    with pytest.raises(ProtocolError):
        decode_client(text[: data.draw(st.integers(0, len(text) - 1))])
    values = json.loads(text)
    values[data.draw(st.sampled_from(sorted(values)))] = data.draw(JSON)
    check_decoders(json.dumps(values))


@given(message=SERVER, data=st.data())
def test_a_field_that_is_missing_is_named(message: Any, data: st.DataObject) -> None:
    values = json.loads(encode(message))
    spare = {Final: {"rttm", "statistics"}, Status: {"hop"}, Started: {"corrections"}}.get(type(message), set())
    gone = data.draw(st.sampled_from(sorted(set(values) - spare - {"type"})))
    del values[gone]
    with pytest.raises(ProtocolError, match=f"expected a field {gone}, got none"):
        decode_server(json.dumps(values))


@given(message=messages(Final))
def test_a_final_is_whole_without_its_statistics_and_rttm(message: Final) -> None:
    """The engine has no statistics, and the RTTM only says once more what the turns say."""
    values = json.loads(encode(message))
    assert values["rttm"] == message.to_rttm()
    assert decode_server(json.dumps({**values, "rttm": "anything"})) == (None, message)
    del values["rttm"], values["statistics"]
    assert decode_server(json.dumps(values)) == (None, replace(message, statistics=None))


@given(message=SERVER)
def test_clients_leave_out_fields_they_do_not_know(message: Any) -> None:
    assert decode_server(json.dumps({**json.loads(encode(message)), "later": [1]})) == (None, message)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a JSON object, got ''"),
        ("[1]", "expected a JSON object"),
        ("{", "expected a JSON object"),
        ("[" * 60_000, "expected JSON of at most 32 levels, got"),
        ('{"a":' * 13_000, "expected JSON of at most 32 levels, got"),
        ("[" * 65_537, "expected JSON of at most 65536 characters, got 65537"),
        ("1" * 5_000, "expected a JSON object"),
        ("{}", "expected a field type with a word, got None"),
        ('{"type":7}', "expected a field type with a word, got 7"),
        ('{"type":"start","type":"stop"}', "expected each field once"),
        ('{"type":"start","latency":NaN}', "expected finite numbers, got NaN"),
        ('{"type":"start","latency":1e999}', "latency: expected a number of 0.5 to 5, got inf"),
        ('{"type":"start","latency":%s}' % ("9" * 400), "latency: expected a number of 0.5 to 5, got 999"),
        ('{"type":"start","latency":true}', "latency: expected a number of 0.5 to 5, got True"),
        ('{"type":"start","sample_rate":44.5}', "sample_rate: expected a whole number of 8000 to 192000, got 44.5"),
        ('{"type":"start","channels":0}', "channels: expected a whole number of 1 to 128, got 0"),
        ('{"type":"start","encoding":"mp3"}', "encoding: expected one of pcm_s16le, pcm_s24le, pcm_s32le, pcm_f32le"),
        ('{"type":"start","provisional":1}', "provisional: expected true or false, got 1"),
        ('{"type":"start","sampel_rate":8000}', "expected fields out of version, encoding, sample_rate"),
        ('{"type":"start","speakers":["A",2]}', "speakers: expected a name of 1 to 64 printable characters, got 2"),
        ('{"type":"start","session":"a b"}', "session: expected a session id"),
        ('{"type":"start","min_speakers":0}', "min_speakers: expected a whole number of 1 to 10000, got 0"),
        ('{"type":"start","min_speakers":3,"max_speakers":2}', "start: expected max_speakers of at least 3, got 2"),
        ('{"type":"start","position":-1}', "position: expected a whole number of 0 to"),
        ('{"type":"name","speaker":"S0","name":"A"}', "speaker: expected a speaker such as S1"),
        ('{"type":"name","speaker":"S1","name":" A"}', "name: expected a name of 1 to 64 printable characters"),
        ('{"type":"name","speaker":"S1","name":"a\\nb"}', "name: expected a name"),
        ('{"type":"name","speaker":"S1","name":"\\ud800"}', "name: expected a name"),
        ('{"type":"name","speaker":"S1"}', "expected a field name, got none"),
        (b'{"type":"\xff"}', "expected a JSON object"),
    ],
)
def test_bad_messages_are_one_sentence(text: str | bytes, says: str) -> None:
    with pytest.raises(ProtocolError) as error:
        decode_client(text)
    assert str(error.value).startswith(says)
    encode(Error("malformed", str(error.value), error.value.expected, CloseCode.MALFORMED))


def test_what_may_not_be_sent_is_not_encoded() -> None:
    turn = Turn("T1", "S1", None, 1.0, 2.0, 1.0, "provisional")
    for bad in (
        Turn("1", *list(fields_of(turn).values())[1:]),
        Turn("T1", None, None, float("nan"), 2.0, 1.0, "committed"),
        Turn("T1", "S1", None, 1.0, 2.0, 1.0, "open"),
    ):
        with pytest.raises(ProtocolError):
            encode(bad, 1)
    with pytest.raises(ProtocolError):
        encode(turn, 0)


def test_the_page_names_every_message_field_and_close_code() -> None:
    page = PAGE.read_text()
    for name, kind in (CLIENT_TYPES | SERVER_TYPES).items():
        assert f"`{name}`" in page
        for key in wire_fields(kind):
            assert f"`{key}`" in page, (name, key)
    for code in CloseCode:
        assert f"| {code.value} |" in page


def test_every_example_on_the_page_is_a_message() -> None:
    page = PAGE.read_text()
    client, server = [block.split("\n```")[0] for block in page.split("```json\n")[1:]]
    asked = [decode_client(line) for line in client.splitlines()]
    assert {type(message).__name__.lower() for message in asked} == set(CLIENT_TYPES)
    told = [decode_server(line.replace("pJ0d...", "pJ0d"))[1] for line in server.splitlines()]
    assert {type(message).__name__.lower() for message in told} == set(SERVER_TYPES) - {"final"}
