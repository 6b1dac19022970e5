"""Shared fixtures: where the real recordings are, and a clear skip where they are not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from served import Served, served

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """No property has a time limit; children get SIGINT and SIGHUP as from a terminal, wherever the suite runs.

    Under nohup and in the background it starts with one of them ignored; children inherit that, and Python then has no
    KeyboardInterrupt to raise.
    """
    settings.register_profile("turnstream", deadline=None)  # a busy machine is no defect
    settings.load_profile("turnstream")
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def speech_data() -> Path:
    """The folder of real speech (ami/, speakers/, sim_dev/, ...), beside the checkout or named by TURNSTREAM_DATA."""
    path = Path(os.environ.get("TURNSTREAM_DATA", ROOT.parent / "shared" / "data"))
    if not (path / "ami").is_dir():
        pytest.skip(f"no real-speech folder at {path}: set TURNSTREAM_DATA to run this")
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`turnstream serve` in a process of its own, for tests of what talks to it."""
    with served(tmp_path_factory.mktemp("served")) as process:
        yield process
