"""The microphone for real, without hardware: a PulseAudio null sink is played into and its monitor is heard."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import correlate

from tests.pulse import pulse_server

pytestmark = pytest.mark.audio

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pulse(tmp_path_factory):
    with pulse_server(tmp_path_factory.mktemp("pulse")) as server:
        yield server


HEAR = """
import pathlib, signal, sys, time, numpy as np
from turnstream.clients.sources.microphone import Gap, Microphone

class Dropping(Microphone):  # loses the callbacks of one and a half seconds, without a flag
    def _callback(self, *arguments):
        if not drop_s <= time.monotonic() < drop_s + 1.5:
            super()._callback(*arguments)

seconds, drop_s, out = float(sys.argv[1]), 1e9, sys.argv[2]
parts, gaps = [], 0
with Dropping(record=pathlib.Path(sys.argv[3])) as microphone:
    signal.signal(signal.SIGTERM, lambda *_: microphone.stop())
    for item in microphone:
        if not parts:
            drop_s = time.monotonic() + float(sys.argv[4])
            print("listening", flush=True)
        gaps += isinstance(item, Gap)
        parts.append(np.zeros((item.samples, 1), np.float32) if isinstance(item, Gap) else item.samples)
        if sum(map(len, parts)) > seconds * microphone.rate_hz:
            microphone.stop()
np.savez(out, heard=np.concatenate(parts)[:, 0], rate_hz=microphone.rate_hz, gaps=gaps, ended=microphone.ended or "")
"""


@contextlib.contextmanager
def hearing(
    env: dict[str, str], folder: Path, seconds: float, drop_after_s: float = 1e9
) -> Iterator[subprocess.Popen[str]]:
    """A process that hears what `env` calls its default microphone; listening when it is given."""
    arguments = [seconds, folder / "heard.npz", folder / "out.wav", drop_after_s]
    command = [sys.executable, "-c", HEAR, *map(str, arguments)]
    with subprocess.Popen(command, env=env | {"PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == "listening\n"
            yield process
        finally:
            process.kill()


def bursts(rate_hz: int, seconds: float) -> np.ndarray:
    """Noise that is loud for a moment about four times a second, at irregular times: unmistakable in time."""
    random = np.random.default_rng(0)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    centers = np.arange(0.2, seconds, 0.25) + random.uniform(-0.1, 0.1, len(np.arange(0.2, seconds, 0.25)))
    loud = sum(np.exp(-(((times - center) / 0.03) ** 2)) for center in centers)
    dull = np.convolve(random.standard_normal(len(times)), np.hanning(12) / 3, "same")  # the server resamples
    return (0.3 * np.minimum(loud, 1) * dull.clip(-3, 3)).astype(np.float32)


def place(sound: np.ndarray, part: np.ndarray) -> tuple[int, float]:
    """Where in `sound` the part is, and how alike they are there (1: the same but for a factor)."""
    products = correlate(sound, part, "valid", method="fft")
    at = int(products.argmax())
    there = sound[at : at + len(part)]
    return at, float(products[at] / (np.linalg.norm(part) * np.linalg.norm(there) + 1e-12))


def test_real_capture_has_the_signal_at_its_true_time(pulse, tmp_path):
    rate_hz, seconds = 44100, 5.0
    played = bursts(rate_hz, seconds)
    sf.write(tmp_path / "played.wav", played, rate_hz)
    with hearing(pulse.env, tmp_path, seconds + 2) as process:
        assert pulse.play(tmp_path / "played.wav").wait(30) == 0
        assert process.wait(30) == 0
    heard = np.load(tmp_path / "heard.npz")
    assert heard["rate_hz"] == rate_hz
    assert heard["ended"] == ""
    places = [
        place(heard["heard"], played[start : start + rate_hz]) for start in range(0, len(played) - rate_hz, rate_hz)
    ]
    assert min(alike for _, alike in places) > 0.95
    shifts = np.array([at - number * rate_hz for number, (at, _) in enumerate(places)])
    assert np.ptp(shifts) <= 0.001 * rate_hz
    recorded, _ = sf.read(tmp_path / "out.wav", dtype="float32")
    np.testing.assert_allclose(recorded, heard["heard"], rtol=0, atol=2**-15)


@pytest.mark.parametrize("lost", [False, True])
def test_time_stays_true_whether_audio_is_late_or_lost(pulse, tmp_path, lost):
    """The process stands still: the server keeps the audio, which is late. Callbacks that never come lose it."""
    rate_hz, seconds = 44100, 6.5
    played = bursts(rate_hz, seconds)
    sf.write(tmp_path / "played.wav", played, rate_hz)
    with hearing(pulse.env, tmp_path, seconds + 1, drop_after_s=2.5 if lost else 1e9) as process:
        playing = pulse.play(tmp_path / "played.wav")
        time.sleep(2.5)
        if not lost:
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
            process.send_signal(signal.SIGCONT)
        assert playing.wait(30) == 0
        assert process.wait(30) == 0
    heard = np.load(tmp_path / "heard.npz")
    before, alike_before = place(heard["heard"], played[rate_hz : 2 * rate_hz])
    after, alike_after = place(heard["heard"], played[-2 * rate_hz : -rate_hz])
    assert heard["gaps"] == lost
    assert min(alike_before, alike_after) > 0.95
    assert abs((after - before) / rate_hz - (seconds - 3)) <= (0.05 if lost else 0.001)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_real_recording_is_valid_after_an_interrupt(pulse, tmp_path, ending):
    with hearing(pulse.env, tmp_path, 60) as process:
        time.sleep(1.5)
        process.send_signal(ending)
        process.wait(10)
    recorded, rate_hz = sf.read(tmp_path / "out.wav")
    assert len(recorded) > 0.5 * rate_hz


def test_a_real_microphone_that_is_taken_away(tmp_path):
    with pulse_server(tmp_path) as pulse, hearing(pulse.env, tmp_path, 60) as process:
        time.sleep(1.5)
        pulse.unplug()
        assert process.wait(20) == 0
    heard = np.load(tmp_path / "heard.npz")
    assert len(heard["heard"]) > 0.5 * heard["rate_hz"]
    assert "was it unplugged?" in str(heard["ended"])
