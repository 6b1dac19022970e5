"""The same numbers every way: PyTorch, increments, batches, positions, carried state, GPU.

Audio: the golden cases of `tests/golden` (the demo recording, and AMI excerpts where the data folder is), and a stretch
of the first recording that is played again and again, so that the same windows stand at hour 0 and at every other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.drifts.numbers import Difference, cosine_distances
from benchmarks.results import Figure
from tests.golden import embedding_cases, segmentation_cases
from turnstream.audio.fbank import FbankStream, fbank
from turnstream.kernels.backend import mx, on_cpu
from turnstream.kernels.convpool import normal_scale
from turnstream.models import segmentation
from turnstream.models.activity import AHEAD_FRAMES, CHUNK_SAMPLES, FIRST_SAMPLES
from turnstream.models.embedding import CamPlusPlus
from turnstream.models.segmentation import NORM_EPS, PyanNet
from turnstream.models.speech_prior import voice_like
from turnstream.weights.store import demo_recording, embedding_weights, segmentation_weights
from turnstream.windows import FRAME_SAMPLES, HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_FRAMES, WINDOW_SAMPLES

GOLDEN = Path(segmentation_cases.__file__).parent
LOOP_HOPS = 48  # 24.3 s, a whole number of hops, of feature rows and of chunks of the activity path
LOOP_SAMPLES = LOOP_HOPS * HOP_SAMPLES
HEARD_LOOPS, SETTLED_LOOPS = 3, 8  # before the carried state is looked at; before its norms have settled (30 s memory)
CHECKED = 4  # windows looked at in each loop that is looked at
BATCH = 8

F32 = NDArray[np.float32]
Figures = dict[str, Figure]


@dataclass(frozen=True)
class Loop:
    """A stretch of speech that is heard again and again."""

    sound: F32

    def read(self, start: int, end: int) -> F32:
        """Samples [start, end) of the stream."""
        return self.sound.take(np.arange(start, end), mode="wrap")


def data_folder() -> Path | None:
    """The folder with `ami/` and `speakers/`: $TURNSTREAM_DATA or beside the checkout; None where it is not there."""
    folder = Path(os.environ.get("TURNSTREAM_DATA", GOLDEN.parents[2] / "shared" / "data"))
    return folder if (folder / "ami").is_dir() else None


def measure(recording: Path, hours: float, carried_hours: float) -> tuple[Figures, dict[str, str]]:
    """Figures, and what was not run, with the reason."""
    sound, _ = soundfile.read(recording, frames=LOOP_SAMPLES, dtype="float32")
    loop = Loop(np.resize(sound, LOOP_SAMPLES))
    network, voices = PyanNet(segmentation_weights()), CamPlusPlus(embedding_weights())
    figures, not_run = golden(network, voices)
    if network.initial_window_state() is None:
        not_run["incremental, position"] = "the filterbank is not incremental on this device"
    else:
        figures |= incremental(network, loop, hours)
    figures |= batches(network, loop) | features(loop, hours) | carried(network, loop, carried_hours)
    if on_cpu():
        not_run["cpu against gpu"] = "no GPU here"
    else:
        figures |= devices(network, loop)
    return figures, not_run


def golden(network: PyanNet, voices: CamPlusPlus) -> tuple[Figures, dict[str, str]]:
    """Against what PyTorch gave (float32)."""
    demo, folder = demo_recording()[0], data_folder()
    windows = {"demo": segmentation_cases.demo_cases(demo)}
    crops = {"demo": embedding_cases.demo_cases(demo)}
    not_run = {}
    if folder is None:
        not_run["pytorch, AMI and read speech"] = "no data folder: set TURNSTREAM_DATA"
    else:
        windows["ami"] = segmentation_cases.ami_cases(folder / "ami")
        crops["data"] = embedding_cases.data_cases(folder)
    figures: Figures = {}
    with np.load(GOLDEN / "segmentation.npz") as logp:
        for name, cases in windows.items():
            apart = Difference()
            for case, samples in cases.items():
                apart.add(whole(network, samples[None])[0], logp[case])
            figures |= apart.figures(f"pytorch.segmentation.{name}")
    with np.load(GOLDEN / "embedding.npz") as vectors:
        for name, cases in crops.items():
            pairs = [(voices.embed_rows(fbank(samples)), vectors[case]) for case, samples in cases.items()]
            apart = Difference(classes=False)
            for pair in pairs:
                apart.add(*pair)
            figures |= {k: replace(f, unit="") for k, f in apart.figures(f"pytorch.embedding.{name}").items()}
            ours, theirs = zip(*pairs, strict=True)
            distance = max(cosine_distances(ours, theirs))
            figures[f"pytorch.embedding.{name}.distance"] = Figure(distance, "1 - cosine", "error")
    return figures, not_run


def whole(network: PyanNet, windows: F32) -> F32:
    """Log-probabilities computed at once."""
    return np.array(network(mx.array(windows)))


def incremental(network: PyanNet, loop: Loop, hours: float) -> Figures:
    """Windows by increments against windows at once, and against the same windows at the beginning of the stream.

    Every hop goes through the incremental filterbank; the rest of the network follows where it is looked at.
    """
    state, first = network.initial_window_state(), {}
    full, position = Difference(), Difference()
    for number in range(round(hours * 3600 * SAMPLE_RATE_HZ / HOP_SAMPLES) + LOOP_HOPS):
        start = number * HOP_SAMPLES
        window = loop.read(start, start + WINDOW_SAMPLES)[None]
        scale, shift = normal_scale(window, *network.wave_norm, NORM_EPS)
        bank = segmentation.sincnet_stream.sinc_pool_step(window, [start], scale, shift, network.filters, [state])
        turn, place = divmod(number, LOOP_HOPS)
        if place % (LOOP_HOPS // CHECKED) or (turn > 1 and turn % 10):
            continue
        logp = np.array(mx.array(network.classify(*bank)))[0]
        if turn == 0:
            first[place] = whole(network, window)[0], logp
        at_once, at_first = first[place]
        full.add(logp, at_once)
        position.add(logp, at_first)
    return full.figures("incremental.windows") | position.figures("position.windows")


def features(loop: Loop, hours: float) -> Figures:
    """Feature rows of a stream, hop by hop and with old ones dropped, against those of the piece alone."""
    stream, apart = FbankStream(), Difference(classes=False)
    rows = LOOP_SAMPLES // 160
    expected = fbank(loop.read(0, LOOP_SAMPLES + 400))[:rows]
    for number in range(round(hours * 3600 * SAMPLE_RATE_HZ / HOP_SAMPLES) + LOOP_HOPS + 1):
        stream.append(loop.read(number * HOP_SAMPLES, (number + 1) * HOP_SAMPLES))
        turn, place = divmod(number, LOOP_HOPS)
        if place == 0 and turn and (turn == 1 or turn % 10 == 0):
            apart.add(stream.rows(np.arange((turn - 1) * rows, turn * rows)), expected)
        elif place == 0 and turn:
            stream.drop_before(number * HOP_SAMPLES // FRAME_SAMPLES - 2)  # the loop's first row has its center there
    return apart.figures("incremental.fbank")


def batches(network: PyanNet, loop: Loop) -> Figures:
    """Eight windows in one call against each alone, computed at once; and crops have no batch in the engine."""
    apart = Difference()
    windows = np.stack([loop.read(n * 6 * HOP_SAMPLES, n * 6 * HOP_SAMPLES + WINDOW_SAMPLES) for n in range(BATCH)])
    for together, window in zip(whole(network, windows), windows, strict=True):
        apart.add(together, whole(network, window[None])[0])
    return apart.figures(f"batch_{BATCH}")


def carried(network: PyanNet, loop: Loop, hours: float) -> Figures:
    """The activity path's carried state: over hours, and against zero state.

    `carried.zero`: a window in one chunk from the state carried so far against the same from zero, norms equal.
    `carried.time`: what is told of a loop against what was told of the same loop once the norms had settled.
    """
    zero, later = Difference(), Difference()
    told: list[F32] = []
    known: F32 | None = None
    for end, logp, state in steps(network, loop, hours):
        told.append(logp)
        if end % LOOP_SAMPLES >= CHUNK_SAMPLES:
            continue
        said, told = np.concatenate(told), []
        if end < HEARD_LOOPS * LOOP_SAMPLES:
            continue
        window = loop.read(end, end + WINDOW_SAMPLES)
        fresh = replace(state, h=state.h * 0, c=state.c * 0)
        pair, _ = network.step(np.stack([window] * 2), [state, fresh])
        zero.add(*np.array(pair)[:, :WINDOW_FRAMES])
        if end < SETTLED_LOOPS * LOOP_SAMPLES:
            continue
        if known is None:
            known = said
            continue
        later.add(said, known)
    return zero.figures("carried.zero") | later.figures("carried.time")


def steps(network: PyanNet, loop: Loop, hours: float) -> Iterator[tuple[int, F32, Any]]:
    """(sample up to which was heard, log-probabilities (T, 7), state) of every chunk, as the engine carries it."""
    state, start, end = network.expecting(voice_like()), 0, FIRST_SAMPLES
    while end < hours * 3600 * SAMPLE_RATE_HZ + (SETTLED_LOOPS + 2) * LOOP_SAMPLES:
        logp, (state,) = network.step(loop.read(start, end)[None], [state], AHEAD_FRAMES)
        state = state.faded(end - start)
        yield end, np.array(logp)[0], state
        start, end = end, end + CHUNK_SAMPLES


def devices(network: PyanNet, loop: Loop) -> Figures:
    """The default device, a GPU, against the CPU."""
    apart = Difference()
    windows = [loop.read(n * HOP_SAMPLES, n * HOP_SAMPLES + WINDOW_SAMPLES)[None] for n in range(BATCH)]
    on_gpu = [whole(network, window)[0] for window in windows]
    device = mx.default_device()
    mx.set_default_device(mx.cpu)
    try:
        alone = PyanNet(segmentation_weights())
        for window, logp in zip(windows, on_gpu, strict=True):
            apart.add(logp, whole(alone, window)[0])
    finally:
        mx.set_default_device(device)
    return apart.figures("gpu_against_cpu")


def table(figures: Figures, say: Callable[[float], str] = "{:.1e}".format) -> str:
    """For people."""
    lines = [f"{'':32}{'max':>10}{'p50':>10}{'p99':>10}{'1 - r':>10}  other class, %"]
    for name in dict.fromkeys(name.rpartition(".")[0] for name in figures):
        cells = [say(figures[f"{name}.{key}"].value) for key in ("max", "p50", "p99", "decorrelation")]
        other = figures.get(f"{name}.other_class")
        lines.append(f"{name:32}" + "".join(f"{c:>10}" for c in cells) + (f"{other.value:12.3f}" if other else ""))
    return "\n".join(lines)
