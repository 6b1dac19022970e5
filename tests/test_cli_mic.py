"""`turnstream mic` on a real capture path: a recording is played into a virtual microphone while it listens."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command import COMMAND
from scipy.signal import correlate, resample_poly

from tests.pulse import PulseServer, pulse_server
from turnstream.weights.store import demo_recording, models_where

pytestmark = pytest.mark.audio

RATE_HZ = 16_000
LATENCY = ("--latency", "1")
LIMIT_S = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mic")


@pytest.fixture(scope="module")
def talk(folder: Path) -> Path:
    """14 s of conversation, after and before some silence: the capture may start and end a little late."""
    samples, rate_hz = soundfile.read(demo_recording()[0], start=6 * RATE_HZ, frames=14 * RATE_HZ)
    assert rate_hz == RATE_HZ
    soundfile.write(folder / "talk.wav", np.pad(samples, RATE_HZ // 2), RATE_HZ)
    return folder / "talk.wav"


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    with pulse_server(tmp_path_factory.mktemp("pulse")) as server:
        yield server


class Listening:
    """`turnstream mic --json` in another process, from when it hears; it ends with the `with` block at the latest."""

    def __init__(self, pulse: PulseServer, *arguments: str):
        env = pulse.env | {"TURNSTREAM_CACHE": str(models_where())}  # the server's home folder has no weights
        command = [str(COMMAND), "mic", "--json", *LATENCY, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self._watchdog = threading.Timer(LIMIT_S, self.process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        self.lines: list[dict[str, Any]] = []
        self.complaint = ""

    def __enter__(self) -> Listening:
        self.lines.append(self._next())
        return self

    def __exit__(self, *error: object) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.communicate()

    def until_committed(self) -> None:
        """Read on until a turn is committed."""
        while self.lines[-1].get("state") != "committed":
            self.lines.append(self._next())

    def ended(self) -> int:
        """Its exit code; `lines` and `complaint` are complete then."""
        rest, self.complaint = self.process.communicate(timeout=LIMIT_S)
        self.lines += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode

    def _next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"turnstream mic ended early: {self.process.communicate(timeout=LIMIT_S)[1]}")
        parsed: dict[str, Any] = json.loads(line)
        return parsed


@dataclass(frozen=True)
class Heard:
    """What came of listening to `talk` until Ctrl-C."""

    code: int
    complaint: str
    lines: list[dict[str, Any]]
    audio: np.ndarray  # the recording that was kept, at 16 kHz
    in_time: bool  # a turn was committed while the talk went on


@pytest.fixture(scope="module")
def heard(pulse: PulseServer, talk: Path, folder: Path) -> Heard:
    with Listening(pulse, "--record", str(folder / "heard.wav")) as listening:
        with pulse.play(talk) as player:
            listening.until_committed()
            in_time = player.poll() is None
        assert player.returncode == 0
        listening.process.send_signal(signal.SIGINT)
        code = listening.ended()
    audio, rate_hz = soundfile.read(folder / "heard.wav")
    return Heard(code, listening.complaint, listening.lines, resample_poly(audio, RATE_HZ, rate_hz), in_time)


def turns_of(line: dict[str, Any]) -> list[dict[str, Any]]:
    assert line["type"] == "final"
    return line["turns"]  # type: ignore[no-any-return]


def delay_samples(audio: np.ndarray, part: np.ndarray) -> int:
    """Where in `audio` `part` is."""
    return int(np.argmax(correlate(audio, part, "valid", "fft")))


def test_ctrl_c_ends_with_the_final_result(heard: Heard):
    assert heard.code == 0, heard.complaint
    assert heard.lines[-1]["type"] == "final"
    assert "Traceback" not in heard.complaint


def test_as_many_turns_as_in_the_file(heard: Heard, talk: Path, folder: Path):
    """The same recording, at the same place in the stream, so that both see the same windows."""
    samples, _ = soundfile.read(talk, start=RATE_HZ // 2)
    delay = delay_samples(heard.audio, samples[: 10 * RATE_HZ])
    soundfile.write(folder / "padded.wav", np.concatenate([np.zeros(delay), samples]), RATE_HZ)
    file = subprocess.run(
        [COMMAND, "file", folder / "padded.wav", "--json", *LATENCY], capture_output=True, text=True, timeout=LIMIT_S
    )
    in_file, by_microphone = turns_of(json.loads(file.stdout.splitlines()[-1])), turns_of(heard.lines[-1])
    assert long_turns(in_file) >= 5
    assert long_turns(by_microphone) >= long_turns(in_file)
    shared = sum(overlap_s(a, b) for a in in_file for b in by_microphone)
    assert shared > 0.9 * sum(turn["end"] - turn["start"] for turn in in_file)


def long_turns(turns: list[dict[str, Any]]) -> int:
    """Turns of half a second or more: the capture resamples twice, which moves the edges of the shortest by a frame."""
    return sum(turn["end"] - turn["start"] >= 0.5 for turn in turns)


def overlap_s(first: dict[str, Any], second: dict[str, Any]) -> float:
    return max(0.0, min(first["end"], second["end"]) - max(first["start"], second["start"]))


def test_turns_come_while_people_talk(heard: Heard):
    assert heard.in_time


def test_time_stays_true_in_the_recording(heard: Heard, talk: Path):
    samples, _ = soundfile.read(talk)
    first, last = samples[2 * RATE_HZ : 5 * RATE_HZ], samples[11 * RATE_HZ : 14 * RATE_HZ]
    passed = delay_samples(heard.audio, last) - delay_samples(heard.audio, first)
    assert passed / RATE_HZ == pytest.approx(9.0, abs=0.05)


def test_unplugging_is_said_and_what_was_heard_is_kept(tmp_path_factory: pytest.TempPathFactory, talk: Path):
    folder = tmp_path_factory.mktemp("gone")
    with pulse_server(folder) as pulse, Listening(pulse, "--record", str(folder / "heard.wav")) as listening:
        with pulse.play(talk):
            listening.until_committed()
            pulse.unplug()
        assert listening.ended() == 1
    assert turns_of(listening.lines[-1])
    sentences = listening.complaint.splitlines()
    assert all(line.startswith("turnstream: ") for line in sentences), sentences  # nothing of ALSA's or PortAudio's
    assert "unplugged" in sentences[-1]
    assert soundfile.info(folder / "heard.wav").duration > 2


def test_seconds_end_the_run_and_the_device_is_named(pulse: PulseServer):
    env = pulse.env | {"TURNSTREAM_CACHE": str(models_where())}
    listed = subprocess.run([COMMAND, "devices"], env=env, capture_output=True, text=True, timeout=LIMIT_S)
    assert listed.returncode == 0, listed.stderr
    (default,) = [line for line in listed.stdout.splitlines() if line.startswith("*")]
    ran = subprocess.run(
        [COMMAND, "mic", "--seconds", "1", "--device", default.split()[1]],
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert ran.returncode == 0, ran.stderr
    assert "0:01.0, 0 speakers, 0 turns\nno speech was found" in ran.stdout
