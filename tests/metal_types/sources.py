"""The Metal sources of our kernels, written by MLX itself: it prints them while it traces, before it needs Metal."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turnstream.kernels.backend import mx
from turnstream.kernels.gpu import lstm, sincnet
from turnstream.kernels.lstm import LSTMWeights
from turnstream.kernels.sincnet import SincFilters
from turnstream.kernels.sizes import POOL, SINC_STRIDE, SINC_TAPS


def lstm_source(dtype: Any, hidden: int, frames: int = 589) -> str:
    """The source for one row of `frames` frames."""
    w_ih, w_hh = mx.zeros((2, 4 * hidden, 60)), mx.zeros((2, 4 * hidden, hidden))
    weights = LSTMWeights(w_ih, w_hh, mx.zeros((2, 4 * hidden)))
    mx.eval(weights.gpu_recurrent)  # not while MLX traces

    def call(x: Any, h: Any, c: Any) -> list[Any]:
        y, end = lstm.bilstm(printing(lstm.metal_kernel), x, weights, (h, c))
        return [y, *end]

    return traced(call, mx.zeros((1, frames, 60), dtype), mx.zeros((1, 2, hidden)), mx.zeros((1, 2, hidden)))


def sinc_source(dtype: Any, channels: int, samples: int = 160_000) -> str:
    """The source for one waveform."""
    bank = SincFilters(mx.zeros((channels, SINC_TAPS)))
    mx.eval(bank.gpu_packed)

    def call(x: Any) -> tuple[Any, ...]:
        return sincnet.sinc_pool(printing(sincnet.metal_kernel), x, bank, SINC_STRIDE, POOL)

    return traced(call, mx.zeros((1, samples), dtype))


def printing(kernel: Any) -> Callable[..., Any]:
    """The kernel, made to print its source."""
    return lambda **arguments: kernel(**arguments, verbose=True)


def traced(call: Callable[..., Any], *arguments: Any) -> str:
    """What MLX prints of a kernel while it exports `call`."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        before = os.dup(1)
        os.dup2(file.fileno(), 1)  # MLX prints from C++
        try:
            mx.export_function(str(Path(folder) / "traced.mlxfn"), call, *arguments)
        finally:
            ctypes.CDLL(None).fflush(None)
            os.dup2(before, 1)
            os.close(before)
        file.seek(0)
        printed = file.read().decode()
    found = re.search(r"```\n(.*)\n```", printed, re.DOTALL)
    assert found, f"expected MLX to print one source, got {printed!r}"
    return found[1]
