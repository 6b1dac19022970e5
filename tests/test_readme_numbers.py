"""The numbers of README and docs/measured.md: filled in from results, checked against them, true of this checkout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import plan, readme
from benchmarks.readme import BEGIN, END, NOT_MEASURED, PAGES, ROOT, Filler, differences, template
from benchmarks.results import FOLDER, Figure, Result, read_all


@pytest.fixture
def filler(tmp_path: Path) -> Filler:
    figures = {"hop.whole.p50": Figure(26.71, "ms", "time"), "labels.0.5s.first": Figure(0.3, "s", "error")}
    Result("latency", "python -m benchmarks.latency", figures, seed=3).write(tmp_path)
    return Filler(read_all(tmp_path))


def test_figures_and_facts_are_filled_in(filler: Filler) -> None:
    text = filler.fill(
        "`{latency@command}`: {latency:hop.whole.p50:.1f} ms, {latency:labels.0.5s.first}, {latency@seed}"
    )
    assert text == "`python -m benchmarks.latency`: 26.7 ms, 0.3 s, 3\n"
    assert filler.missing == []


def test_what_was_not_measured_is_said(filler: Filler) -> None:
    assert filler.fill("{latency:hop.whole.p99:.1f}; {serve:x}; {serve@commit}") == "; ".join([NOT_MEASURED] * 3) + "\n"
    assert filler.missing == ["{latency:hop.whole.p99:.1f}, but there is hop.whole.p50"]


@pytest.mark.parametrize(
    "wrong", ["{latency}", "{}", "{lateny:hop}", "{latency:hop.whole.p50:.1q}", "{latency@nothing}", "{picture:none}"]
)
def test_braces_that_mean_nothing_are_an_error_that_names_them(filler: Filler, wrong: str) -> None:
    with pytest.raises(ValueError, match=rf":2: .*{re.escape(wrong)}"):
        filler.fill(f"first line\n{wrong}")


def test_rows_not_measured_or_with_uncommitted_changes_are_left_out(filler: Filler) -> None:
    rows = "| what | figure |\n|---|---|\n| a | {latency:hop.whole.p50} |\n| b | {serve:x} |\n"
    filler.results["latency"].fields["commit"] = "0123456789ab"
    assert "| a | 26.71 ms |" in filler.fill(rows)
    filler.results["latency"].fields["commit"] = "0123456789ab-dirty"
    assert filler.fill(rows) == "| what | figure |\n|---|---|\n"


def test_lines_that_differ_are_named_by_their_number() -> None:
    text = f"# Title\n\n{BEGIN}\nsame\nold 1\n{END}\nrest\n"
    assert differences("a.md", text, "same\nold 1\n") == []
    assert differences("a.md", text, "same\nnew 2\n") == ["a.md:5: is        old 1", "a.md:5: should be new 2"]
    with pytest.raises(ValueError, match="expected <!-- measured"):
        differences("a.md", "no markers", "same\n")


def test_written_is_what_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, results = tmp_path / "docs/measured.md", tmp_path / "results"
    Result("engine", "c", {"memory.peak": Figure(352, "MiB", "time")}).write(results)
    (file := results / "engine.json").write_text(re.sub(r'("commit": "[^"]*?)(-dirty)?"', r'\1"', file.read_text()))
    path.parent.mkdir()
    for page in PAGES:
        (tmp_path / page).write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    assert readme.run(tmp_path, results, write=False) == 1
    assert readme.run(tmp_path, results, write=True) == 0
    assert readme.run(tmp_path, results, write=False) == 0
    assert "352 MiB peak" in path.read_text()
    path.write_text(path.read_text().replace("352", "300"))
    capsys.readouterr()
    assert readme.run(tmp_path, results, write=False) == 1
    assert "300 MiB peak" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_a_template_names_results_that_benchmarks_make(page: str) -> None:
    named = set(re.findall(r"\{([a-z0-9_]+)[:@]", template(page))) - {"picture"}
    assert named <= plan.RESULTS
    Filler({}, page=page).fill(template(page))


def test_the_pages_say_what_the_stored_results_say() -> None:
    assert readme.run(ROOT, FOLDER, write=False) == 0
