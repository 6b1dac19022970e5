"""Emission lag through a virtual microphone: from the sound being played to the line of `turnstream mic --json`.

A recording is written into a sound server's null sink at real time, `turnstream mic` hears the sink's monitor. What
it recorded says where the recording's samples are in its own time, so the line that names a window's last frame names
a sample that was written at a known moment. Then the sample waits in the buffers of the program that plays it, which
are long enough that a busy machine does not empty them; for how long, the sound server tells. It was played when it
was written plus the median of that, and how far its answers lie apart is the uncertainty.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy.signal import correlate

from benchmarks.results import Figure, quantiles
from benchmarks.speed.live_clients import WARM_S, window_end_s
from tests.pulse import PulseServer, missing, pulse_server
from turnstream.weights.store import models_where
from turnstream.windows import SAMPLE_RATE_HZ

WRITE_S = 0.01  # of audio that is written at once
PLAY_BUFFER_MS = 200
MOST_PLAYOUT_MS = 300
TAIL_S = 2.0  # of silence behind the recording
PIECE_S = 4.0  # of audio that is looked for in what was recorded
MOST_START_S = 5.0  # that the microphone listens before the recording begins, or later
MOST_SHIFT_S = 0.005  # by which the pieces may differ: more would be audio that was lost
LEAST_ALIKE = 0.9
LIMIT_S = 30  # for the models to be loaded, and for the final result
Line = tuple[float, dict[str, Any]]
Samples = NDArray[np.int16]


class Disturbed(Exception):
    """What was heard is not what was played: the lag cannot be told."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One run. `written_s[n]` is when the audio up to (n + 1) WRITE_S was written; all moments are monotonic.

    recorded: what the microphone heard, (N,) at 16 kHz, from its first sample on
    playout_ms: how long what was written waited to be played, asked now and then
    """

    lines: list[Line]
    written_s: list[float]
    playout_ms: list[float]
    recorded: NDArray[np.float32]


def not_here() -> str | None:
    """Why there can be no virtual microphone, or None."""
    return missing()


def listen(samples: Samples) -> Heard:
    """Play 16 kHz audio into a microphone that `turnstream mic` listens to. Raises AssertionError where that fails."""
    samples = np.pad(samples, (0, round(TAIL_S * SAMPLE_RATE_HZ)))
    with tempfile.TemporaryDirectory() as name, pulse_server(Path(name)) as pulse:
        recording = Path(name) / "heard.wav"
        command = [str(Path(sys.executable).with_name("turnstream")), "mic", "--json", "--record", str(recording)]
        env = {**pulse.env, "TURNSTREAM_CACHE": str(models_where())}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env, start_new_session=True
        ) as process:
            lines: list[Line] = []
            reader = threading.Thread(target=_read, args=(process, lines))
            reader.start()
            try:
                _wait_for_a_line(process, lines)
                written_s, playout_ms = _play(pulse, samples)
                process.send_signal(signal.SIGTERM)  # where this runs in the background, SIGINT is ignored
                reader.join(LIMIT_S)
            finally:
                process.kill()
                reader.join()
        heard, rate_hz = soundfile.read(recording, dtype="float32")
    assert lines[-1][1]["type"] == "final", f"expected a final result, got {lines[-1][1]}"
    assert lines[-1][1]["turns"], "expected turns in what the microphone heard, got none"
    return Heard(lines, written_s, playout_ms, soxr.resample(heard, rate_hz, SAMPLE_RATE_HZ))


def _read(process: subprocess.Popen[str], lines: list[Line]) -> None:
    assert process.stdout
    for line in process.stdout:
        lines.append((time.monotonic(), json.loads(line)))


def _wait_for_a_line(process: subprocess.Popen[str], lines: list[Line]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not lines:
        listens = process.poll() is None and time.monotonic() < end_s
        assert listens, "turnstream mic does not listen: run it to see why"
        time.sleep(0.05)


def _play(pulse: PulseServer, samples: Samples) -> tuple[list[float], list[float]]:
    """When each piece was written, and how long what is written then waits to be played, asked now and then."""
    shape = ["--format=s16le", f"--rate={SAMPLE_RATE_HZ}", "--channels=1"]
    command = ["pacat", "--playback", f"--latency-msec={PLAY_BUFFER_MS}", "--device=sink", *shape]
    written_s, playout_ms, size = [], [], round(WRITE_S * SAMPLE_RATE_HZ)
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=pulse.env) as player:
        assert player.stdin
        pipe = player.stdin.fileno()
        _settle(pulse, pipe)
        begun_s, asking = time.monotonic(), None
        for number, start in enumerate(range(0, len(samples), size)):
            time.sleep(max(0.0, begun_s + number * WRITE_S - time.monotonic()))
            os.write(pipe, samples[start : start + size].astype("<i2").tobytes())
            written_s.append(time.monotonic())
            if number % 100 == 50:  # asked beside the writing
                asking, backlog_ms = _ask(pulse), _backlog_ms(pipe)
            if number % 100 == 90 and asking:
                playout_ms.append(backlog_ms + playout_of(asking.communicate()[0]))
        player.stdin.close()
        player.wait(LIMIT_S)
    return written_s, playout_ms


def _settle(pulse: PulseServer, pipe: int) -> None:
    """Play silence until what is written is played at once: a sink that idled has played its next two seconds."""
    end_s, size = time.monotonic() + LIMIT_S, round(WRITE_S * SAMPLE_RATE_HZ)
    for number in itertools.count():
        if _backlog_ms(pipe) == 0:  # or it would wait before all that follows
            os.write(pipe, bytes(2 * size))
        time.sleep(WRITE_S)
        if number % 50 == 49 and playout_of(_ask(pulse).communicate()[0]) < MOST_PLAYOUT_MS:
            return
        assert time.monotonic() < end_s, f"expected a sink that plays within {MOST_PLAYOUT_MS} ms"


def _backlog_ms(pipe: int) -> float:
    """Of what was written, what the player has not taken yet."""
    count = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return 1e3 * int.from_bytes(count, sys.byteorder) / 2 / SAMPLE_RATE_HZ


def _ask(pulse: PulseServer) -> subprocess.Popen[str]:
    command = ["pactl", "--format=json", "list", "sink-inputs"]
    return subprocess.Popen(command, env=pulse.env, stdout=subprocess.PIPE, text=True)


def playout_of(answer: str) -> float:
    """Milliseconds that audio waits in the buffers of the one program that plays, from what pactl tells in JSON."""
    (player,) = json.loads(answer)
    return (float(player["buffer_latency_usec"]) + float(player["sink_latency_usec"])) / 1e3


def shift_s(samples: Samples, recorded: NDArray[np.float32]) -> float:
    """Where the recording's beginning is in what the microphone heard, in seconds.

    Raises Disturbed where its pieces are not found, or not at the same distance: the player stood still then, or audio
    was lost.
    """
    size, found = round(PIECE_S * SAMPLE_RATE_HZ), []
    for start in range(0, len(samples) - size + 1, size):
        piece = samples[start : start + size].astype(np.float32) / 2**15
        if np.sqrt(np.mean(piece**2)) < 0.003:  # silence is everywhere
            continue
        begin = max(0, start - round(MOST_START_S * SAMPLE_RATE_HZ))  # not everywhere: the recording may be a loop
        near = recorded[begin : start + size + round(MOST_START_S * SAMPLE_RATE_HZ)]
        if len(near) < size:
            raise Disturbed(f"expected {size} samples around sample {start}, the microphone heard {len(near)}")
        products = correlate(near, piece, "valid", method="fft")
        best = int(products.argmax())
        at = begin + best
        alike = products[best] / (np.linalg.norm(piece) * np.linalg.norm(recorded[at : at + size]) + 1e-12)
        played_s = start / SAMPLE_RATE_HZ
        if alike < LEAST_ALIKE:
            raise Disturbed(f"expected to hear what was played at {played_s:.0f} s, alike by {alike:.2f}")
        found.append((at - start) / SAMPLE_RATE_HZ)
    if not found or np.ptp(found) > MOST_SHIFT_S:
        raise Disturbed(f"expected what was played at one distance, got {found} s for pieces of {PIECE_S:.0f} s")
    return float(np.median(found))


def lags_ms(heard: Heard, at_s: float) -> list[float]:
    """From when the last sample of a window was played to when the first line that the window tells arrived.

    `at_s` is the time of the recording's beginning in the microphone's stream. Windows that end before or behind the
    recording are left out.
    """
    playout_ms = statistics.median(heard.playout_ms)
    seen: set[float] = set()
    lags = []
    for arrived_s, line in heard.lines:
        end_s = window_end_s(line["end"], line["state"]) if line["type"] == "turn" else None
        if end_s is None or end_s in seen:
            continue
        seen.add(end_s)
        number = int(np.ceil(round((end_s - at_s) / WRITE_S, 6))) - 1  # the piece that its last sample was in
        if WARM_S / WRITE_S <= number < len(heard.written_s):
            lags.append(1e3 * (arrived_s - heard.written_s[number]) - playout_ms)
    assert lags, "expected windows at whose end somebody talks, got none"
    return lags


def measure(samples: Samples) -> tuple[list[float], list[float]]:
    """(lags in ms from played to told, ms in the player's buffers) of 16 kHz audio played once. Raises Disturbed."""
    heard = listen(samples)
    return lags_ms(heard, shift_s(samples, heard.recorded)), heard.playout_ms


def figures(lags: Sequence[float], playout_ms: Sequence[float]) -> dict[str, Figure]:
    """`microphone.lag.*` from when a sample was played, and how long it had waited since it was written."""
    return {
        **quantiles("microphone.lag", lags, "ms"),
        "microphone.lag.windows": Figure(len(lags), "windows", "time", "neither"),
        "microphone.playout": Figure(
            statistics.median(playout_ms), "ms", "time", "neither", (min(playout_ms), max(playout_ms))
        ),
    }
