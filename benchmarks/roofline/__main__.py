"""How far each stage of a hop is from what this machine can do, and what half-precision weights would change.

    python -m benchmarks.roofline [RECORDING_OR_FOLDER...] [--rounds 40] [--json FOLDER]

In one run: the machine's ceilings (multiply-adds in registers, OpenBLAS at the sizes used, reads from each cache), with
one thread and with as many as the kernels use; each stage of the engine on the demo recording, its arithmetic and bytes
from the shapes of its own weights (`benchmarks/roofline/work.py`), and its time; which instructions are there and used.
A stage's *floor* is the longer of its arithmetic at the rate of multiply-adds and its bytes at the rate of reads from
where they fit; its *share* is the floor over the time. Times and rates are the best of the rounds, in which all take
turns.
The recordings, by default none, are for the last part: the segmentation with rounded weights beside that without.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.accuracy.recordings import annotated
from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.roofline import ceilings, half, processor, stages
from benchmarks.roofline.ceilings import Rate
from benchmarks.roofline.stages import Engine, Stage
from benchmarks.speed import stages as speed
from benchmarks.speed.stages import Samples
from turnstream.diarizer import Diarizer
from turnstream.errors import TurnstreamError
from turnstream.kernels.backend import cpu_threads
from turnstream.kernels.cpu.team import MAX_THREADS
from turnstream.models.batcher import Batcher
from turnstream.models.embedding import CamPlusPlus, fbank
from turnstream.models.segmentation import PyanNet
from turnstream.weights.store import demo_recording, embedding_weights, segmentation_weights
from turnstream.windows import WINDOW_FRAMES, WINDOW_SAMPLES

Figures = dict[str, Figure]
READS_KIB = {"l1": 16, "l2": 256, "l3": 4 << 10, "memory": 128 << 10}  # of each thread
THREADS = tuple(sorted({1, min(MAX_THREADS, cpu_threads())}))
PASS_ROUNDS = 5  # for one pass of a whole stream
PARTS = ("time", "arithmetic", "bytes")


def ceilings_of(threads: int, crop_steps: int) -> dict[str, Rate]:
    """By the names of their figures; the products are those of the LSTM's inputs and of a wide dense layer."""
    sizes = {
        "1024": (1024, 1024, 1024),
        "lstm_first": (WINDOW_FRAMES, 60, 1024),
        "lstm_other": (WINDOW_FRAMES, 256, 1024),
        "dense": (crop_steps, 512, 128),
    }
    products = {f"product.{name}": ceilings.product(*size, threads) for name, size in sizes.items()}
    reads = {f"read.{name}": ceilings.reads(kib << 10, threads) for name, kib in READS_KIB.items()}
    return {"multiply_add": ceilings.multiply_adds(threads), **products, **reads}


def measure_machine(threads: int, engine: Engine, crop_steps: int, rounds: int) -> tuple[Figures, dict[str, float]]:
    """`ceiling.N_threads.*`, and the least seconds of everything that the engine runs; all in turn.

    `read.STAGE` are reads of as much as the stage touches.
    """
    rates = ceilings_of(threads, crop_steps)
    for stage in engine.stages:
        used = min(threads, stage.work.threads)
        rates[f"read.{stage.name}"] = ceilings.reads(round(stage.work.resident_of(used)), used)
    runs = {name: ceilings.on_threads(threads, run) for name, run in engine.runs.items()}
    taken = ceilings.take_turns({name: rate.seconds for name, rate in rates.items()} | runs, rounds)
    found = {}
    for name, rate in rates.items():
        unit = "GB/s" if name.startswith("read") else "GFLOP/s"
        found[f"ceiling.{threads}_threads.{name}"] = Figure(rate.amount / taken[name], unit, "time", "higher")
    return found, {name: taken[name] for name in runs}


def measure_stages(engine: Engine, network: PyanNet, crop_steps: int, rounds: int) -> Figures:
    """The ceilings, `stage.NAME.*` of a hop, and `stage.NAME.N_threads.*`."""
    found: Figures = {}
    taken = {}
    for threads in THREADS:
        ceiling, seconds = measure_machine(threads, engine, crop_steps, rounds)
        found |= ceiling
        taken[threads] = stages.split_lstm(network, seconds)
    for stage in engine.stages:
        work = stage.work.times(stage.calls)
        for part, count in (("textbook", work.textbook), ("executed", work.executed)):
            found[f"stage.{stage.name}.{part}"] = Figure(count / 1e6, "MFLOP", "count")
        found[f"stage.{stage.name}.moved"] = Figure(work.moved / 1e6, "MB", "count")
        for threads in THREADS:
            found |= _shares(stage, threads, 1e3 * taken[threads][stage.name], found)
    return found


def _shares(stage: Stage, threads: int, ms: float, found: Figures) -> Figures:
    at, work = f"stage.{stage.name}.{threads}_threads", stage.work
    rate = {name: found[f"ceiling.{threads}_threads.{name}"].value for name in ("multiply_add", f"read.{stage.name}")}
    if work.threads == 1:
        rate["multiply_add"] = found["ceiling.1_threads.multiply_add"].value
    arithmetic, moved = work.executed / rate["multiply_add"] / 1e6, work.moved / rate[f"read.{stage.name}"] / 1e6
    parts = dict(zip(PARTS, (ms, arithmetic, moved), strict=True))
    share = Figure(100 * max(arithmetic, moved) / ms, "%", "time", "higher")
    return {
        **{f"{at}.{name}": Figure(stage.calls * part, "ms", "time") for name, part in parts.items()},
        f"{at}.share": share,
    }


def hop(models: Batcher, samples: Samples, rounds: int) -> Figures:
    """`hop.STAGE` of a live stream in the mean, everything included, of the fastest of some passes."""
    passes = [speed.measure(models, samples) for _ in range(max(1, rounds // PASS_ROUNDS))]
    means = [{name: float(np.mean(ms)) for name, ms in hops.ms.items()} for hops in passes]
    least = min(means, key=lambda mean: mean["whole"])
    return {f"hop.{name}": Figure(ms, "ms", "time") for name, ms in least.items()}


def sums(found: Figures) -> Figures:
    """`stages.*`: the times of all stages of a hop and their floors, with as many threads as the kernels use."""
    parts = [[found[f"{name}.{THREADS[-1]}_threads.{part}"].value for part in PARTS] for name in stage_names(found)]
    time_ms, floor_ms = sum(part[0] for part in parts), sum(max(part[1:]) for part in parts)
    return {
        "stages.time": Figure(time_ms, "ms", "time"),
        "stages.floor": Figure(floor_ms, "ms", "time"),
        "stages.share": Figure(100 * floor_ms / time_ms, "%", "time", "higher"),
    }


def stage_names(found: Figures) -> list[str]:
    """`stage.NAME` of each."""
    return [name.removesuffix(".executed") for name in found if name.endswith(".executed")]


def report(found: Figures) -> None:
    """The stages as a table, everything else line by line."""
    print(f"{'a hop':20}{'threads':>8}{'MFLOP':>9}{'executed':>9}{'MB':>8}{'ms':>8}{'floor':>8}{'of':>12}{'share':>8}")
    for name in stage_names(found):
        for threads in THREADS:
            at = f"{name}.{threads}_threads"
            time, sums, moved, share = (
                found[f"{at}.{part}"].value for part in ("time", "arithmetic", "bytes", "share")
            )
            counts = [found[f"{name}.{part}"].value for part in ("textbook", "executed", "moved")]
            bound = "arithmetic" if sums > moved else "bytes"
            counted = f"{counts[0]:9.1f}{counts[1]:9.1f}{counts[2]:8.2f}"
            timed = f"{time:8.2f}{max(sums, moved):8.2f}{bound:>12}{share:7.0f}%"
            print(f"{name.removeprefix('stage.'):20}{threads:8}{counted}{timed}")
    for name, figure in found.items():
        if not name.startswith("stage."):
            print(f"{name:42}{figure.value:12.4g} {figure.unit}")


def measure(recordings: Sequence[Path], rounds: int) -> Figures:
    """All figures, in the order of the module's head."""
    weights, samples = segmentation_weights(), soundfile.read(demo_recording()[0], dtype="int16")[0]
    floats = samples.astype(np.float32) / np.float32(2**15)
    network = PyanNet(weights)
    with Diarizer() as diarizer:
        rows, crops = stages.crops_of(diarizer.models, floats)
        crop = fbank(floats[WINDOW_SAMPLES:])[:rows]
        engine = stages.segmentation(network, floats) + stages.features(floats)
        engine += stages.embedding(CamPlusPlus(embedding_weights()), crop, crops)
        found = {"crop.rows": Figure(rows, "rows", "count", "neither"), "crops": Figure(crops, "a hop", "count")}
        found |= measure_stages(engine, network, (rows + 1) // 2, rounds)
        found |= sums(found) | hop(diarizer.models, samples, rounds)
    found |= processor.figures(rounds) | half.step_read(network, rounds)
    return found | (half.parity(weights, recordings) if recordings else {})


def main() -> None:
    """Measure, print, and write the result where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "recordings",
        type=Path,
        nargs="*",
        metavar="RECORDING",
        help="with an .rttm beside it, or a folder of them, for rounded weights",
    )
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="of everything that is timed")
    add_json(parser)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        recordings = annotated(arguments.recordings)
    except TurnstreamError as error:
        parser.error(str(error))
    print(f"OpenBLAS for {processor.core_name()}, load average at the start {load:.1f}")
    found = measure(recordings, arguments.rounds)
    report(found)
    if arguments.json:
        parameters = {"rounds": arguments.rounds, "openblas_core": processor.core_name()}
        data = [recording(path) for path in (demo_recording()[0], *recordings)]
        Result("roofline", asked("benchmarks.roofline"), found, parameters, data=data, load=load).write(arguments.json)


if __name__ == "__main__":
    main()
