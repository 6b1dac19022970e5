"""Shared fixtures: where the real recordings are, and a clear skip where they are not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from served import Served, served

if TYPE_CHECKING:
    from browser import Browser

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


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where pictures of the page are left for people to look at."""
    path = ROOT / "tests" / "artifacts"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """17 s of the demo recording with both speakers, 16 kHz and 16 bit, so that a browser changes no sample."""
    import soundfile

    from turnstream.weights.store import demo_recording

    path = tmp_path_factory.mktemp("speech") / "two people.wav"
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16", start=100_000, stop=372_000)
    soundfile.write(path, samples, 16_000)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the files of one module of tests."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def short(folder: Path) -> Path:
    """A few seconds of the demo recording in which two people talk."""
    from command import cut

    from turnstream.weights.store import demo_recording

    return cut(demo_recording()[0], folder / "short.flac", 6.5, 11.0)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone plays the demo recording; of one module, for it keeps an event loop running."""
    import numpy as np
    import soundfile
    from browser import browser

    from turnstream.weights.store import demo_recording

    path = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    samples, _ = soundfile.read(demo_recording()[0], start=98_000)
    soundfile.write(path, np.repeat(samples, 3), 48_000)
    with browser(path) as opened:
        yield opened


@pytest.fixture
def quiet(chromium: Browser) -> Iterator[None]:
    """The browser has nothing to complain about: no exception, nothing that the Content-Security-Policy stopped."""
    chromium.complaints.clear()
    yield
    assert chromium.complaints == []
