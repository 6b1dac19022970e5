"""The activity path beside the windows and the reference: accuracy, drift, cost, windows saved.

    python -m benchmarks.activity accuracy RECORDING.flac...   speech error and overlap F1 at 0.1, 0.3 and 0.5 s
    python -m benchmarks.activity drift RECORDING.flac... [--hours 1]   the first quarter beside the last
    python -m benchmarks.activity cost RECORDING.flac          a step beside a window, one stream and eight
    python -m benchmarks.activity gate RECORDING.flac...       windows saved, and what that costs in DER

Each recording needs its reference beside it (`.rttm`, `.uem` where only a part is annotated). A frame counts as speech
where the reference has a speaker at its middle; `speech error` is the share of frames said wrongly, `overlap F1` is of
the frames with two speakers or more. What the windows say is kept in the cache of `benchmarks.der`. With --json
FOLDER a table is written as a result too (--name; default: activity_TABLE).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks import activity_gate
from benchmarks.activity_path import Errors, Row, Talkers, errors_between, hear, truth_of, windows_say
from benchmarks.results import Figure, Result, add_json, asked, median, ratio
from benchmarks.results import recording as data_of
from turnstream.clients.evaluation.recordings import LazyModels, Recording
from turnstream.kernels.backend import describe
from turnstream.models.activity import AHEAD_FRAMES, CHUNK_FRAMES, CHUNK_SAMPLES, FIRST_SAMPLES
from turnstream.models.carried_state import CarriedState
from turnstream.models.segmentation import PyanNet
from turnstream.models.speech_prior import voice_like
from turnstream.weights.cache import cache_dir
from turnstream.weights.store import segmentation_weights
from turnstream.windows import FRAME_SAMPLES, HOP_FRAMES, HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES

HEADER = f"{'':40}  speech error (missed  false)  overlap F1"


def accuracy(network: PyanNet, recordings: list[Recording]) -> dict[str, Figure]:
    """Speech error and overlap F1 at several latencies, beside the windows."""
    truths = [truth_of(recording) for recording in recordings]
    found: dict[str, Figure] = {}

    def line(key: str, name: str, said: Sequence[Talkers]) -> None:
        errors = Errors()
        for talkers, (truth, scored) in zip(said, truths, strict=True):
            errors.add(talkers, truth, scored)
        print(f"{name:40}  {errors.cells()}", flush=True)
        found.update(errors.figures(key))

    print(HEADER)
    windows: dict[str, tuple[str, int | None]] = {
        "newest_window": ("newest window, 0.06-0.56 s", 0),
        "windows_0.5s": ("windows committed at 0.5 s", HOP_FRAMES),
        "windows_1s": ("windows at 1 s", 2 * HOP_FRAMES),
        "windows_end": ("windows, at the end", None),
    }
    for key, (name, latency) in windows.items():
        line(key, name, [windows_say(recording, latency) for recording in recordings])
    start = network.expecting(voice_like())
    rows = [row(recording, start) for recording in recordings]
    for name, chunk, ahead in (("0.1 s", 6, 0), ("0.3 s", CHUNK_FRAMES, AHEAD_FRAMES), ("0.5 s", 6, 22)):
        key = f"path_{name.replace(' ', '')}"
        line(key, f"activity path, {chunk} frames + {ahead}, {name}", hear(network, rows, chunk, ahead))
    return found


def row(recording: Recording, start: CarriedState) -> Row:
    """The recording as one stream."""
    wave, _ = soundfile.read(recording.path, dtype="float32")
    return Row(wave, start, len(wave))


def drift(network: PyanNet, recordings: list[Recording], hours: float) -> dict[str, Figure]:
    """All recordings one after the other, in a loop: the first quarter of the time, the last, and all of it."""
    pieces = [soundfile.read(recording.path, dtype="float32")[0] for recording in recordings]
    pieces = [piece[: len(piece) // FRAME_SAMPLES * FRAME_SAMPLES] for piece in pieces]
    truth = np.concatenate([truth_of(r)[0][: len(p) // FRAME_SAMPLES] for r, p in zip(recordings, pieces, strict=True)])
    samples = round(hours * 3600 * SAMPLE_RATE_HZ)
    stream = Row(np.concatenate(pieces), network.expecting(voice_like()), samples)
    (said,) = hear(network, [stream], CHUNK_FRAMES, AHEAD_FRAMES)
    truth, quarter = np.resize(truth, len(said)), len(said) // 4
    spans = {"first_quarter": (0, quarter), "last_quarter": (3 * quarter, len(said)), "all": (0, len(said))}
    found: dict[str, Figure] = {}
    print(f"{hours:g} h\n{HEADER}")
    for span, ends in spans.items():
        errors = errors_between([said], [truth], *ends)
        print(f"{span:40}  {errors.cells()}", flush=True)
        found |= errors.figures(span)
    return found


def cost(network: PyanNet, recordings: list[Recording]) -> dict[str, Figure]:
    """A step beside a window and a hop of the windows, of one stream and of eight."""
    found: dict[str, Figure] = {}
    wave, _ = soundfile.read(recordings[0].path, dtype="float32")
    for batch in (1, 8):
        waves: NDArray[np.float32] = np.stack([wave[SAMPLE_RATE_HZ * i :][: 2 * WINDOW_SAMPLES] for i in range(batch)])
        states = [network.expecting(voice_like())] * batch
        _, states = network.step(waves[:, :FIRST_SAMPLES], states, AHEAD_FRAMES)
        windows, kept = waves[:, :WINDOW_SAMPLES], [network.initial_window_state() for _ in range(batch)]
        step_ms, window_ms = [], []
        for number in range(120):
            at = FIRST_SAMPLES + number * CHUNK_SAMPLES
            began = time.perf_counter()
            logp, states = network.step(waves[:, at : at + CHUNK_SAMPLES], states, AHEAD_FRAMES)
            np.array(logp)
            step_ms.append(1e3 * (time.perf_counter() - began))
            if number % 5 == 0:
                began = time.perf_counter()
                starts = [number // 5 * HOP_SAMPLES] * batch
                logp, _ = network.window_step(windows, starts, kept)
                np.array(logp)
                window_ms.append(1e3 * (time.perf_counter() - began))
        print(f"batch {batch}, ms: ", end="")
        for name, times in (("step", step_ms), ("hop of the windows", window_ms[1:])):
            print(f"{name} median {np.median(times):.2f}, least {min(times):.2f}, ", end="")
        per_s = [SAMPLE_RATE_HZ / size / batch for size in (CHUNK_SAMPLES, HOP_SAMPLES)]
        least = [min(times) * rate for times, rate in zip((step_ms, window_ms[1:]), per_s, strict=True)]
        print(f"a second of one stream at least {least[0]:.0f} ms beside {least[1]:.0f}")
        found[f"batch_{batch}.step"] = median(step_ms, "ms", "time")
        found[f"batch_{batch}.hop"] = median(window_ms[1:], "ms", "time")
        found[f"batch_{batch}.step_over_hop"] = ratio(step_ms[5::5], window_ms[1:])
    return found


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("accuracy", "drift", "cost", "gate"))
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--name", help="of the result written with --json (default: activity_TABLE)")
    add_json(parser)
    parser.add_argument("--cache", type=Path, default=cache_dir() / "der", help="where model outputs are kept")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    models = LazyModels()
    recordings = [Recording(path, arguments.cache, models) for path in arguments.recordings]
    load = os.getloadavg()[0]
    print(describe())
    match arguments.table:
        case "gate":
            found = activity_gate.gate(recordings)
        case "drift":
            found = drift(PyanNet(segmentation_weights()), recordings, arguments.hours)
        case table:
            found = {"accuracy": accuracy, "cost": cost}[table](PyanNet(segmentation_weights()), recordings)
    if arguments.json:
        name, data = arguments.name or f"activity_{arguments.table}", [data_of(path) for path in arguments.recordings]
        parameters = {"table": arguments.table} | ({"hours": arguments.hours} if arguments.table == "drift" else {})
        Result(name, asked("benchmarks.activity"), found, parameters, data=data, load=load).write(arguments.json)


if __name__ == "__main__":
    main()
