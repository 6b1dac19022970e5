"""The whole GPU path, on a machine without a GPU: `tests/gpu_path.py` forces it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from metal_on_cpu import needs_compiler

from tests import gpu_results
from tests.gpu_results import Arrays
from turnstream.kernels.backend import CACHE_LIMIT_BYTES
from turnstream.models.segmentation import on_cpu_kernels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not on_cpu_kernels(), reason="needs the CPU kernels to compare with"),
]

LIMIT_S = 900
# All of test_carried_state is marked slow. Which mistakes parity sees does not depend on the path.
# Of batches the small ones are enough: array operations do not depend on how many there are.
CHOSEN = (
    "(test_carried_state or not slow) and not fails_for and not operations_alone and not jump_starts_anew"
    " and not (batch_is_its_windows and 8) and not (batch_is_its_streams and 5)"
)
TESTED = ("convpool", "lstm", "sincnet", "carried_state", "segmentation", "embedding")
LOG_PROBABILITY = 2e-4
SILENCE = 1e-3  # the CPU kernels themselves are 4e-4 off there
DISTANCE = 1e-6  # 1 - cosine


def run(*command: str) -> str:
    """What a child process says."""
    ran = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    return ran.stdout


def child_results(folder: Path, how: str) -> Arrays:
    run("-m", "tests.gpu_results", str(folder / f"{how}.npz"), how)
    with np.load(folder / f"{how}.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def expected() -> Arrays:
    """Of the CPU kernels."""
    return gpu_results.results()


@pytest.fixture(scope="module")
def got(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    """Of the forced GPU path."""
    return child_results(tmp_path_factory.mktemp("forced"), "forced")


def compare(got: np.ndarray, expected: np.ndarray, bound: float = LOG_PROBABILITY) -> None:
    assert np.abs(got - expected).max() < bound
    assert (got.argmax(-1) == expected.argmax(-1)).all()


def test_windows_and_activity_equal_the_cpu_kernels(got: Arrays, expected: Arrays) -> None:
    names = [f"window at {second} s" for second in gpu_results.WINDOWS_S]
    for name in [*names, "activity"]:
        compare(got[name], expected[name])
    compare(got["silent window"], expected["silent window"], SILENCE)


def test_embeddings_equal_the_cpu_kernels(got: Arrays, expected: Arrays) -> None:
    ours, theirs = (arrays["embeddings"].astype(np.float64) for arrays in (got, expected))
    assert len(ours) == len(gpu_results.CROPS_ROWS)
    cosine = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert (1 - cosine).max() < DISTANCE


def test_a_file_has_the_same_turns(got: Arrays, expected: Arrays) -> None:
    assert len(str(expected["rttm"]).splitlines()) > 3
    assert str(got["rttm"]) == str(expected["rttm"])


def test_the_models_limit_the_buffer_cache(got: Arrays) -> None:
    assert got["cache limit"] == CACHE_LIMIT_BYTES


@needs_compiler
def test_a_window_through_the_simulated_bodies(tmp_path: Path, expected: Arrays) -> None:
    ((name, logp),) = child_results(tmp_path, "shim").items()
    compare(logp, expected[name])


def test_the_tests_of_kernels_and_models_pass() -> None:
    """As on a Mac, where tests that hand NumPy arrays to MLX operations would fail."""
    files = [f"tests/test_{name}.py" for name in TESTED]
    said = run("-m", "pytest", "-q", "-p", "tests.gpu_path", "-k", CHOSEN, "-rA", *files)
    assert all(f"PASSED {file}::" in said for file in files)
