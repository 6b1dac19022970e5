"""A recording of hours: how fast `turnstream file` reads it, the most memory it holds, how many people it finds.

    python -m benchmarks.long_file RECORDING.flac... [--hours 8] [--seed 0] [--json FOLDER]

The recording is the stream of benchmarks/long_stream.py as one WAV of 16 bits: the recordings again and again in random
order. The command runs once in a process of its own, loading included; a short recording before it fills the caches of
compiled kernels.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from benchmarks.drifts.compare import errors_in, mapped, speakers
from benchmarks.long_stream import play, reference
from benchmarks.results import Figure, Result, add_json, recording
from benchmarks.speed.peak import peak_mib
from turnstream.clients.evaluation.recordings import Turns, turns_of
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ


def write(recordings: list[Path], hours: float, seed: int, to: Path) -> tuple[Turns, float]:
    """The recording at `to`; its true turns and its seconds."""
    truth, samples_before = [], 0
    with soundfile.SoundFile(to, "w", SAMPLE_RATE_HZ, 1, "PCM_16") as file:
        for path, samples in play(recordings, hours, seed):
            truth += reference(path, samples_before / SAMPLE_RATE_HZ)
            file.write(samples)
            samples_before += len(samples)
    return truth, samples_before / SAMPLE_RATE_HZ


def measure(recordings: list[Path], hours: float, seed: int, folder: Path) -> dict[str, Figure]:
    """Write the recording into the folder and run the command; prints what it comes to."""
    long, out = folder / "long.wav", folder / "long.rttm"
    truth, duration_s = write(recordings, hours, seed, long)
    command = [str(Path(sys.executable).with_name("turnstream")), "file"]
    peak_mib([*command, str(demo_recording()[0])])
    began = time.perf_counter()
    memory_mb = peak_mib([*command, str(long), "--out", str(out)]) * 2**20 / 1e6
    times = duration_s / (time.perf_counter() - began)
    turns = turns_of(out.read_text())
    (errors,) = errors_in(truth, mapped(truth, turns), [(0.0, duration_s)])
    found = {
        "times_real_time": Figure(times, "x", "time", "higher"),
        "memory": Figure(memory_mb, "MB", "time"),
        "der.final": Figure(100 * errors.der, "%", "error"),
        "speakers.final": Figure(speakers(turns), "speakers", "error", "neither"),
        "speakers.true": Figure(speakers(truth), "speakers", "error", "neither"),
    }
    print(
        f"{duration_s / 3600:.2f} hours of audio:", ", ".join(f"{k} {f.value:.1f} {f.unit}" for k, f in found.items())
    )
    return found


def main() -> None:
    """Run it in a folder that is gone afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    add_json(parser)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments.recordings, arguments.hours, arguments.seed, Path(folder))
    if arguments.json:
        data = [recording(path) for path in arguments.recordings]
        command = f"python -m benchmarks.long_file RECORDING... --hours {arguments.hours:g} --seed {arguments.seed}"
        Result("long_file", command, found, data=data, seed=arguments.seed, load=load).write(arguments.json)


if __name__ == "__main__":
    main()
