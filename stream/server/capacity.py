"""How many live sessions this machine holds, measured with the models that will serve them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..audio.fbank import MEL_BINS, ROW_STEP_SAMPLES
from ..models.batcher import Batcher
from ..models.requests import F32
from ..windows import HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES

ROUNDS, STREAMS = 6, 4
EMBEDDINGS_PER_HOP = 1.3  # on conversations; their crops have about a second of speech
REST_S = 0.003  # of one core: stitching, timeline, wire, what a hop costs beside the models
LOAD = 0.7  # share of the time that may be used up, or windows would wait for each other (benchmarks/serve.py)


def measure_capacity(batcher: Batcher) -> int:
    """Sessions at real time for which there is room, at least 1. Takes about a second; the best moments of it count."""
    hop_s = HOP_SAMPLES / SAMPLE_RATE_HZ
    cost_s = _window_s(batcher) + EMBEDDINGS_PER_HOP * _embedding_s(batcher) + REST_S / batcher.threads
    return max(1, int(LOAD * hop_s / cost_s))


def _window_s(batcher: Batcher) -> float:
    """Seconds for one window of several streams that ask at once; the best of some hops."""
    samples = WINDOW_SAMPLES + ROUNDS * HOP_SAMPLES
    noise: F32 = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    states = [batcher.initial_state() for _ in range(STREAMS)]
    times = []
    with ThreadPoolExecutor(STREAMS) as pool:
        for start in range(0, ROUNDS * HOP_SAMPLES, HOP_SAMPLES):
            begun_s = time.perf_counter()
            asked = [pool.submit(batcher.segment, noise[start:][:WINDOW_SAMPLES], start, state) for state in states]
            states = [answer.result()[1] for answer in asked]
            times.append((time.perf_counter() - begun_s) / STREAMS)
    return min(times[1:])  # the first one has the whole filterbank to compute


def _embedding_s(batcher: Batcher) -> float:
    shape = (SAMPLE_RATE_HZ // ROW_STEP_SAMPLES, MEL_BINS)
    crop: F32 = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    times = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        batcher.embed([crop])
        times.append(time.perf_counter() - begun_s)
    return min(times)
