"""`python -m benchmarks`: what it starts, what it leaves out, and that one failure stops nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import plan
from benchmarks.__main__ import asked_more, chosen, clock, run_all
from benchmarks.plan import Step


def test_every_step_has_its_own_name_and_results() -> None:
    for steps in (plan.FULL, plan.QUICK):
        names = [step.name for step in steps]
        results = [result for step in steps for result in step.results]
        assert len(set(names)) == len(names)
        assert len(set(results)) == len(results)


def test_commands_have_their_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "sim_dev").mkdir()
    for name in ("b.flac", "a.flac", "a.rttm"):
        (tmp_path / "sim_dev" / name).touch()
    step = Step("x", "benchmarks.x", ("{data}/sim_dev/*.flac", "--hours", "8"))
    assert step.needs == {"data"}
    files = [str(tmp_path / "sim_dev" / name) for name in ("a.flac", "b.flac")]
    words = ["-m", "benchmarks.x", *files, "--hours", "8", "--json", "out"]
    assert step.command({"data": tmp_path}, Path("out")) == [sys.executable, *words]
    assert plan.ENGINE.command({}, Path("out"))[1:] == [
        *("-m", "pytest", "benchmarks/bench_engine.py", "-s", "-q", "--results", "out")
    ]


def test_names_are_chosen_in_the_order_of_the_plan() -> None:
    assert [step.name for step in chosen(plan.FULL, ["soak", "engine"])] == ["engine", "soak"]
    assert chosen(plan.QUICK, []) == list(plan.QUICK)
    with pytest.raises(ValueError, match=r"expected names of engine, .*, got nothing"):
        chosen(plan.FULL, ["nothing"])


def test_words_for_the_peers_go_to_them_alone() -> None:
    steps = asked_more(plan.QUICK, "peers", ["--diart", "python3"])
    more = {step.name: step.words[len(old.words) :] for step, old in zip(steps, plan.QUICK, strict=True)}
    assert {name for name, words in more.items() if words} == {"peers"}
    assert more["peers"] == ("--diart", "python3")


def test_a_failure_stops_nothing_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there.json").write_text("{}")
    steps = [
        Step("fails", "benchmarks.there_is_no_such_module"),
        Step("wants data", "benchmarks.x", ("{data}",)),
        Step("writes nothing", "json.tool", ("--help",), ("not_there",)),
        Step("works", "json.tool", ("--help",), ("there",)),
    ]
    assert run_all(steps, {}, tmp_path) == (["fails", "writes nothing"], ["wants data"])
    shown = capsys.readouterr().out
    assert "2/4 wants data: not run: no DATA" in shown
    assert "no not_there.json" in shown


def test_what_there_is_no_data_for_may_be_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = Step("x", "benchmarks.x", ("{data}",), instead=Step("y", "json.tool", ("--help",)))
    assert run_all([step], {}, tmp_path) == ([], [])
    assert "y: exit 0" in capsys.readouterr().out


def test_seconds_read_as_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 61.9, 3723)] == ["0:00:00", "0:01:01", "1:02:03"]
