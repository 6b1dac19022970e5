"""Ctrl-C reaches what the tests start, however the suite itself was started."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAYS = """
import signal
print(signal.getsignal(signal.SIGINT) == signal.default_int_handler, signal.getsignal(signal.SIGHUP) == signal.SIG_DFL)
"""


def test_children_can_be_interrupted() -> None:
    ran = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "True True\n"


@pytest.mark.slow
def test_also_where_the_suite_runs_in_the_background() -> None:
    command = f"trap '' INT HUP; exec {sys.executable} -m pytest -q -p no:cacheprovider {__file__} -k children"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout
