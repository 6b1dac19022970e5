"""The engine's stages as single calls on the demo recording's own sizes, each with its work and its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.roofline import work
from benchmarks.roofline.work import Work
from benchmarks.stand_ins import Forwarding
from turnstream.audio.fbank import FbankStream, row_count
from turnstream.audio.input import AudioInput
from turnstream.kernels.conv_head import conv_head
from turnstream.kernels.convpool import conv_pool, normal_scale
from turnstream.kernels.dense_tdnn import dense_block
from turnstream.kernels.lstm import bilstm
from turnstream.kernels.sincnet_stream import sinc_pool_step
from turnstream.kernels.sizes import POOL, SINC_STRIDE
from turnstream.models.embedding import CamPlusPlus, _statistics
from turnstream.models.segmentation import NORM_EPS, PyanNet
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import HOP_SAMPLES, WINDOW_SAMPLES

F32 = NDArray[np.float32]
FIRST, OTHER = "lstm.first", "lstm.other"  # layers, of 60 and 256 inputs
EVERY_FRAME = 1 << 40


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a hop: what one call does, and how often a hop makes it."""

    name: str
    work: Work
    calls: float = 1.0


@dataclass(frozen=True, slots=True)
class Engine:
    """Its stages, and calls to time by name; two LSTM layers are timed in place of the stages of all."""

    stages: list[Stage]
    runs: dict[str, Callable[[], Any]]

    def __add__(self, other: Engine) -> Engine:
        return Engine([*self.stages, *other.stages], {**self.runs, **other.runs})


class Crops(Forwarding):
    """The models, with the lengths of the crops that they embed."""

    def __init__(self, models: Any):
        super().__init__(models)
        self.rows: list[int] = []
        self.hops = 0

    def segment(self, *window: Any) -> Any:
        """See `turnstream.session.Models`."""
        self.hops += 1
        return self._models.segment(*window)

    def embed(self, crops: list[F32]) -> F32:
        """See `turnstream.session.Models`."""
        self.rows += [len(crop) for crop in crops]
        return self._models.embed(crops)


def crops_of(models: Any, samples: F32) -> tuple[int, float]:
    """What a live stream embeds: rows of a crop in the mean, and crops a hop."""
    watched = Crops(models)
    session = Session(watched, AudioInput(), StitcherConfig(), Timeline())
    session.feed(samples)
    return round(float(np.mean(watched.rows))), len(watched.rows) / watched.hops


def segmentation(network: PyanNet, samples: F32) -> Engine:
    """The stages of one window of a stream, whose filterbank is kept from hop to hop."""
    window, state = np.ascontiguousarray(samples[None, :WINDOW_SAMPLES]), network.initial_window_state()
    start = [0]

    def bank() -> Any:
        start[0] += HOP_SAMPLES
        scales = normal_scale(window, *network.wave_norm, NORM_EPS)
        return sinc_pool_step(window, start, *scales, network.filters, [state])

    def convolutions() -> Any:
        x = network.norm_leaky(*pooled, 0)
        for i, conv in enumerate(network.convs):
            x = network.norm_leaky(*conv_pool(x, conv), i + 1)
        return x

    pooled = bank()
    frames = convolutions()
    heard = network.recurrent(frames)
    runs = {"sincnet": bank, "convolutions": convolutions, "head": lambda: network.head(heard)}
    layers = {
        name: lambda x=x, n=n: bilstm(x, network.lstm[n]) for name, x, n in ((FIRST, frames, 0), (OTHER, heard, 1))
    }
    sinc = work.sinc_hop(network.filters, HOP_SAMPLES, pooled[0].shape[1], SINC_STRIDE)
    counted = [Stage("sincnet", sinc), Stage("convolutions", _convolutions(network, pooled[0].shape[1]))]
    count = frames.shape[1]
    inputs = reduce(add, [work.lstm_input(layer, count) for layer in network.lstm])
    steps = work.lstm_recurrence(network.lstm[0], count).times(len(network.lstm))
    head = reduce(add, [work.linear(layer, count) for layer in network.linears])
    counted += [Stage("lstm.input", inputs), Stage("lstm.recurrence", steps), Stage("head", head)]
    return Engine(counted, runs | layers)


def _convolutions(network: PyanNet, rows: int) -> Work:
    """From so many pooled rows of the filterbank: each convolution, and the norms before, between and behind them."""
    parts = []
    for conv in network.convs:
        channels, taps, depth = conv.weight.shape
        parts += [work.norm(rows, depth), work.conv_pool(conv, rows)]
        rows = (rows - taps + 1) // POOL
    return reduce(add, [*parts, work.norm(rows, channels)])


def split_lstm(network: PyanNet, taken: dict[str, float]) -> dict[str, float]:
    """Seconds of all layers' inputs and of their recurrences, from those of two layers.

    They differ in the width of the input alone, so their difference is what so many columns of input cost.
    """
    widths = [layer.w_ih.shape[2] for layer in network.lstm]
    column_s = (taken[OTHER] - taken[FIRST]) / (widths[1] - widths[0])
    inputs_s = column_s * sum(widths)
    whole_s = taken[FIRST] + (len(widths) - 1) * taken[OTHER]
    rest = {name: seconds for name, seconds in taken.items() if name not in (FIRST, OTHER)}
    return {**rest, "lstm.input": inputs_s, "lstm.recurrence": whole_s - inputs_s}


def embedding(network: CamPlusPlus, rows: F32, crops: float) -> Engine:
    """The stages of one embedding of feature rows (T, 80), of which a hop makes `crops`."""
    x = rows[None] - rows.mean(axis=0)
    front = conv_head(x, network.head)

    def dense() -> Any:
        y = front
        for block in network.blocks:
            y = dense_block(y, block)
        weight, bias = network.dense.mlx
        return np.array(_statistics(y) @ weight + bias)

    counted = [
        Stage("camplusplus.front", work.conv_head(network.head, *x.shape[1:]), crops),
        Stage("camplusplus.dense", work.dense_blocks(network.blocks, network.dense, front.shape[1]), crops),
    ]
    return Engine(counted, {"camplusplus.front": lambda: conv_head(x, network.head), "camplusplus.dense": dense})


def features(samples: F32) -> Engine:
    """The feature rows of one hop."""
    stream, rows = FbankStream(), HOP_SAMPLES / WINDOW_SAMPLES * row_count(WINDOW_SAMPLES)

    def run() -> None:
        stream.append(samples[:HOP_SAMPLES])
        stream.drop_before(EVERY_FRAME)

    return Engine([Stage("fbank", work.fbank(round(rows)))], {"fbank": run})
