"""What half-precision weights of the LSTM's recurrence would change: the output, decisions, and the bytes of a step.

The weights are rounded and computed with as float32, as kernels would that widen them when they read them. Nothing of
this is in the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Figure
from benchmarks.roofline import ceilings, reads
from turnstream.clients.evaluation.recordings import read_samples
from turnstream.kernels.backend import mx
from turnstream.kernels.cpu.simd import LANES
from turnstream.kernels.cpu.tile import aligned_copy
from turnstream.models.segmentation import PyanNet, activity
from turnstream.windows import WINDOW_SAMPLES

F32 = NDArray[np.float32]
TYPES = {"float16": mx.float16, "bfloat16": mx.bfloat16}
RECURRENT = "lstm.weight_hh_"
STEP_SAMPLES = WINDOW_SAMPLES // 2  # between windows
BATCH = 8
READS = 500  # in one timing


def rounded(weights: dict[str, F32], dtype: Any) -> dict[str, F32]:
    """The weights with the recurrent ones rounded to a half-precision type."""
    return {
        name: np.array(mx.array(value).astype(dtype).astype(mx.float32)) if name.startswith(RECURRENT) else value
        for name, value in weights.items()
    }


@dataclass(slots=True)
class Difference:
    """Of log-probabilities and of what is decided by them, over frames."""

    most: float = 0.0
    total: float = 0.0
    frames: int = 0
    classes: int = 0  # frames of another class
    speech: int = 0  # frames that are speech for one and not for the other

    def add(self, expected: F32, got: F32) -> None:
        """Windows of each, (B, T, 7) log-probabilities."""
        difference = np.abs(expected - got)
        self.most = max(self.most, float(difference.max()))
        self.total += float(difference.mean(axis=2).sum())
        self.frames += expected.shape[0] * expected.shape[1]
        self.classes += int((expected.argmax(axis=2) != got.argmax(axis=2)).sum())
        self.speech += int((activity(expected).any(axis=2) != activity(got).any(axis=2)).sum())


def windows(paths: Sequence[Path]) -> Iterator[F32]:
    """Windows of the recordings, (B, 160000), half a window apart; what is left at the end is not heard."""
    for path in paths:
        samples = read_samples(path)
        starts = range(0, len(samples) - WINDOW_SAMPLES + 1, STEP_SAMPLES)
        cut = [samples[start : start + WINDOW_SAMPLES] for start in starts]
        for first in range(0, len(cut), BATCH):
            yield np.stack(cut[first : first + BATCH])


def parity(weights: dict[str, F32], paths: Sequence[Path]) -> dict[str, Figure]:
    """`half.TYPE.*`: what rounding changes on speech."""
    network = PyanNet(weights)
    others = {name: (PyanNet(rounded(weights, dtype)), Difference()) for name, dtype in TYPES.items()}
    for batch in windows(paths):
        expected = np.array(network(batch))
        for other, difference in others.values():
            difference.add(expected, np.array(other(batch)))
    return {
        f"half.{name}.{key}": value for name, (_, found) in others.items() for key, value in _figures(found).items()
    }


def _figures(found: Difference) -> dict[str, Figure]:
    return {
        "largest_difference": Figure(found.most, "log-probability", "error"),
        "mean_difference": Figure(found.total / found.frames, "log-probability", "error"),
        "frames_of_another_class": Figure(100 * found.classes / found.frames, "%", "error"),
        "frames_of_other_speech": Figure(100 * found.speech / found.frames, "%", "error"),
        "frames": Figure(found.frames, "frames", "count", "neither"),
    }


def step_read(network: PyanNet, rounds: int) -> dict[str, Figure]:
    """us for one thread to read one direction's recurrent weights, as float32 and widened from half precision."""
    weights, out = aligned_copy(np.array(network.lstm[1].w_hh[0]).ravel()), np.zeros(LANES, np.float32)
    kinds = {
        "float32": (weights, reads.read_float32),
        "float16": (_aligned_shorts(weights.astype(np.float16).view(np.uint16)), reads.read_float16),
        "bfloat16": (_aligned_shorts((weights.view(np.uint32) >> 16).astype(np.uint16)), reads.read_bfloat16),
    }
    timed = {}
    for name, (values, read) in kinds.items():
        read(values, out, 1)
        assert abs(out.sum() - weights.sum()) < 1, f"expected the sum of the weights from {name}, got another"
        timed[name] = lambda read=read, values=values: ceilings.seconds_of(lambda: read(values, out, READS))
    taken_s = ceilings.take_turns(timed, rounds)
    return {f"half.read.{name}": Figure(1e6 * seconds / READS, "us", "time") for name, seconds in taken_s.items()}


def _aligned_shorts(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """A copy that starts on a cache line."""
    copy: NDArray[np.uint16] = aligned_copy(values.view(np.float32)).view(np.uint16)
    return copy
