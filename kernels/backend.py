"""Which device and which BLAS the kernels run on; the one place that imports MLX.

MLX's Linux wheel links the reference BLAS (about 4 GFLOP/s). The dynamic linker binds `cblas_sgemm` to whichever
library was loaded first with global visibility, so OpenBLAS is loaded here *before* `mlx.core` is imported and MLX then
runs at the speed of OpenBLAS (about 380 GFLOP/s on two AVX-512 cores). Import MLX only as

    from .backend import mx
"""

from __future__ import annotations

import ctypes
import ctypes.util
import glob
import importlib.util
import os
import sys
import time
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import Any

__all__ = [
    "Backend",
    "cpu_threads",
    "describe",
    "like",
    "measure_gflops",
    "mx",
    "on_cpu",
    "on_cuda",
    "on_metal",
    "openblas",
    "share_cores",
    "team_threads",
]

OPENBLAS_PACKAGE = "cmeel-openblas"
AVX512_CORES = ("SKYLAKEX", "COOPERLAKE", "SAPPHIRERAPIDS")
SLOW_GFLOPS = 30.0  # reference BLAS gives 2-5 on one core of any machine, OpenBLAS 30 or more


@dataclass(frozen=True)
class Backend:
    """What the kernels run on, for people to read."""

    device: str  # "metal", "cuda" or "cpu"
    blas: str | None  # path of the BLAS under MLX and the CPU kernels; None is what MLX itself links
    mlx_version: str
    threads: int
    warnings: tuple[str, ...]


def _openblas_path() -> str | None:
    """The OpenBLAS that the package brings, else one of the system, else None."""
    try:
        package = metadata.distribution(OPENBLAS_PACKAGE)
    except metadata.PackageNotFoundError:
        return ctypes.util.find_library("openblas")
    names = [f for f in package.files or () if f.name.startswith("libopenblas.so")]
    paths = [str(package.locate_file(f)) for f in names]
    return next((p for p in paths if os.path.exists(p)), None)


def _lend_gfortran() -> None:
    """Load the Fortran run time that MLX's wheel bundles as `libgfortran.so.5`, for machines that have none.

    OpenBLAS asks for it by that name. The bundled copy carries another (wheels rename what they bundle), so the name is
    put back in a copy in memory. Errors: OSError if there is nothing to lend.
    """
    spec = importlib.util.find_spec("mlx")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    folders = [os.path.join(os.path.dirname(root), "mlx_cpu.libs") for root in roots]
    bundled = {
        part: glob.glob(os.path.join(d, f"lib{part}-*.so.*")) for d in folders for part in ("quadmath", "gfortran")
    }
    if not bundled.get("gfortran"):
        raise OSError("libgfortran.so.5 is missing: install the system's libgfortran5")
    for path in bundled["quadmath"]:
        ctypes.CDLL(path)
    path = bundled["gfortran"][0]
    name = os.path.basename(path).encode() + b"\0"
    with open(path, "rb") as file:
        image = file.read().replace(name, b"libgfortran.so.5".ljust(len(name), b"\0"))
    memory = os.memfd_create("libgfortran.so.5")
    with os.fdopen(memory, "wb") as file:
        file.write(image)
        file.flush()
        ctypes.CDLL(f"/proc/self/fd/{memory}")


def _open_globally(path: str) -> ctypes.CDLL:
    """The library with its symbols visible to all; lends it a Fortran run time where the system has none.

    Errors: OSError where it cannot be opened or was built for another processor, whose instructions would kill us.
    """
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        if "gfortran" not in str(error):
            raise
        _lend_gfortran()
        library = ctypes.CDLL(path)
    if _core_name(library) in AVX512_CORES and not _has_avx512():
        raise OSError(f"{path} needs AVX-512, which this processor lacks: pip install {OPENBLAS_PACKAGE}==0.3.29")
    return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


def _core_name(library: ctypes.CDLL) -> str:
    """The processor family whose kernels the library uses, such as `ZEN`."""
    library.openblas_get_corename.restype = ctypes.c_char_p
    return str(library.openblas_get_corename().decode()).upper()


def _has_avx512() -> bool:
    with open("/proc/cpuinfo") as file:
        return any("avx512f" in line.split() for line in file if line.startswith("flags"))


def _load_openblas() -> tuple[ctypes.CDLL | None, str | None, tuple[str, ...]]:
    """OpenBLAS made visible to MLX, its path, and what went wrong."""
    if sys.platform != "linux":
        return None, None, ()
    # An idle OpenBLAS thread spins for 25 ms before it sleeps, on the core that the next kernel needs.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    late = "mlx.core" in sys.modules
    path = _openblas_path()
    if path is None:
        return None, None, (f"MLX runs on reference BLAS, up to 100 times slower: pip install {OPENBLAS_PACKAGE}",)
    try:
        library = _open_globally(path)
    except OSError as error:
        return None, None, (f"MLX runs on reference BLAS, up to 100 times slower: {error}",)
    if late:
        message = (
            "mlx was imported before turnstream, so it runs on reference BLAS: import turnstream.kernels.backend first"
        )
        return library, path, (message,)
    return library, path, ()


openblas, _blas_path, _warnings = _load_openblas()

# On M5 and CUDA, MLX multiplies float32 in TF32 (error 1e-3) unless told not to: too coarse for parity with PyTorch.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

import mlx.core as mx  # noqa: E402  (OpenBLAS has to be there first)

for _message in _warnings:
    warnings.warn(_message, RuntimeWarning, stacklevel=2)


def on_metal() -> bool:
    """True where MLX computes on an Apple GPU."""
    return mx.default_device() == mx.gpu and mx.metal.is_available()


def on_cuda() -> bool:
    """True where MLX computes on an NVIDIA GPU."""
    return mx.default_device() == mx.gpu and mx.cuda.is_available()


def on_cpu() -> bool:
    """True where MLX computes on the CPU, and so the kernels do."""
    return mx.default_device() == mx.cpu


def like(x: Any, y: Any) -> Any:
    """The NumPy array y as the kind of array that x is, MLX's or NumPy's."""
    return mx.array(y) if isinstance(x, mx.array) else y


def cpu_threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_sharers = 1


def share_cores(computations: int) -> None:
    """So many computations go on at once from now on; each gets its part of the cores."""
    global _sharers
    _sharers = computations


def team_threads() -> int:
    """Threads that one computation on the CPU may use now, at least 1."""
    return max(1, cpu_threads() // _sharers)


def describe() -> Backend:
    """The device, BLAS, version and threads in use, and what makes them slow."""
    device = "metal" if on_metal() else "cuda" if on_cuda() else "cpu"
    threads = int(openblas.openblas_get_num_threads()) if openblas is not None else cpu_threads()
    return Backend(device, _blas_path, metadata.version("mlx"), threads, _warnings)


def measure_gflops(size: int = 1024, seconds: float = 0.3) -> float:
    """GFLOP/s of the best float32 product of two (size, size) matrices in about `seconds`."""
    a = mx.random.normal((size, size))
    mx.eval(a, a @ a)
    best_s, end_s = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        start_s = time.perf_counter()
        mx.eval(a @ a)
        best_s = min(best_s, time.perf_counter() - start_s)
    return 2 * size**3 / best_s / 1e9
