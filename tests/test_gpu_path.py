"""The whole GPU path, on a machine without a GPU: `tests/gpu_path.py` forces it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

LIMIT_S = 900


def run(*command: str) -> str:
    """What a child process without Numba says."""
    ran = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    return ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("file", ["convpool", "lstm", "sincnet", "carried_state", "segmentation", "embedding"])
def test_the_kernel_and_model_tests_pass(file: str) -> None:
    """As on a Mac, where tests that hand NumPy arrays to MLX operations would fail."""
    some = [] if file == "carried_state" else ["-m", "not slow"]
    said = run("-m", "pytest", "-q", "-p", "tests.gpu_path", *some, f"tests/test_{file}.py")
    assert " passed" in said
