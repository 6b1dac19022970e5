"""Pictures are drawn from stored results alone; what is missing is left out and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.pictures import OUT, PICTURES, _places, der_latency, der_position, draw_all
from benchmarks.results import Figure, Result, read_all
from benchmarks.timeline_drawing import colors_of
from benchmarks.timeline_picture import revisions, rows_of
from turnstream.events import Revision, Turn
from turnstream.rttm import RttmSegment

CONVERSATION: dict[str, Any] = {
    "duration_s": 10.0,
    "reference": [
        {"speaker": "Anna", "start_s": 0.0, "end_s": 4.0},
        {"speaker": "Ben", "start_s": 5.0, "end_s": 9.0},
        {"speaker": "Cleo", "start_s": 9.5, "end_s": 9.9},
    ],
    "offline": [
        {"speaker": "S2", "start_s": 0.1, "end_s": 4.0},
        {"speaker": "S1", "start_s": 5.1, "end_s": 9.0},
    ],
    "live": [{"speaker": "S1", "start_s": 0.1, "end_s": 4.0}, {"speaker": "unknown", "start_s": 5.0, "end_s": 6.0}],
    "revisions": [{"at_s": 6.0, "old": "S1", "new": "S2", "spans": [[0.1, 4.0]]}],
}


def fill(folder: Path) -> None:
    """Results of every picture, made up."""
    series: dict[str, Any] = {"hop_ms": {"whole": [20.0, 25.0, 30.0]}, "websocket_lag_ms": [40.0, 45.0]}
    Result("latency", "c", {}, series=series).write(folder)
    curve = {"latency_s": [0.5, 1.0], "live": [20.0, 18.0], "oracle": [15.0, 14.0], "final": 12.0}
    Result("der_ami", "c", {}, series={"latency": curve}).write(folder)
    hour = {"hop_ms_mean": 5.0, "hop_ms_p95": 8.0, "hop_ms_p99.9": 14.0, "memory_mib": 300}
    Result("long_stream", "c", {}, series={"hours": [hour, hour]}).write(folder)
    lags = {f"lag_ms_p{percent}": [30.0, 90.0] for percent in (50, 95, 99)}
    Result("serve", "c", {}, series={"batched": {"sessions": [1, 8], **lags}}).write(folder)
    places = {f"recordings.1s.der.{place}": Figure(9.0, "%", "error") for place in ("all", "minute_5", "minute_1")}
    Result("drift_decisions", "c", places).write(folder)
    Result("timeline", "c", {}, series=CONVERSATION).write(folder)


@pytest.mark.slow
def test_every_picture_is_drawn_and_the_same_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fill(tmp_path)
    results = read_all(tmp_path)
    for out in ("a", "b"):
        assert draw_all(results, list(PICTURES), tmp_path / out) == []
    for name in PICTURES:
        drawn = (tmp_path / "a" / f"{name}.svg").read_bytes()
        assert drawn == (tmp_path / "b" / f"{name}.svg").read_bytes()
        assert 2_000 < len(drawn) < 200_000


def test_the_picture_that_is_kept_is_small(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fill(tmp_path)
    assert draw_all(read_all(tmp_path), ["timeline"], tmp_path, "png") == []
    assert (tmp_path / "timeline.png").stat().st_size < 100_000
    assert (OUT.parent / "timeline.png").stat().st_size < 100_000


def test_no_curve_leaves_its_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fill(tmp_path)
    curve = {"latency_s": [0.5, 1.0], "live": [40.0, 38.0], "final": 37.0}
    Result("der_fresh", "c", {}, series={"latency": curve}).write(tmp_path)
    figures = {f"{kind}.1s.der.all": Figure(v, "%", "error") for kind, v in (("recordings", 9.0), ("stream", 30.0))}
    Result("drift_decisions", "c", figures).write(tmp_path)
    results = read_all(tmp_path)
    for picture in (der_latency, der_position):
        for axes in picture(results).axes:
            low, high = axes.get_ylim()
            assert all(low <= y <= high for line in axes.get_lines() for y in line.get_ydata())


def test_what_is_not_stored_is_left_out_and_said(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert draw_all({}, ["latency", "der_latency"], tmp_path)[0] == "latency: left out: no latency.json"
    assert list(tmp_path.glob("*.svg")) == []


def test_places_are_in_the_order_of_the_stream(tmp_path: Path) -> None:
    places = ("hour_10", "hour_2", "all", "minute_1", "last_hour")
    figures = {f"stream.0.5s.der.{place}": Figure(1.0, "%", "error") for place in places}
    Result("drift_decisions", "c", figures).write(tmp_path)
    found = _places(read_all(tmp_path)["drift_decisions"], "stream")
    assert [list(line) for line in found.values()] == [["minute 1", "hour 2", "hour 10", "all"]]
    assert list(found) == [0.5]


def test_a_speaker_has_one_colour_in_all_groups() -> None:
    colors = colors_of(CONVERSATION, ["red", "green", "blue"])
    assert colors["reference"] == {"Anna": colors["live"]["S2"], "Ben": colors["live"]["S1"], "Cleo": "blue"}
    assert colors["live"]["unknown"] not in ("red", "green", "blue")


def test_revisions_name_the_stretches_they_rename() -> None:
    first, longer = (Turn("T7", "S1", None, 0.0, end_s, 0.0, "provisional") for end_s in (1.71, 10.013))
    told = [(1.0, first), (2.0, longer), (2.5, Revision(("T7",), "S1", None, "reassigned", 2.4))]
    (found,) = revisions(told)
    assert (found["at_s"], found["old"], found["new"]) == (2.5, "S1", "?")
    assert found["spans"] == [[0.0, 10.013]]


def test_turns_are_cut_at_the_end_of_what_was_played() -> None:
    turns = [RttmSegment(1.0, 3.0, "a"), RttmSegment(5.0, 6.0, "b")]
    assert rows_of(turns, 2.0) == [{"speaker": "a", "start_s": 1.0, "end_s": 2.0}]
