"""Many recordings in one command: which are left out, one progress over all of them, where Ctrl-C ends them."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from turnstream.clients.batch import Batch
from turnstream.clients.options import FileOptions
from turnstream.clients.sources.source import RecordingSource
from turnstream.clients.terminal.displays import ProgressDisplay
from turnstream.clients.terminal.screen import RunStatus


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seconds in (("a", 10), ("b", 20), ("c", 30)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16_000 * seconds), 16_000)
    (tmp_path / "bad.wav").write_text("no audio")
    return tmp_path


def batch(folder: Path, *names: str) -> Batch:
    return Batch(FileOptions(tuple(folder / name for name in names), realtime=False))


def test_places_count_what_can_be_heard(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = batch(folder, "a.wav", "bad.wav", "b.wav", "none.wav", "c.wav")
    assert found.failed
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert [path.name for path in found.paths] == ["a.wav", "b.wav", "c.wav"]
    places = list(found.places())
    assert [(place.before_s, place.all_s) for place in places] == [(0.0, 60.0), (10.0, 60.0), (30.0, 60.0)]
    assert [place.title(place.path.name) for place in places] == ["a.wav (1 of 3)", "b.wav (2 of 3)", "c.wav (3 of 3)"]
    (alone,) = batch(folder, "a.wav").places()
    assert alone.title("a.wav") == "a.wav"


def test_standard_input_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wav = io.BytesIO()
    soundfile.write(wav, np.zeros(1600), 16_000, format="WAV")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(wav.getvalue())))
    found = Batch(FileOptions((Path("-"), Path("-")), realtime=False))
    assert ([str(path) for path in found.paths], found.failed) == (["stdin"], False)
    (place,) = found.places()
    assert place.all_s is None
    with found.open(place.path) as source:
        assert sum(status.position_s > 0 for _, status in source.steps(Feed())) == 1


def drawn(display_of: Any, *positions_s: float) -> str:
    out = io.StringIO()
    display = display_of(Console(file=out, force_terminal=True, width=120))
    for position_s in positions_s:
        display.update([], RunStatus(position_s))
    display._progress.refresh()
    display.close()
    return out.getvalue()


def test_the_bar_is_over_all_recordings() -> None:
    shown = drawn(lambda console: ProgressDisplay(console, "b.wav (2 of 3)", 60.0, 10.0), 5.0)
    assert "b.wav (2 of 3)" in shown
    assert "0:15.0 of 1:00.0" in shown


def test_where_the_length_is_not_known_the_position_is_shown() -> None:
    shown = drawn(lambda console: ProgressDisplay(console, "standard input", None), 65.0)
    assert "1:05.0," in shown
    assert " of " not in shown
    assert "left" not in shown


class Feed:
    fed = 0

    def feed(self, samples: np.ndarray) -> list[Any]:
        self.fed += len(samples)
        return []

    def gap(self, samples: int) -> list[Any]:
        raise AssertionError


def test_ctrl_c_ends_what_is_played_and_not_what_is_computed(folder: Path) -> None:
    playing, feed = RecordingSource(folder / "a.wav", None, realtime=True), Feed()
    with playing:
        for n, _ in enumerate(playing.steps(feed)):
            if n == 2:
                os.kill(os.getpid(), signal.SIGINT)
    assert playing.stopped
    assert feed.fed == 3 * 1_600
    computing = RecordingSource(folder / "a.wav", None, realtime=False)

    def compute() -> None:
        with computing:
            for _ in computing.steps(Feed()):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        compute()
    assert not computing.stopped
