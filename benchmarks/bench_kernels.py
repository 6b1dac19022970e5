"""Segmentation kernels and the whole window: reference ops, compiled ops, our kernels, PyTorch and ONNX Runtime.

    pytest benchmarks/bench_kernels.py -s [--results FOLDER]
    taskset -c 0 pytest benchmarks/bench_kernels.py -s      one core, where others keep the machine busy

Everything is checked before it is timed. The systems take turns, one call each, so that a busy machine slows all of
them alike; printed are medians of wall-clock and processor time (all threads), in ms a window, and the ratio to the
last line. PyTorch and ONNX Runtime come with the `peers` extra and are "not run" without it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Found
from benchmarks.peers import nets
from benchmarks.peers.nets import installed
from benchmarks.results import Figure, median, ratio
from turnstream.kernels.backend import cpu_threads, describe, measure_gflops, mx
from turnstream.kernels.convpool import conv_pool, conv_pool_ops
from turnstream.kernels.lstm import LSTMWeights, State, bilstm, bilstm_ops, zero_state
from turnstream.kernels.sincnet import sinc_pool, sinc_pool_ops
from turnstream.models.segmentation import PyanNet
from turnstream.weights.store import segmentation_weights
from turnstream.windows import HOP_SAMPLES, WINDOW_FRAMES, WINDOW_SAMPLES

PACKAGES = ("mlx", "numba", "numpy", "torch", "onnxruntime")
ROUNDS = 15
SLOW = 3  # rounds of what takes a second
BOUND = 1e-5  # of a kernel, relative to the largest value of the reference
MAX_DIFFERENCE = 1e-3  # of log-probabilities
NOT_RUN = None
Runs = dict[str, Callable[[], Any] | None]


@pytest.fixture(scope="module")
def network() -> PyanNet:
    versions = {name: metadata.version(name) if installed(name) else "not installed" for name in PACKAGES}
    machine = f"{platform.machine()}, {cpu_threads()} cores, {measure_gflops():.0f} GFLOP/s"
    print(f"\n{machine}, {describe().device}, {versions}")
    return PyanNet(segmentation_weights())


@pytest.fixture(scope="module")
def torch_network() -> Any:
    if not installed("torch", "asteroid_filterbanks"):
        return None
    return nets.torch_segmentation(segmentation_weights(), cpu_threads())


@pytest.fixture(scope="module")
def onnx_session(torch_network: Any) -> Any:
    if torch_network is None or not installed("onnx", "onnxruntime"):
        return None
    return nets.onnx_session(nets.onnx_segmentation(torch_network), cpu_threads())


def noise(*shape: int) -> np.ndarray:
    """What every system gets: its values do not change the time."""
    return (np.random.default_rng(1).standard_normal(shape) / 10).astype(np.float32)


def evaluated(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call whose result is there when it returns, as NumPy arrays."""

    def run() -> Any:
        results = function(*arguments)
        mx.eval(results)
        return results

    return run


def check(runs: Runs, bound: float, relative: bool = True) -> None:
    """All systems give what the first gives."""
    expected, *others = [run() for run in runs.values() if run is not NOT_RUN]
    for got in others:
        for g, e in zip(got, expected, strict=True):
            size = np.abs(np.array(e)).max() if relative else 1.0
            assert np.abs(np.array(g) - np.array(e)).max() <= bound * size


def report(title: str, runs: Runs, windows: int = 1, rounds: int = ROUNDS) -> dict[str, Figure]:
    """The table of one operation, each system in turn; its figures: ms of each, and the first's ratio to each other."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name, run in runs.items() if run is not NOT_RUN}
    for _ in range(rounds):
        for name, taken in times.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            runs[name]()  # type: ignore[misc]
            taken.append((time.perf_counter() - wall_s, time.process_time() - cpu_s))
    medians = {name: np.median(taken, axis=0) * 1e3 / windows for name, taken in times.items()}
    last = list(medians)[-1]
    print(f"\n{title}{'wall ms':>38}{'x':>7}{'CPU ms':>10}{'x':>7}")
    for name in runs:
        if name not in medians:
            print(f"  {name:34} not run")
            continue
        wall, cpu = medians[name]
        by_wall, by_cpu = medians[name] / medians[last]
        print(f"  {name:34}{wall:9.2f}{by_wall:7.2f}{cpu:10.2f}{by_cpu:7.2f}")
    walls = {name: [1e3 * wall_s / windows for wall_s, _ in taken] for name, taken in times.items()}
    ours, *others = walls
    ratios = {f"{key(ours)}_over_{key(other)}": ratio(walls[ours], walls[other]) for other in others}
    return {key(name): median(ms, "ms", "time") for name, ms in walls.items()} | ratios


def key(system: str) -> str:
    """A part of a figure's name."""
    return system.partition(" (")[0].partition(",")[0].replace(" ", "_").lower()


def keep(found: Found, name: str, figures: dict[str, Figure]) -> None:
    """As `window.batch_1.kernels` and so on."""
    found.figures |= {f"{name}.{part}": figure for part, figure in figures.items()}


@pytest.mark.parametrize("batch", [1, 8])
def test_filterbank(benchmark: Any, batch: int, network: PyanNet, found: Found) -> None:
    waves = noise(batch, WINDOW_SAMPLES)
    on_mlx = mx.array(waves)
    runs: Runs = {
        "kernel": lambda: sinc_pool(waves if describe().device == "cpu" else on_mlx, network.filters),
        "compiled ops": evaluated(mx.compile(sinc_pool_ops), on_mlx, network.filters.taps),
        "reference ops (conv1d and pool)": evaluated(sinc_pool_ops, on_mlx, network.filters.taps),
    }
    check(runs, BOUND)
    keep(found, f"filterbank.batch_{batch}", report(f"filterbank and pool, batch {batch}", runs, batch))
    benchmark.pedantic(runs["kernel"], rounds=ROUNDS, warmup_rounds=1)


def test_convolution(benchmark: Any, network: PyanNet, found: Found) -> None:
    x, conv = mx.array(noise(1, 5325, 80)), network.convs[0]
    runs: Runs = {
        "kernel": evaluated(conv_pool, x, conv),
        "compiled ops": evaluated(mx.compile(lambda x: conv_pool_ops(x, conv)), x),
        "reference ops": evaluated(conv_pool_ops, x, conv),
    }
    check(runs, BOUND)
    keep(found, "convolution.batch_1", report("convolution 80 -> 60 and pool", runs))
    benchmark.pedantic(runs["kernel"], rounds=ROUNDS, warmup_rounds=1)


@mx.compile
def compiled_step(projected: Any, h: Any, c: Any, w_hh: Any) -> State:
    """One frame of both directions. Shapes: projected (B, 2, 4H), h and c (B, 2, H), w_hh (2, H, 4H)."""
    gates = projected + (h.swapaxes(0, 1) @ w_hh).swapaxes(0, 1)
    i, f, g, o = mx.split(gates, 4, axis=-1)
    c = mx.sigmoid(f) * c + mx.sigmoid(i) * mx.tanh(g)
    return mx.sigmoid(o) * mx.tanh(c), c


def bilstm_compiled(x: Any, weights: LSTMWeights) -> tuple[Any, State]:
    """The layer with its step compiled: what can be had without a kernel."""
    w_hh, (h, c) = weights.w_hh.swapaxes(1, 2), zero_state(x.shape[0], weights.hidden)
    projected = mx.einsum("bti,dgi->tbdg", x, weights.w_ih) + weights.bias
    projected = mx.stack([projected[:, :, 0], projected[::-1, :, 1]], axis=2)
    states = []
    for step in projected:
        h, c = compiled_step(step, h, c, w_hh)
        states.append(h)
    y = mx.stack(states, axis=1)  # (B, T, 2, H)
    return mx.concatenate([y[:, :, 0], y[:, ::-1, 1]], axis=-1), (h, c)


@pytest.mark.parametrize("batch", [1, 8])
def test_lstm_layer(benchmark: Any, batch: int, network: PyanNet, torch_network: Any, found: Found) -> None:
    weights, x = network.lstm[1], noise(batch, WINDOW_FRAMES, 256)
    on_mlx = mx.array(x)
    source = x if describe().device == "cpu" else on_mlx
    runs: Runs = {
        "kernel": evaluated(lambda: bilstm(source, weights)[:1]),
        "compiled ops": evaluated(lambda: bilstm_compiled(on_mlx, weights)[:1]),
        "reference ops": evaluated(lambda: bilstm_ops(on_mlx, weights, zero_state(batch, weights.hidden))[:1]),
    }
    check(runs, BOUND)
    title = f"LSTM layer 256 -> 2 x 128, 589 frames, batch {batch}"
    keep(found, f"lstm.batch_{batch}", report(title, runs, batch, SLOW))
    benchmark.pedantic(runs["kernel"], rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.parametrize("batch", [1, 8])
def test_window(
    benchmark: Any, batch: int, network: PyanNet, torch_network: Any, onnx_session: Any, found: Found
) -> None:
    """A whole window, and one hop of a stream."""
    windows = noise(batch, WINDOW_SAMPLES)
    states, starts = [network.initial_window_state() for _ in range(batch)], [0] * batch
    on_mlx = mx.array(windows)

    def hop() -> Any:
        """The next hop's samples are the same ones: only their number counts."""
        starts[:] = [start + HOP_SAMPLES for start in starts]
        return evaluated(lambda: network.window_step(windows, starts, states)[0])()

    def run_torch() -> Any:
        import torch

        with torch.inference_mode():
            return torch_network(torch.from_numpy(windows)).numpy()

    runs: Runs = {
        "kernels": evaluated(network, on_mlx),
        "PyTorch": run_torch if torch_network is not None else NOT_RUN,
        "ONNX Runtime": (lambda: onnx_session.run(None, {"windows": windows[:, None]})[0]) if onnx_session else NOT_RUN,
    }
    check(runs, MAX_DIFFERENCE, relative=False)
    network.window_step(windows, starts, states)
    figures = report(f"10 s window, batch {batch}", {"kernels": runs["kernels"], "stream hop": hop} | runs, batch)
    keep(found, f"window.batch_{batch}", figures)
    benchmark.pedantic(runs["kernels"], rounds=ROUNDS, warmup_rounds=1)
