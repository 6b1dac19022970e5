"""The regression guard: what decides, what does not, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import compare, verdict
from benchmarks.results import Figure, Result


def figure(value: float, kind: str, spread: tuple[float, float] | None = None, **other: Any) -> Figure:
    return Figure(value, other.pop("unit", "x"), kind, other.pop("better", "lower"), spread)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (figure(10, "time"), figure(100, "time"), "shown only"),
        (figure(60, "count"), figure(61, "count"), "worse"),
        (figure(60, "count"), figure(59, "count"), "better"),
        (figure(60, "count", better="neither"), figure(61, "count", better="neither"), "changed"),
        (figure(60, "count", better="higher"), figure(59, "count", better="higher"), "worse"),
        (figure(10, "error"), figure(10.1, "error"), "within noise"),
        (figure(10, "error"), figure(10.3, "error"), "worse"),
        (figure(0, "error"), figure(1e-9, "error"), "worse"),
        (figure(0.1, "error", unit="%"), figure(0.14, "error", unit="%"), "within noise"),
        (figure(0.1, "error", unit="%"), figure(0.2, "error", unit="%"), "worse"),
        (figure(0.1, "error", unit="%", better="higher"), figure(0.2, "error", unit="%", better="higher"), "better"),
        (figure(0.7, "ratio"), figure(0.76, "ratio"), "within noise"),
        (figure(0.7, "ratio"), figure(0.8, "ratio"), "worse"),
        (figure(0.7, "ratio", (0.6, 0.79)), figure(0.8, "ratio", (0.75, 0.9)), "within noise"),
        (figure(0.7, "ratio", (0.69, 0.71)), figure(0.8, "ratio", (0.78, 0.82)), "worse"),
        (figure(0.7, "ratio", (0.699, 0.701)), figure(0.71, "ratio", (0.709, 0.711)), "within noise"),
        (figure(0.8, "ratio", (0.78, 0.82)), figure(0.7, "ratio", (0.69, 0.71)), "better"),
        (figure(5, "count"), figure(5, "count"), "same"),
    ],
)
def test_the_kind_decides(old: Figure, new: Figure, expected: str) -> None:
    assert verdict(old, new) == expected


def test_figures_of_another_unit_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same kind, unit and direction"):
        verdict(figure(1, "error", unit="s"), figure(1, "error", unit="ms"))


def stored(folder: Path, figures: dict[str, Figure], name: str = "x", **fields: Any) -> Path:
    return Result(name, "c", figures, **fields).write(folder)


def test_what_got_worse_is_named_and_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = stored(
        tmp_path / "a", {"windows": figure(60, "count"), "hop": figure(20, "time"), "gone": figure(1, "count")}
    )
    new = stored(
        tmp_path / "b", {"windows": figure(61, "count"), "hop": figure(90, "time"), "more": figure(1, "count")}
    )
    assert compare(old, new) == 1
    shown = capsys.readouterr().out
    assert "got worse:\n  x:windows\n" in shown
    assert "x:hop" not in shown
    assert "x:gone: only in the old" in shown
    assert "x:more: only in the new" in shown
    assert compare(new, old) == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"seed": 1}, "other seed"),
        ({"parameters": {"hours": 8}}, "other parameters"),
        ({"data": [{"name": "a", "sha256": "2"}]}, "other data: a"),
    ],
)
def test_other_data_seed_or_parameters_are_not_comparable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, Any], reason: str
) -> None:
    plain = {"data": [{"name": "a", "sha256": "1"}], "seed": 0, "parameters": {"hours": 1}}
    old = stored(tmp_path / "a", {"n": figure(60, "count")}, **plain)
    new = stored(tmp_path / "b", {"n": figure(90, "count")}, **{**plain, **fields})
    assert compare(old, new) == 2
    assert reason in capsys.readouterr().out


def test_folders_are_compared_result_by_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        stored(folder, {"n": figure(1, "count")}, "both")
    stored(a, {"n": figure(1, "count")}, "only_old")
    assert compare(a, b) == 0
    assert f"only_old: only in {a}" in capsys.readouterr().out
    (b / "both.json").unlink()
    assert compare(a, b) == 2
    with pytest.raises(ValueError, match="two files or two folders"):
        compare(a, a / "both.json")
