"""RTTM: what is written reads back, and broken lines are named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.errors import TurnstreamError
from turnstream.rttm import RttmSegment, format_rttm, parse_rttm

segments = st.builds(
    lambda start_ms, length_ms, n: RttmSegment(start_ms / 1000, (start_ms + length_ms) / 1000, f"S{n}"),
    st.integers(0, 10**8),
    st.integers(1, 10**6),
    st.integers(1, 99),
)


@given(st.lists(segments, min_size=1))
def test_written_text_reads_back(written: list[RttmSegment]):
    assert parse_rttm(format_rttm("a b", written)) == {"a_b": written}


def test_line_is_as_the_plan_says():
    text = format_rttm("meeting one", [RttmSegment(0.5, 2.0, "S1"), RttmSegment(2.0, 2.0001, "S2")])
    assert text == "SPEAKER meeting_one 1 0.500 1.500 <NA> <NA> S1 <NA> <NA>\n"


def test_other_lines_are_skipped():
    text = ";; made by hand\n\nSPKR-INFO a 1 <NA> <NA> <NA> unknown x <NA>\nSPEAKER a 1 1 2 <NA> <NA> x <NA> <NA>\n"
    assert parse_rttm(text) == {"a": [RttmSegment(1.0, 3.0, "x")]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("SPEAKER a 1 0 1", "line 2: expected at least 8 fields, got 5"),
        ("SPEAKER a 1 x 1 <NA> <NA> s", "line 2: expected start and duration, got 'x 1'"),
        ("SPEAKER a 1 0 -1 <NA> <NA> s", "line 2: expected times of 0 s or more, got '0 -1'"),
        ("SPEAKER a 1 0 nan <NA> <NA> s", "line 2: expected times of 0 s or more, got '0 nan'"),
    ],
)
def test_broken_lines_are_named(line: str, message: str):
    with pytest.raises(TurnstreamError, match=message):
        parse_rttm("\n" + line)


@pytest.mark.parametrize("times", ["PK" + "\0" * 4000 + " 1", "0 -" + "1" * 4000, "0 " + "name " * 4000])
def test_an_error_is_short_however_long_the_line_is(times: str):
    with pytest.raises(TurnstreamError, match="RTTM line 1: expected") as told:
        parse_rttm(f"SPEAKER a 1 {times} <NA> <NA> s")
    assert len(str(told.value)) < 200
