"""What this machine runs turnstream on, how fast, and what makes it slower than it could be."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from turnstream.weights.artifacts import DEMO, EMBEDDING, SEGMENTATION
from turnstream.weights.store import demo_recording, models_list, models_where
from turnstream.windows import HOP_SAMPLES, SAMPLE_RATE_HZ

from .sources.devices import MicrophoneError, input_devices, portaudio
from .terminal.screen import count

if TYPE_CHECKING:
    from turnstream.kernels.backend import Backend
    from turnstream.session import Session

HOP_MS = 1000 * HOP_SAMPLES / SAMPLE_RATE_HZ
SLOW_HOP_MS = HOP_MS / 2  # with less room than this, a busy moment leaves the stream behind
TIMED_HOPS = 50  # 25 s of audio
LONGEST_MS = 8000.0


@dataclass(frozen=True)
class Finding:
    """One line of the report; `warning` says what is wrong and how to mend it."""

    name: str
    value: str
    warning: str | None = None


@dataclass(frozen=True)
class Speed:
    """Time for one hop of a live stream, everything included; recordings; live streams at the hop of each key."""

    median_ms: float
    p95_ms: float
    times_real_time: float
    sessions: dict[float, int]
    speech: bool  # False: measured on noise, which needs no embeddings


def examine() -> Iterator[Finding]:
    """The findings one by one, the quick ones first."""
    checks: tuple[Callable[[], Finding], ...] = (_python, _device, _blas, _gflops, _threads, _numba, _portaudio)
    for check in checks:
        yield check()
    present = True
    for finding in _weights():
        present &= finding.warning is None
        yield finding
    if present:
        yield from _speed()


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _device() -> Finding:
    backend = _backend()
    return Finding("device", f"{backend.device}, MLX {backend.mlx_version}")


def _blas() -> Finding:
    backend = _backend()
    return Finding("BLAS", backend.blas or "MLX's own", " ".join(backend.warnings) or None)


def _gflops() -> Finding:
    from turnstream.kernels.backend import SLOW_GFLOPS, measure_gflops

    gflops = measure_gflops()
    slow = f"matrix products run at {gflops:.1f} GFLOP/s where {SLOW_GFLOPS:.0f} or more are expected"
    return Finding("matrix products", f"{gflops:.0f} GFLOP/s", slow if gflops < SLOW_GFLOPS else None)


def _threads() -> Finding:
    from turnstream.kernels.backend import cpu_threads

    threads, cores = _backend().threads, cpu_threads()
    few = f"BLAS uses {threads} of {cores} cores: unset OPENBLAS_NUM_THREADS and OMP_NUM_THREADS"
    return Finding("threads", f"{threads} for {cores} cores", few if threads < cores else None)


def _numba() -> Finding:
    """The kernels of the CPU path are compiled by Numba; GPUs have their own."""
    on_cpu = _backend().device == "cpu"
    if importlib.util.find_spec("numba") is None:
        slow = f"Numba is missing: one window takes about as long as a hop ({HOP_MS:.0f} ms) lasts: pip install numba"
        return Finding("Numba", "missing", slow if on_cpu else None)
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return Finding("Numba", "switched off", "NUMBA_DISABLE_JIT is set, the kernels run many times slower: unset it")
    return Finding("Numba", metadata.version("numba"))


def _portaudio() -> Finding:
    try:
        version = portaudio().get_portaudio_version()[1].split(",")[0]
        inputs = len(input_devices())
    except MicrophoneError as error:
        return Finding("PortAudio", "missing", str(error))
    return Finding("PortAudio", f"{version.removeprefix('PortAudio ')}, {count(inputs, 'input')}")


def _weights() -> Iterator[Finding]:
    for status in models_list():
        if status.name in (SEGMENTATION.name, EMBEDDING.name):
            missing = f"the {status.name} weights are {status.state}: run turnstream models pull"
            yield Finding(f"{status.name} weights", status.state, None if status.state == "ready" else missing)
    yield Finding("cache", str(models_where()))


def _speed() -> Iterator[Finding]:
    speed = measure_speed()
    what = "speech" if speed.speech else "noise"
    value = f"{speed.median_ms:.0f} ms, 95 % under {speed.p95_ms:.0f} ms ({HOP_MS:.0f} ms of {what})"
    slow = f"one hop takes {speed.p95_ms:.0f} ms where {SLOW_HOP_MS:.0f} are safe: live streams may fall behind"
    yield Finding("one hop", value, slow if speed.p95_ms > SLOW_HOP_MS else None)
    yield Finding("recordings", f"{speed.times_real_time:.0f} times real time (a short one; the processor limits it)")
    yield Finding("live streams", ", ".join(f"{n} at a hop of {hop_s:g} s" for hop_s, n in speed.sessions.items()))


def measure_speed() -> Speed:
    """Feed a live session hop by hop, as fast as it goes, and one that is not live, for a few seconds."""
    from turnstream.diarizer import Diarizer
    from turnstream.server.capacity import measure_capacity
    from turnstream.server.hops import load

    samples, speech = _sound()
    with Diarizer() as diarizer:
        times_ms = list(_hop_times_ms(diarizer.session(), samples))
        begun_s = time.perf_counter()
        recording = diarizer.session(live=False)
        recording.feed(samples)
        recording.close()
        times_real_time = len(samples) / SAMPLE_RATE_HZ / (time.perf_counter() - begun_s)
        room = measure_capacity(diarizer.models)
    sessions = {hop_s: int(room / load(hop_s)) for hop_s in (0.5, 1.0)}
    median_ms, p95_ms = (float(np.percentile(times_ms, share)) for share in (50, 95))
    return Speed(median_ms, p95_ms, times_real_time, sessions, speech)


def _hop_times_ms(session: Session, samples: NDArray[np.float32]) -> Iterator[float]:
    left_ms = LONGEST_MS
    for start in range(0, len(samples), HOP_SAMPLES):
        begun_s = time.perf_counter()
        session.feed(samples[start : start + HOP_SAMPLES])
        took_ms = 1000 * (time.perf_counter() - begun_s)
        left_ms -= took_ms
        yield took_ms
        if left_ms < 0:
            break


def _sound() -> tuple[NDArray[np.float32], bool]:
    """Audio at 16 kHz, and whether it is speech; nothing is fetched for it."""
    hops = TIMED_HOPS * HOP_SAMPLES
    if all(status.state == "ready" for status in models_list() if status.name == DEMO.name):
        samples, _ = soundfile.read(demo_recording()[0], frames=hops, dtype="float32")
        return samples, True
    return np.random.default_rng(0).normal(0, 0.05, hops).astype(np.float32), False


def _backend() -> Backend:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are part of the report
        from turnstream.kernels.backend import describe
    return describe()
