"""Results of benchmarks: what is written is read back, and figures are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.results import Figure, Result, asked, median, ratio, read, read_all
from benchmarks.summary import summary, write


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    figures = {"a.p50": Figure(1.5, "ms", "time", spread=(1.0, 2.0)), "b": Figure(3, "windows", "count", "neither")}
    path = Result("x", "python -m x", figures, {"n": 1}, {"s": [1, 2]}, seed=4, load=0.1).write(tmp_path / "new")
    stored = read(path)
    assert stored.figures == figures
    assert (stored.fields["name"], stored.fields["seed"], stored.fields["series"]) == ("x", 4, {"s": [1, 2]})
    assert list(read_all(tmp_path / "new")) == ["x"]
    assert read_all(tmp_path / "none") == {}


@pytest.mark.parametrize("text", ["no json", "[]", '{"schema": 0}', '{"schema": 1, "figures": {"a": {"value": 1}}}'])
def test_what_is_no_result_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"expected .* odd\.json|odd\.json"):
        read(path)


def test_a_value_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Result("x", "c", {"a": Figure(float("nan"), "s", "error")}).write(tmp_path)


def test_the_command_names_no_folder_of_this_machine() -> None:
    words = ["/a/b/sim_dev", "--json", "/tmp/out", "--name", "der_x", "--cache=/c", "--latency", "0.5", "1"]
    assert asked("benchmarks.der", words) == "python -m benchmarks.der sim_dev --name der_x --latency 0.5 1"


def test_a_ratio_is_of_medians_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(1)
    ours, others = rng.normal(2, 0.1, 40), rng.normal(4, 0.1, 40)
    found = ratio(ours, others)
    assert found.value == pytest.approx(0.5, abs=0.02)
    assert found.spread
    assert found.spread[0] < found.value < found.spread[1] < 0.55
    assert median([3.0, 1.0, 2.0], "ms", "time") == Figure(2.0, "ms", "time", "lower", (1.0, 3.0))


def test_the_summary_shows_every_figure_and_where_it_is_from(tmp_path: Path) -> None:
    figures = {"lag.p50": Figure(12.3456, "ms", "time", spread=(10, 20)), "n": Figure(1200, "windows", "count")}
    data = [{"name": "a.flac", "sha256": "f" * 64, "duration_s": 1.0}]
    Result("one", "python -m one", figures, data=data, seed=3).write(tmp_path)
    Result("two", "python -m two", {"k": Figure(1, "ratio", "ratio")}).write(tmp_path)
    page = write(tmp_path).read_text()
    assert page == summary(read_all(tmp_path)) == summary(dict(reversed(read_all(tmp_path).items())))
    assert "| lag.p50 | 12.35 | ms | 10 to 20 | time | lower |" in page
    assert "| n | 1200 | windows |  | count | lower |" in page
    assert "- command: `python -m one`" in page
    assert "a.flac (ffffffffffff)" in page
    assert "- seed: 3" in page
    assert page.index("## one") < page.index("## two")


def test_a_share_is_no_path() -> None:
    words = ["/somewhere/meetings", "--half", "2/2", "--cache", "/somewhere"]
    assert asked("benchmarks.meetings", words) == "python -m benchmarks.meetings meetings --half 2/2"
