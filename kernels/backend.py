"""Chooses the device and the BLAS that the kernels run on; the only module that imports MLX.

MLX's Linux wheel links the reference BLAS (about 4 GFLOP/s). The dynamic linker binds `cblas_sgemm` to whichever
library was loaded first with global visibility. So OpenBLAS is loaded here *before* `mlx.core` is imported, and MLX
then runs at the speed of OpenBLAS (about 380 GFLOP/s on two AVX-512 cores). Import MLX only as

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

from .cpu_quota import quota_cores

__all__ = [
    "Backend",
    "cpu_threads",
    "describe",
    "like",
    "limit_cache",
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
CACHE_LIMIT_BYTES = 256 * 2**20  # of freed GPU buffers: no later crop fits those of a crop of another length
AVX512_CORES = ("SKYLAKEX", "COOPERLAKE", "SAPPHIRERAPIDS")
SLOW_GFLOPS = 30.0  # reference BLAS gives 2-5 on one core of any machine, OpenBLAS 30 or more


@dataclass(frozen=True)
class Backend:
    """A readable description of what the kernels run on."""

    device: str  # "metal", "cuda" or "cpu"
    blas: str | None  # path of the BLAS that MLX and the CPU kernels use; None: the one MLX links
    mlx_version: str
    threads: int
    warnings: tuple[str, ...]


def cpu_threads() -> int:
    """Number of cores this process may use, by its affinity and by the quota of its container; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, quota_cores())))  # not rounded up: threads beyond a quota are stopped in mid-work


def _openblas_path() -> str | None:
    """The OpenBLAS from the package, else the system's, else None."""
    try:
        package = metadata.distribution(OPENBLAS_PACKAGE)
    except metadata.PackageNotFoundError:
        return ctypes.util.find_library("openblas")
    names = [f for f in package.files or () if f.name.startswith("libopenblas.so")]
    paths = [str(package.locate_file(f)) for f in names]
    return next((p for p in paths if os.path.exists(p)), None)


def _load_bundled_gfortran() -> None:
    """Load the Fortran runtime bundled in MLX's wheel as `libgfortran.so.5`, on machines without one.

    OpenBLAS needs a library of that name. Wheels rename the libraries they bundle, so the name is restored in an
    in-memory copy. Errors: OSError if there is no bundled runtime.
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
    """Load the library with global symbols, together with MLX's bundled Fortran runtime where the system has none.

    Errors: OSError if it cannot be opened, or if it uses instructions that this processor lacks.
    """
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        if "gfortran" not in str(error):
            raise
        _load_bundled_gfortran()
        library = ctypes.CDLL(path)
    if _core_name(library) in AVX512_CORES and not _has_avx512():
        raise OSError(f"{path} needs AVX-512, which this processor lacks: pip install {OPENBLAS_PACKAGE}==0.3.29")
    return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


def _core_name(library: ctypes.CDLL) -> str:
    """The processor family whose kernels the library selected, such as `ZEN`."""
    library.openblas_get_corename.restype = ctypes.c_char_p
    return str(library.openblas_get_corename().decode()).upper()


def _has_avx512() -> bool:
    with open("/proc/cpuinfo") as file:
        return any("avx512f" in line.split() for line in file if line.startswith("flags"))


def _load_openblas() -> tuple[ctypes.CDLL | None, str | None, tuple[str, ...]]:
    """OpenBLAS, visible to MLX, its path, and warnings."""
    if sys.platform != "linux":
        return None, None, ()
    # By default an idle OpenBLAS thread spins for 25 ms before it sleeps, on the core that the next kernel needs.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    late = "mlx.core" in sys.modules
    path = _openblas_path()
    if path is None:
        return None, None, (f"MLX runs on reference BLAS, up to 100 times slower: pip install {OPENBLAS_PACKAGE}",)
    try:
        library = _open_globally(path)
        if cpu_threads() < library.openblas_get_num_threads():  # it knows the affinity, not the quota
            library.openblas_set_num_threads(cpu_threads())
    except OSError as error:
        return None, None, (f"MLX runs on reference BLAS, up to 100 times slower: {error}",)
    if late:
        message = (
            "mlx was imported before turnstream, so it runs on reference BLAS: import turnstream.kernels.backend first"
        )
        return library, path, (message,)
    return library, path, ()


openblas, _blas_path, _warnings = _load_openblas()

# On M5 and CUDA, MLX multiplies float32 in TF32 (error 1e-3) by default: too coarse for parity with PyTorch.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

import mlx.core as mx  # noqa: E402  (OpenBLAS must be loaded first)

for _message in _warnings:
    warnings.warn(_message, RuntimeWarning, stacklevel=2)


def on_metal() -> bool:
    """Whether MLX computes on an Apple GPU."""
    return mx.default_device() == mx.gpu and mx.metal.is_available()


def on_cuda() -> bool:
    """Whether MLX computes on an NVIDIA GPU."""
    return mx.default_device() == mx.gpu and mx.cuda.is_available()


def on_cpu() -> bool:
    """Whether MLX, and therefore the kernels, compute on the CPU."""
    return mx.default_device() == mx.cpu


def like(x: Any, y: Any) -> Any:
    """The NumPy array y, converted to MLX if x is an MLX array."""
    return mx.array(y) if isinstance(x, mx.array) else y


def limit_cache() -> None:
    """Bound the freed buffers that MLX keeps: on a GPU they would grow by gigabytes as the sizes vary.

    On the CPU none are kept: the C library has its own.
    """
    mx.set_cache_limit(0 if on_cpu() else CACHE_LIMIT_BYTES)


_computations = 1


def share_cores(computations: int) -> None:
    """Set how many computations run at the same time; each gets an equal share of the cores."""
    global _computations
    _computations = computations


def team_threads() -> int:
    """Number of threads that one CPU computation may use now, at least 1."""
    return max(1, cpu_threads() // _computations)


def describe() -> Backend:
    """The device, BLAS, MLX version and threads in use, and warnings about slow setups."""
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
