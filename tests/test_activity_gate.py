"""The benchmark of windows that the activity path saves, on a piece of the demo recording."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from benchmarks.activity_gate import gate
from turnstream.clients.evaluation.recordings import LazyModels, Recording
from turnstream.weights.store import demo_recording

SECONDS = 12


@pytest.mark.slow
def test_silence_saves_windows_and_loses_no_speech(tmp_path: Path) -> None:
    demo = demo_recording()[0]
    samples, rate_hz = soundfile.read(demo, dtype="int16", stop=SECONDS * 16_000)
    soundfile.write(tmp_path / "piece.wav", samples, rate_hz)
    lines = demo.with_suffix(".rttm").read_text().splitlines(keepends=True)
    (tmp_path / "piece.rttm").write_text("".join(line for line in lines if float(line.split()[3]) < SECONDS - 2))
    figures = gate([Recording(tmp_path / "piece.wav", tmp_path, LazyModels())])
    assert figures["paused.windows_saved"].value > 50  # a minute of a quiet room after 12 s
    paused = [figures[f"paused.{name}.live_1s.collar_0.der"].value for name in ("every_window", "gate")]
    assert paused[1] < paused[0] + 5
