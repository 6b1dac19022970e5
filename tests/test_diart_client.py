"""diart's own client, unchanged, against the server: it sends a recording and gets RTTM."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from served import served

from turnstream.rttm import parse_rttm
from turnstream.weights.store import demo_recording

VERSION = "0.9.2"
LIMIT_S = 120


@pytest.fixture
def python() -> str:
    """An interpreter that has diart; its requirements and ours do not go together in one environment."""
    program = os.environ.get("DIART_PYTHON", sys.executable)
    asks = "import diart.console.client, importlib.metadata as m; print(m.version('diart'))"
    found = subprocess.run([program, "-c", asks], capture_output=True, text=True).stdout.strip()
    if found != VERSION:
        pytest.skip(f"no diart {VERSION} in {program}: set DIART_PYTHON to an interpreter that has it")
    return program


def test_diarts_client_gets_rttm_of_both_speakers(python: str, tmp_path: Path) -> None:
    talk, told = tmp_path / "talk.wav", tmp_path / "told.rttm"
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16", start=100_000, stop=372_000)
    soundfile.write(talk, samples, 16_000)
    with served(tmp_path, "--root", "diart") as server:
        command = [python, "-m", "diart.console.client", str(talk), "--host", "127.0.0.1", "--port", str(server.port)]
        client = subprocess.Popen([*command, "-o", str(told)], stdout=subprocess.DEVNULL)
        try:  # it never ends by itself
            deadline_s = time.monotonic() + LIMIT_S
            while time.monotonic() < deadline_s and not _reaches(told, 14.0):
                time.sleep(0.2)
        finally:
            client.kill()
            client.wait()
    (segments,) = parse_rttm(told.read_text()).values()
    assert segments[-1].end_s >= 14.0
    assert len({segment.speaker for segment in segments}) >= 2
    assert sum(segment.end_s - segment.start_s for segment in segments) > 10


def _reaches(path: Path, end_s: float) -> bool:
    """Whether the RTTM written so far goes on to `end_s`."""
    lines = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return any(segment.end_s >= end_s for segments in parse_rttm(lines).values() for segment in segments)
