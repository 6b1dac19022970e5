"""What a kernel test does where something is missing: a printed skip, or a failure where it was required."""

from __future__ import annotations

import os

import pytest

from metal_on_cpu.build import has_compiler

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="needs Linux and g++ to simulate GPU kernels")


def need(present: bool, what: str, required_by: str) -> None:
    """Skips the test where `what` is missing; fails it if the environment variable `required_by` is 1."""
    if present:
        return
    if os.environ.get(required_by) == "1":
        pytest.fail(f"{required_by}=1, and there is no {what} here")
    pytest.skip(f"no {what} here ({required_by}=1 makes this a failure)")
