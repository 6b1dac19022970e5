"""MLX runs on OpenBLAS where that is installed, and says what is slow where it does not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from ctypes import c_float, c_int, c_void_p
from pathlib import Path

import numpy as np
import pytest

from turnstream.kernels import backend
from turnstream.kernels.backend import describe, measure_gflops, mx

ROOT = Path(__file__).resolve().parent.parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems bring their own BLAS")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_describe_names_the_device_and_versions() -> None:
    found = describe()
    assert found.device in ("cpu", "metal", "cuda")
    assert found.mlx_version.split(".")[0].isdigit()
    assert found.threads >= 1
    assert found.warnings == ()


@linux
def test_openblas_is_what_mlx_calls() -> None:
    """A product in MLX takes as long as in OpenBLAS itself; in reference BLAS 20 times as long or more."""
    assert describe().blas is not None
    library, size = backend.openblas, 512
    assert library is not None
    library.cblas_sgemm.argtypes = [c_int] * 6 + [c_float, c_void_p, c_int, c_void_p, c_int, c_float, c_void_p, c_int]
    a = np.ones((size, size), np.float32)
    pointer, on_mlx = a.ctypes.data, mx.array(a)
    out = np.empty_like(a)

    def direct() -> None:
        of_a, of_b, of_out = (pointer, size), (pointer, size), (out.ctypes.data, size)
        library.cblas_sgemm(101, 111, 111, size, size, size, 1.0, *of_a, *of_b, 0.0, *of_out)

    ours, theirs = fastest_s(lambda: mx.eval(on_mlx @ on_mlx)), fastest_s(direct)
    assert out[0, 0] == size
    assert ours < 5 * theirs


def fastest_s(run: Callable[[], object], rounds: int = 15) -> float:
    times = []
    for _ in range(rounds):
        start_s = time.perf_counter()
        run()
        times.append(time.perf_counter() - start_s)
    return min(times)


def test_measured_speed_is_positive() -> None:
    assert measure_gflops(256, seconds=0.05) > 0


@pytest.mark.slow
@linux
def test_mlx_imported_first_is_said_once() -> None:
    result = run(
        "import mlx.core, warnings; warnings.simplefilter('always')\n"
        "import turnstream.kernels.backend; import turnstream.kernels.lstm"
    )
    assert result.returncode == 0
    assert result.stderr.count("import turnstream.kernels.backend first") == 1


@linux
def test_backend_imported_first_says_nothing() -> None:
    result = run(
        "import warnings; warnings.simplefilter('error')\n"
        "from turnstream.kernels.backend import describe; print(describe())"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "openblas" in result.stdout


@linux
def test_without_openblas_it_still_runs_and_says_how_to_mend_it() -> None:
    code = "from importlib import metadata as m; import ctypes.util as u\n"
    code += "def none(name): raise m.PackageNotFoundError(name)\n"
    code += "real, m.distribution, u.find_library = m.distribution, none, lambda name: None\n"
    code += "from turnstream.kernels.backend import mx, _warnings; m.distribution = real\n"
    code += "print((mx.ones(3) + 1).tolist(), _warnings)"
    result = run(code)
    assert result.returncode == 0
    assert "[2.0, 2.0, 2.0]" in result.stdout
    assert "pip install cmeel-openblas" in result.stdout


@linux
def test_openblas_for_another_processor_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calling it would end the process with an illegal instruction."""
    path = describe().blas
    assert path is not None
    monkeypatch.setattr(backend, "_core_name", lambda library: "SKYLAKEX")
    monkeypatch.setattr(backend, "_has_avx512", lambda: False)
    with pytest.raises(OSError, match=r"needs AVX-512, which this processor lacks: pip install cmeel-openblas"):
        backend._open_globally(path)
    monkeypatch.setattr(backend, "_has_avx512", lambda: True)
    assert backend._open_globally(path).openblas_get_num_threads() >= 1


@linux
def test_idle_blas_threads_sleep() -> None:
    """They would spin on the core that the next kernel needs."""
    code = "import os; os.environ.pop('OPENBLAS_THREAD_TIMEOUT', None); import turnstream.kernels.backend\n"
    code += "print(os.environ['OPENBLAS_THREAD_TIMEOUT'])"
    assert run(code).stdout.strip() == "4"


@pytest.mark.parametrize(("on_cpu", "limit"), [(False, 256 * 2**20), (True, 0)])
def test_the_buffer_cache_is_limited(monkeypatch: pytest.MonkeyPatch, on_cpu: bool, limit: int) -> None:
    """Crops of varying length otherwise let it grow, on a GPU to gigabytes."""
    asked: list[int] = []
    monkeypatch.setattr(backend, "on_cpu", lambda: on_cpu)
    monkeypatch.setattr(mx, "set_cache_limit", asked.append)
    backend.limit_cache()
    assert asked == [limit]


def test_device_questions_agree() -> None:
    assert [backend.on_metal(), backend.on_cuda(), backend.on_cpu()].count(True) == 1
    assert backend.on_cpu() == (mx.default_device() == mx.cpu)
