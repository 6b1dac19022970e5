"""Several threads in one compiled loop, without a barrier that waits for a thread the system has not scheduled.

A computation is a sequence of phases. A phase consists of chunks, and starts once all of the previous phase is done.
Every running thread claims the next chunk, so that a busy machine slows the computation down only in proportion: a
thread that starts late finds the work done. Numba's own parallel loops divide the chunks in advance and wait for each
thread.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="call-arg"
from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from ..backend import team_threads
from .jit import compiled

MAX_THREADS = 4  # a crop of a few seconds does not have enough work for more
SPINS_BEFORE_YIELD = 200
_CLAIMED, _DONE = 0, 1
_LINE = 8  # int64 per cache line: each counter has its own line
_sched_yield = types.ExternalFunction("sched_yield", types.int32())
_pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="kernel")


def run(function: Callable[..., None], phases: int, *arguments: Any) -> None:
    """Run function(*arguments, counters) here and on the other threads; returns when the work is done.

    `function` must be compiled with nogil=True, claim its chunks with `claim`, report them with `finish`, and call
    `wait` at the end of each phase.
    """
    counters = np.zeros((phases, 2, _LINE), np.int64)
    for _ in range(min(MAX_THREADS, team_threads()) - 1):
        with contextlib.suppress(RuntimeError):  # the script has ended, and this thread goes on alone
            _pool.submit(function, *arguments, counters)
    function(*arguments, counters)


@intrinsic
def _fetch_add(typingctx: Any, address: Any):
    """Atomically add 1 to the int64 at `address`; returns the previous value."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, ir.IntType(64)(1), "seq_cst")

    return types.int64(types.intp), emit


@intrinsic
def _load(typingctx: Any, address: Any):
    """Atomic load of the int64 at `address`; writes made before it was incremented are visible afterwards."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(types.intp), emit


@compiled()
def claim(counters: Any, phase: int) -> Any:
    """The next chunk of the phase, for the caller to compute; at or past the number of chunks if none are left."""
    return _fetch_add(counters.ctypes.data + 8 * _LINE * (2 * phase + _CLAIMED))


@compiled()
def finish(counters: Any, phase: int) -> None:
    """Report one claimed chunk as done."""
    _fetch_add(counters.ctypes.data + 8 * _LINE * (2 * phase + _DONE))


@compiled()
def wait(counters: Any, phase: int, chunks: int) -> None:
    """Wait until all chunks of the phase are done."""
    spins = 0
    while _load(counters.ctypes.data + 8 * _LINE * (2 * phase + _DONE)) < chunks:
        spins += 1
        if spins > SPINS_BEFORE_YIELD:
            _sched_yield()
