"""From the start of a process to its first label, and where that time goes.

    python -m benchmarks.speed.cold RECORDING BEGUN   (the process measured; BEGUN is its parent's monotonic clock)

Two kinds of processes: the engine alone, which notes when each part is done, and `turnstream file --json` as a user
starts it. Both get the recording as fast as they take it: with a microphone the audio that the first window needs
(algorithm.first_window) comes on top. Files are in the system's memory, as after any earlier run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, median

PARTS = ("interpreter", "imports", "weights", "models", "first_window", "first_label")
LIMIT_S = 300


def marks(recording: Path, begun_s: float) -> dict[str, float]:
    """Seconds from the start of this process until each part was done; the parts in order."""
    done = {"interpreter": time.monotonic() - begun_s}

    def mark(part: str) -> None:
        done[part] = time.monotonic() - begun_s

    import soundfile

    from turnstream import diarizer as engine
    from turnstream.events import Turn

    mark("imports")
    read = vars(engine)["segmentation_weights"]  # what is read last

    def marked(path: Path | str | None) -> Any:
        weights = read(path)
        mark("weights")
        return weights

    vars(engine)["segmentation_weights"] = marked
    with engine.Diarizer() as diarizer:
        mark("models")
        samples, rate_hz = soundfile.read(recording, dtype="float32")
        session = diarizer.session(sample_rate_hz=rate_hz, channels=1 if samples.ndim == 1 else samples.shape[1])
        for start in range(0, len(samples), rate_hz // 50):
            events = session.feed(samples[start : start + rate_hz // 50])
            if diarizer.models.counts.windows and "first_window" not in done:
                mark("first_window")
            if any(isinstance(event, Turn) for event in events):
                mark("first_label")
                break
    return done


def start(recording: Path, env: Mapping[str, str] | None = None) -> dict[str, float]:
    """`marks` of a fresh process. Raises AssertionError where it does not get to a label."""
    command = [sys.executable, "-m", "benchmarks.speed.cold", str(recording), repr(time.monotonic())]
    found = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=env, check=False)
    assert found.returncode == 0, f"the process measured failed: {found.stderr[-500:]}"
    done: dict[str, float] = json.loads(found.stdout)
    assert tuple(done) == PARTS, f"expected {PARTS}, got {tuple(done)}"
    return done


def start_command(recording: Path) -> float:
    """Seconds from the start of `turnstream file --json` to its first line that tells a turn."""
    command = [str(Path(sys.executable).with_name("turnstream")), "file", "--json", str(recording)]
    begun_s = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        told_s = next((time.monotonic() - begun_s for line in process.stdout if '"type":"turn"' in line), None)
        process.kill()
    assert told_s is not None, f"expected a turn of `turnstream file {recording}`, got none"
    return told_s


def parts_of(done: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each part by itself, from the times at which they were done."""
    return {part: done[part] - (done[PARTS[n - 1]] if n else 0.0) for n, part in enumerate(PARTS)}


def figures(recording: Path, starts: int, first_ever: bool) -> dict[str, Figure]:
    """`cold.PART` of so many starts, in s; `cold.first_ever.*` is one start that has every kernel to compile."""
    start(recording)  # kernels compiled, files in memory
    runs = [start(recording) for _ in range(starts)]
    found = {f"cold.{part}": median([parts_of(done)[part] for done in runs], "s", "time") for part in PARTS}
    found["cold.whole"] = median([done["first_label"] for done in runs], "s", "time")
    found["cold.turnstream_file"] = median([start_command(recording) for _ in range(starts)], "s", "time")
    if first_ever:
        with tempfile.TemporaryDirectory() as folder:
            done = start(recording, {**os.environ, "NUMBA_CACHE_DIR": folder})
        found["cold.first_ever.models"] = Figure(parts_of(done)["models"], "s", "time")
        found["cold.first_ever.whole"] = Figure(done["first_label"], "s", "time")
    return found


if __name__ == "__main__":
    print(json.dumps(marks(Path(sys.argv[1]), float(sys.argv[2]))))
