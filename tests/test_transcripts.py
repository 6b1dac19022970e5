"""Transcripts of recognizers: read, given speakers, written in the same format, with nothing else changed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnstream import Final, Line, Talk, Turn, TurnstreamError, Word
from turnstream.clients.words.spoken import lines_of
from turnstream.clients.words.transcript import estimated, in_order, pieces, read_transcript

TURNS = (
    Turn("T1", "S1", "Anna", 0.0, 3.0, 3.0, "final"),
    Turn("T2", "S2", None, 3.0, 6.0, 6.0, "final"),
    Turn("T3", None, None, 8.0, 9.0, 9.0, "final"),
)
FINAL = Final("stop", 12.0, TURNS, (Talk("S1", "Anna", None, 3.0), Talk("S2", None, None, 3.0)))


def spoken(path: Path, text: str | bytes) -> str:
    """The transcript with the speakers of FINAL."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    transcript = read_transcript(path)
    return transcript.with_speakers(lines_of(transcript.words, FINAL, pause_s=None))


def words(*said: tuple[float, float, str], key: str = "word", **more: Any) -> list[dict[str, Any]]:
    return [{key: text, "start": start_s, "end": end_s, **more} for start_s, end_s, text in said]


# openai-whisper and faster-whisper: words bring their blank


def whisper() -> dict[str, Any]:
    """As `whisper --word_timestamps True` writes it."""
    first = words((0.0, 0.5, " Hello"), (0.5, 1.0, " Ben,"), (3.1, 3.5, " Hi"), (3.5, 4.0, " Anna."), probability=0.9)
    return {
        "text": " Hello Ben, Hi Anna. Bye.",
        "segments": [
            {
                "id": 0,
                "seek": 0,
                "start": 0.0,
                "end": 4.2,
                "text": " Hello Ben, Hi Anna.",
                "tokens": [50364, 1],
                "avg_logprob": -0.2,
                "words": first,
            },
            {
                "id": 1,
                "seek": 0,
                "start": 4.5,
                "end": 5.0,
                "text": " Bye.",
                "tokens": [2],
                "words": words((4.5, 5.0, " Bye.")),
            },
            {"id": 2, "seek": 0, "start": 9.5, "end": 9.6, "text": "", "tokens": [], "words": []},
        ],
        "language": "en",
    }


def test_a_segment_of_whisper_is_split_where_the_speaker_changes(tmp_path: Path) -> None:
    told = json.loads(spoken(tmp_path / "a.json", json.dumps(whisper())))
    assert (told["text"], told["language"]) == (whisper()["text"], "en")
    kept = [(s["id"], s["start"], s["end"], s["text"], s["speaker"]) for s in told["segments"]]
    assert kept == [
        (0, 0.0, 1.0, " Hello Ben, ", "Anna"),
        (1, 3.1, 4.2, "Hi Anna.", "S2"),
        (2, 4.5, 5.0, " Bye.", "S2"),
        (3, 9.5, 9.6, "", None),
    ]
    said = [[(w["word"], w["speaker"], w.get("probability")) for w in s["words"]] for s in told["segments"]]
    assert said[0] == [(" Hello", "Anna", 0.9), (" Ben,", "Anna", 0.9)]
    assert said[1] == [(" Hi", "S2", 0.9), (" Anna.", "S2", 0.9)]
    assert "tokens" not in told["segments"][0]  # those of both speakers
    assert (told["segments"][2]["tokens"], told["segments"][2]["seek"]) == ([2], 0)


def test_without_times_of_words_they_are_as_long_as_they_are_written(tmp_path: Path) -> None:
    segment = {"start": 1.0, "end": 5.0, "text": " aaaa bbbb cccc dddd", "id": 7}
    told = json.loads(spoken(tmp_path / "a.json", json.dumps([segment])))  # faster-whisper: the list alone
    assert [(s["start"], s["end"], s["text"], s["speaker"]) for s in told] == [
        (1.0, 3.0, " aaaa bbbb ", "Anna"),
        (3.0, 5.0, "cccc dddd", "S2"),
    ]
    assert "words" not in told[0]


def test_whisperx_words_without_times_lie_between_their_neighbours(tmp_path: Path) -> None:
    said = [
        {"word": "In", "start": 2.0, "end": 2.4, "score": 0.9},
        {"word": "2014."},
        {"word": "Really?", "start": 3.4, "end": 3.9, "score": 0.8},
    ]
    segments = [{"start": 2.0, "end": 4.0, "text": "In 2014. Really?", "words": said}]
    told = json.loads(spoken(tmp_path / "a.json", json.dumps({"segments": segments, "word_segments": said})))
    assert [(s["text"], s["speaker"]) for s in told["segments"]] == [("In 2014. ", "Anna"), ("Really?", "S2")]
    assert [(w["word"], w["speaker"]) for w in told["word_segments"]] == [
        ("In", "Anna"),
        ("2014.", "Anna"),
        ("Really?", "S2"),
    ]
    assert "start" not in told["word_segments"][1]


# whisper.cpp


def cpp(**more: Any) -> dict[str, Any]:
    """As `-oj` writes it; `-ojf` has tokens too."""
    clocks = {"from": "00:00:02,000", "to": "00:00:05,000"}
    segment = {"timestamps": clocks, "offsets": {"from": 2000, "to": 5000}, "text": " Hallöchen. Guten Tag."}
    return {"systeminfo": "x", "result": {"language": "de"}, "transcription": [{**segment, **more}]}


def token(text: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    return {"text": text, "offsets": {"from": start_ms, "to": end_ms}, "id": 1, "p": 0.5}


def test_whisper_cpp_tokens_are_joined_to_words(tmp_path: Path) -> None:
    tokens = [
        token("[_BEG_]", 2000, 2000),
        token(" Hall", 2000, 2300),
        token("ö", 2300, 2350),
        token("chen", 2350, 2600),
        token(".", 2600, 3500),
        token(" Guten", 3500, 4000),
        token(" Tag", 4000, 4500),
        token(".", 4500, 5000),
        token("[_TT_150]", 5000, 5000),
    ]
    first, second = json.loads(spoken(tmp_path / "a.json", json.dumps(cpp(tokens=tokens))))["transcription"]
    assert (first["text"], first["speaker"], second["text"], second["speaker"]) == (
        " Hallöchen. ",
        "Anna",
        "Guten Tag.",
        "S2",
    )
    assert first["timestamps"] == {"from": "00:00:02,000", "to": "00:00:03,500"}
    assert second["offsets"] == {"from": 3500, "to": 5000}
    assert [t["text"] for t in first["tokens"]] == [" Hall", "ö", "chen", "."]
    assert {t["speaker"] for t in second["tokens"]} == {"S2"}


def test_whisper_cpp_without_tokens(tmp_path: Path) -> None:
    told = json.loads(spoken(tmp_path / "a.json", json.dumps(cpp())))
    assert [s["speaker"] for s in told["transcription"]] == ["Anna", "S2"]
    assert told["result"] == {"language": "de"}


def test_bytes_that_are_no_text_are_read(tmp_path: Path) -> None:
    """whisper.cpp writes tokens that are parts of a letter."""
    half = json.dumps(cpp(tokens=[token(" Hal", 2000, 2600)])).encode().replace(b"Hal", b"\xc3")
    assert json.loads(spoken(tmp_path / "a.json", half))["transcription"][0]["speaker"] == "Anna"


# Subtitles

SRT = """1
00:00:00,000 --> 00:00:02,000
Hello <i>Ben</i>,
how are you?

2
00:00:02,000 --> 00:00:04,000
aaaa bbbb. <i>cccc dddd</i>

3
00:00:08,200 --> 00:00:08,900
(nobody known)
"""


def test_srt(tmp_path: Path) -> None:
    assert spoken(tmp_path / "a.srt", SRT) == (
        "1\n00:00:00,000 --> 00:00:02,000\nAnna: Hello <i>Ben</i>,\nhow are you?\n\n"
        "2\n00:00:02,000 --> 00:00:03,048\nAnna: aaaa bbbb.\n\n"
        "3\n00:00:03,048 --> 00:00:04,000\nS2: cccc dddd\n\n"
        "4\n00:00:08,200 --> 00:00:08,900\n(nobody known)\n"
    )


def test_srt_of_windows_with_an_empty_line_inside(tmp_path: Path) -> None:
    text = "\ufeff1\n00:00:00,000 --> 00:00:01,000\nHello\n\nBen\n\n2\n00:00:01.000 --> 00:00:02.000\nyes\n"
    assert spoken(tmp_path / "a.srt", text.replace("\n", "\r\n")) == (
        "1\n00:00:00,000 --> 00:00:01,000\nAnna: Hello\nBen\n\n2\n00:00:01,000 --> 00:00:02,000\nAnna: yes\n"
    )


VTT = """WEBVTT - made by hand

STYLE
::cue { color: lime }

NOTE nothing

intro
00:00.000 --> 00:02.000 align:start position:0%
<v Somebody>Tom &amp; Jerry</v>

00:02.500 --> 00:05.000
one<00:03.200><c> two</c><00:04.000><c> three</c>
"""


def test_vtt(tmp_path: Path) -> None:
    """Voices of before give way; a cue that has times of its own, as YouTube's, is split by them."""
    assert spoken(tmp_path / "a.vtt", VTT) == (
        "WEBVTT - made by hand\n\nSTYLE\n::cue { color: lime }\n\nNOTE nothing\n\n"
        "intro\n00:00:00.000 --> 00:00:02.000 align:start position:0%\n<v Anna>Tom &amp; Jerry\n\n"
        "00:00:02.500 --> 00:00:03.200\n<v Anna>one\n\n00:00:03.200 --> 00:00:05.000\n<v S2>two three\n"
    )


def test_languages_without_blanks_are_split_by_character(tmp_path: Path) -> None:
    told = spoken(tmp_path / "a.srt", "1\n00:00:01,000 --> 00:00:05,000\n你好世界\n")
    assert [line for line in told.splitlines() if ": " in line] == ["Anna: 你好", "S2: 世界"]


# What is none


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello there.", "expected the JSON of openai-whisper, .* got a text that is none of them"),
        ("", "got a text that is none of them"),
        ("{", "got JSON that cannot be read"),
        ("[" * 5000, "got JSON that cannot be read: more than 32 levels"),
        ('{"a": 1}', "got JSON without a list of segments"),
        ('{"segments": [1]}', "got JSON without a list of segments"),
        ('{"segments": [{"start": 1, "text": "x"}]}', "segment 1: expected a text, a start and an end"),
        ('{"segments": [{"start": "1", "end": 2, "text": "x"}]}', "segment 1: expected a text, a start and an end"),
        ("1\n00:00:aa,000 --> 00:00:01,000\nx\n", "expected times like 00:00:01,000 --> 00:00:02,500, got 00:00:aa"),
    ],
)
def test_what_is_no_transcript_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(TurnstreamError, match=said) as error:
        read_transcript(tmp_path / "a.txt")
    assert str(error.value).startswith(f"{tmp_path / 'a.txt'}: ")
    assert "\n" not in str(error.value)


# Properties


@given(
    times=st.lists(st.one_of(st.none(), st.tuples(st.floats(0, 20), st.floats(0, 20))), min_size=1, max_size=12),
    start_s=st.floats(0, 10),
    length_s=st.floats(0, 10),
)
def test_times_of_words_never_go_back(times, start_s: float, length_s: float) -> None:
    found = in_order(times, start_s, start_s + length_s)
    assert len(found) == len(times)
    assert found == sorted(found, key=lambda time: time[0])
    assert all(begin_s <= end_s for begin_s, end_s in found)
    ordered = [time for time in times if time and time[0] <= time[1]]
    if ordered == sorted(times, key=lambda time: time or (0, 0)):
        assert found == ordered


@given(text=st.text("ab ,你\n", max_size=40), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_pieces_of_a_text_are_the_text(text: str, cuts: list[int]) -> None:
    found = estimated(text, 1.0, 2.0, 0)
    edges = sorted({0, *(min(cut, len(found)) for cut in cuts), len(found)})
    lines = [Line("S1", None, tuple(found[a:b])) for a, b in itertools.pairwise(edges)]
    if lines:
        made = pieces(text, lines)
        assert "".join(made) == text
        for line, piece in zip(lines, made, strict=True):
            assert "".join(piece.split()) == "".join(word.text for word in line.words)
    assert all(1.0 <= word.start_s <= word.end_s <= 2.0 + 1e-9 for word in found)


def test_a_text_that_lacks_a_word_is_written_anew() -> None:
    lines = [Line("S1", None, (Word(0, 1, "yes"),)), Line("S2", None, (Word(1, 2, "no"),))]
    assert pieces("something else", lines) == ["yes", "no"]


def answer(path: Path, text: str) -> str:
    """The transcript with speakers, or why there is none."""
    try:
        return spoken(path, text)
    except TurnstreamError as error:
        return str(error)


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-5, 5) | st.text("a [_]<>-\n", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
TIME = st.floats(0, 10) | ANY
KEYS = ("start", "end", "text", "word", "offsets", "words", "tokens", "word_segments", "from", "to", "id")
PARTS = st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, TIME)) | ANY, max_size=3)
OFFSETS = st.fixed_dictionaries({"from": TIME, "to": TIME}) | ANY
SEGMENT = st.fixed_dictionaries(
    {"start": TIME, "end": TIME, "text": st.text(max_size=9) | ANY, "offsets": OFFSETS},
    optional={"words": PARTS | ANY, "tokens": PARTS | ANY, "id": ANY, "speaker": ANY},
)
ROOT = st.fixed_dictionaries(
    {}, optional={"segments": st.lists(SEGMENT) | ANY, "transcription": st.lists(SEGMENT) | ANY, "word_segments": ANY}
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ROOT | st.lists(SEGMENT) | ANY)
def test_whatever_json_it_is_the_answer_is_a_transcript_or_one_sentence(tmp_path: Path, value: Any) -> None:
    told = answer(tmp_path / "a.json", json.dumps(value))
    assert told.startswith(f"{tmp_path}/a.json: ") or json.loads(told) is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.sampled_from([*SRT.splitlines(), *VTT.splitlines(), "00:01.0 --> x", "<v>", "9:9:9"]), max_size=12
    )
)
def test_whatever_text_it_is_the_answer_is_a_transcript_or_one_sentence(tmp_path: Path, lines: list[str]) -> None:
    told = answer(tmp_path / "a.srt", "\n".join(lines))
    again = answer(tmp_path / "b.srt", told)
    assert told.startswith(f"{tmp_path}/a.srt: ") or again.count("-->") >= told.count("-->")
