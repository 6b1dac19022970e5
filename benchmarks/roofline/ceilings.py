"""What the machine can do now: multiply-adds in registers, OpenBLAS at the engine's sizes, reads from each cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from benchmarks.roofline.reads import BLOCK, read_float32
from turnstream.kernels.backend import cpu_threads, mx, openblas, share_cores
from turnstream.kernels.cpu.simd import LANES, fma, load, splat, store
from turnstream.kernels.cpu.tile import aligned_copy

READ_BYTES = 32 << 20  # by each thread in one timing, about a millisecond
FMAS = 200_000
CHAINS = 12  # of multiply-adds that do not wait for each other; two units with a latency of 4 need 8


@numba.njit(nogil=True)  # type: ignore[misc]
def _multiply_add(out: Any, times: int) -> None:
    """`times` rounds of CHAINS independent multiply-adds of whole vectors."""
    x, y = load(out, 0), splat(np.float32(0.5))
    a, b, c, d = load(out, 0), load(out, LANES), load(out, 2 * LANES), load(out, 3 * LANES)
    e, f, g, h = load(out, 4 * LANES), load(out, 5 * LANES), load(out, 6 * LANES), load(out, 7 * LANES)
    i, j, k, m = load(out, 8 * LANES), load(out, 9 * LANES), load(out, 10 * LANES), load(out, 11 * LANES)
    for _ in range(times):
        a, b, c, d = fma(a, y, x), fma(b, y, x), fma(c, y, x), fma(d, y, x)
        e, f, g, h = fma(e, y, x), fma(f, y, x), fma(g, y, x), fma(h, y, x)
        i, j, k, m = fma(i, y, x), fma(j, y, x), fma(k, y, x), fma(m, y, x)
    n = 0
    for value in (a, b, c, d, e, f, g, h, i, j, k, m):
        store(out, n, value)
        n += LANES


@dataclass(frozen=True, slots=True)
class Rate:
    """Something to time, and how much of what is done in one time: 1e9 FLOP or bytes."""

    amount: float
    seconds: Callable[[], float]


def take_turns(timed: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The least seconds of each by name, all in turn: whatever else the machine does only adds."""
    least = dict.fromkeys(timed, float("inf"))
    for _ in range(rounds):
        for name, seconds in timed.items():
            least[name] = min(least[name], seconds())
    return least


def rates(timed: Mapping[str, Rate], rounds: int) -> dict[str, float]:
    """1e9 a second of each by name."""
    least = take_turns({name: rate.seconds for name, rate in timed.items()}, rounds)
    return {name: rate.amount / least[name] for name, rate in timed.items()}


def multiply_adds(threads: int) -> Rate:
    """FLOP in float32 of multiply-adds that never leave the registers."""
    outs = [np.zeros(CHAINS * LANES, np.float32) for _ in range(threads)]
    _multiply_add(outs[0], 1)
    amount = threads * 2 * FMAS * CHAINS * LANES / 1e9
    return Rate(amount, lambda: _together(threads, lambda n: _multiply_add(outs[n], FMAS)))


def reads(each: int, threads: int) -> Rate:
    """Bytes of so many threads that each read `each` bytes of their own, over and over."""
    arrays = [aligned_copy(np.ones(max(BLOCK, each // 4), np.float32)) for _ in range(threads)]
    outs, times = np.zeros((threads, LANES), np.float32), max(2, READ_BYTES // arrays[0].nbytes)
    read_float32(arrays[0], outs[0], 1)
    amount = threads * times * arrays[0].nbytes / 1e9
    return Rate(amount, lambda: _together(threads, lambda n: read_float32(arrays[n], outs[n], times)))


def product(rows: int, depth: int, columns: int, threads: int, dtype: Any = mx.float32) -> Rate:
    """FLOP of MLX's product of (rows, depth) and (depth, columns); in float32 that is OpenBLAS."""
    a, b = (mx.random.normal(shape).astype(dtype) for shape in ((rows, depth), (depth, columns)))
    mx.eval(a, b, a @ b)
    return Rate(2 * rows * depth * columns / 1e9, on_threads(threads, lambda: mx.eval(a @ b)))


def on_threads(threads: int, run: Callable[[], Any]) -> Callable[[], float]:
    """Seconds of one call, with so many threads for the kernels and for OpenBLAS."""

    def seconds() -> float:
        before = openblas.openblas_get_num_threads() if openblas else None
        share_cores(max(1, cpu_threads() // threads))
        try:
            if openblas:
                openblas.openblas_set_num_threads(threads)
            return seconds_of(run)
        finally:
            share_cores(1)
            if openblas:
                openblas.openblas_set_num_threads(before)

    return seconds


def seconds_of(run: Callable[[], Any]) -> float:
    """Of one call."""
    begun_s = time.perf_counter()
    run()
    return time.perf_counter() - begun_s


def _together(threads: int, run: Callable[[int], Any]) -> float:
    """Seconds until `run` of every thread's number has returned; compiled code, without the interpreter's lock."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(time.sleep, [0.001] * threads))  # every thread is there
        return seconds_of(lambda: list(pool.map(run, range(threads))))
