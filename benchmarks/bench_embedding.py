"""CAM++ on one crop: our kernels, the reference ops, PyTorch and ONNX Runtime, and Kaldi features.

    pytest benchmarks/bench_embedding.py -s [--results FOLDER]

Each system is checked against the reference ops before it is timed. The systems take turns, one call each, so that a
busy machine slows all of them alike; printed are medians in ms and their ratio to ONNX Runtime's. PyTorch and ONNX
Runtime come with the `peers` extra and are "not run" without it.
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
from benchmarks.results import median, ratio
from turnstream.audio.fbank import ROW_STEP_SAMPLES
from turnstream.kernels.backend import cpu_threads, describe, mx
from turnstream.models.embedding import CamPlusPlus, fbank
from turnstream.weights.store import embedding_weights

CROPS_S = (0.5, 1.5, 3.0, 6.0)
PACKAGES = ("mlx", "numba", "torch", "onnxruntime")
ROUNDS = 15
MAX_DIFFERENCE = 1e-4  # of embeddings whose values are about 1
Run = Callable[[], np.ndarray]


@pytest.fixture(scope="module")
def network() -> CamPlusPlus:
    versions = {name: metadata.version(name) if installed(name) else "not installed" for name in PACKAGES}
    print(f"\n{platform.machine()}, {cpu_threads()} cores, {describe().device}, {versions}")
    return CamPlusPlus(embedding_weights())


@pytest.fixture(scope="module")
def torch_network() -> Any:
    return nets.torch_embedding(embedding_weights(), cpu_threads()) if installed("torch") else None


@pytest.fixture(scope="module")
def onnx_session(torch_network: Any) -> Any:
    if torch_network is None or not installed("onnx", "onnxruntime"):
        return None
    return nets.onnx_session(nets.onnx_embedding(torch_network), cpu_threads())


def systems(features: np.ndarray, network: CamPlusPlus, torch_network: Any, onnx_session: Any) -> dict[str, Run]:
    """Those that can run here, each as a call that gives the embedding."""
    crop = mx.array(features)
    runs: dict[str, Run] = {"kernels": lambda: np.array(network(crop))}
    runs["reference ops"] = lambda: np.array(network(crop, use_kernel=False))
    if torch_network is not None:
        import torch

        tensor = torch.tensor(features)

        def run_torch() -> np.ndarray:
            with torch.inference_mode():
                return torch_network(tensor).numpy()

        runs["PyTorch"] = run_torch
    if onnx_session is not None:
        runs["ONNX Runtime"] = lambda: onnx_session.run(None, {"features": features})[0]
    return runs


def times_s(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start_s = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start_s)
    return seconds


@pytest.mark.parametrize("seconds", CROPS_S)
def test_crop(
    benchmark: Any, seconds: float, network: CamPlusPlus, torch_network: Any, onnx_session: Any, found: Found
) -> None:
    rows = int(seconds * 16000 - 400) // ROW_STEP_SAMPLES + 1
    features = np.random.default_rng(1).standard_normal((1, rows, 80)).astype(np.float32)
    runs = systems(features, network, torch_network, onnx_session)
    expected = runs["reference ops"]()
    for name, run in runs.items():
        assert np.abs(run() - expected).max() < MAX_DIFFERENCE, name
    times = times_s({k: v for k, v in runs.items() if k != "reference ops"}, ROUNDS)
    crop = f"crop_{seconds:g}s"
    for name in times:
        key = name.replace(" ", "_").lower()
        found.figures[f"{crop}.{key}"] = median([1e3 * s for s in times[name]], "ms", "time")
        if name != "kernels":
            found.figures[f"{crop}.kernels_over_{key}"] = ratio(times["kernels"], times[name])
    times |= times_s({"reference ops": runs["reference ops"]}, 3)  # on a CPU too slow to take turns with
    medians = {name: float(np.median(taken)) for name, taken in times.items()}
    peer_s = medians.get("ONNX Runtime")
    print(f"\n{seconds} s crop, {rows} rows")
    for name in ("kernels", "reference ops", "PyTorch", "ONNX Runtime"):
        if name in medians:
            share = f"{medians[name] / peer_s:6.2f} x ONNX Runtime" if peer_s else ""
            print(f"  {name:14}{medians[name] * 1e3:8.1f} ms {share}")
        else:
            print(f"  {name:14} not run")
    benchmark.pedantic(runs["kernels"], rounds=ROUNDS, warmup_rounds=1)


def test_features(benchmark: Any) -> None:
    """80-bin fbank of 10 s of audio."""
    samples = np.random.default_rng(1).standard_normal(160_000).astype(np.float32) / 10
    assert fbank(samples).shape == (998, 80)
    benchmark(fbank, samples)
