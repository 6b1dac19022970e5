"""The CUDA bodies: compiled by nvcc where it exists, equal to the reference in the simulator and on an NVIDIA GPU.

`REQUIRE_CUDA=1` turns the skips on machines without nvcc or a GPU into failures.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import kernel_checks as check
import pytest
from metal_on_cpu import KernelFault, need, needs_compiler, on_mlx
from metal_on_cpu import cuda_kernel as simulated_kernel

from turnstream.kernels.backend import mx, on_cuda
from turnstream.kernels.gpu import lstm as lstm_gpu
from turnstream.kernels.gpu import sincnet as sincnet_gpu

both = pytest.mark.parametrize("where", [pytest.param("simulated", marks=needs_compiler), "device"])

# What MLX puts before a body (mlx/backend/cuda/custom_kernel.cpp and device/utils.cuh), as far as bodies use it.
PRELUDE = """
#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda/std/array>
using Shape = cuda::std::array<int32_t, 10>;
"""
CUDA_TYPES = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16"}
REGISTERS = 65536  # 32-bit registers of one multiprocessor


def body(module: ModuleType, where: str, seed: int = 0) -> Any:
    """The kernel of `module` as MLX or the simulator has it."""
    if where == "device":
        need(on_cuda(), "CUDA device", "REQUIRE_CUDA")
        return module.cuda_kernel
    return on_mlx(simulated_kernel(**module.KERNEL, source=module.CUDA_SOURCE, header=module.CUDA_HEADER), seed=seed)


@both
@pytest.mark.parametrize("dtype", check.DTYPES, ids=str)
@pytest.mark.parametrize(("batch", "frames"), [(1, 17), (7, 2)])
def test_bilstm(where: str, batch: int, frames: int, dtype: Any) -> None:
    check.check_bilstm(body(lstm_gpu, where, seed=1), batch, frames, 128, dtype)


@both
def test_bilstm_of_strided_inputs_and_in_two_parts(where: str) -> None:
    kernel = body(lstm_gpu, where, seed=2)
    check.check_bilstm_strided(kernel)
    check.check_bilstm_split(kernel, 7)


@both
@pytest.mark.parametrize("dtype", check.DTYPES, ids=str)
@pytest.mark.parametrize(("batch", "samples"), [(1, 271), (2, 1231)])
def test_sinc_pool(where: str, batch: int, samples: int, dtype: Any) -> None:
    check.check_sinc_pool(body(sincnet_gpu, where, seed=1), batch, samples, dtype)


@pytest.mark.slow
@both
def test_whole_windows(where: str) -> None:
    check.check_bilstm(body(lstm_gpu, where), 1, 589, 128)
    check.check_sinc_pool(body(sincnet_gpu, where), 1, 160_000)


@needs_compiler
def test_the_simulator_sees_a_missing_barrier() -> None:
    first, _, rest = lstm_gpu.CUDA_SOURCE.rpartition("__syncthreads();")
    kernel = on_mlx(simulated_kernel(**lstm_gpu.KERNEL, source=first + rest, header=lstm_gpu.CUDA_HEADER))
    with pytest.raises(KernelFault, match=r"(race on|uninitialized read of threadgroup array) hidden"):
        check.check_bilstm(kernel, 1, 5, 128)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Registers a thread of each kernel and storage type, compiled for sm_80 as MLX wraps it."""
    need(shutil.which("nvcc") is not None, "nvcc", "REQUIRE_CUDA")
    folder: Path = tmp_path_factory.mktemp("cuda")
    instances = [wrapped(*case) for case in cases()]
    (folder / "kernels.cu").write_text("\n".join([PRELUDE, lstm_gpu.CUDA_HEADER, sincnet_gpu.CUDA_HEADER, *instances]))
    command = ["nvcc", "-std=c++17", "-cubin", "-arch=sm_80", "--resource-usage", "kernels.cu", "-o", "kernels.cubin"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    report = re.findall(r"for (\w+)\n.*?(\d+) bytes spill stores.*?\n.*?Used (\d+) registers", run.stdout + run.stderr)
    assert all(spilled == "0" for _, spilled, _ in report)
    return {name: int(registers) for name, _, registers in report}


def cases() -> list[tuple[ModuleType, str, dict[str, str], dict[str, int]]]:
    """Module, storage type, pointer types in order, template, as `bilstm` and `sinc_pool` call them."""
    wave = {"x": "T", "filters": "T", "pooled": "T", "sums": "float"}
    layer = {"projected": "T", "w_hh": "T", "h0": "float", "c0": "float", "y": "T", "h_end": "float", "c_end": "float"}
    sizes = {"CHANNELS": 80, "TAPS": 251, "STRIDE": 10, "POOL": 3, "TILE": sincnet_gpu.TILE}
    both_kernels = [(lstm_gpu, layer, {"H": 128, "KEEP": lstm_gpu.KEPT_WEIGHTS // 128}), (sincnet_gpu, wave, sizes)]
    return [(module, dtype, types, sizes) for module, types, sizes in both_kernels for dtype in CUDA_TYPES]


def wrapped(module: ModuleType, dtype: str, types: dict[str, str], template: dict[str, int]) -> str:
    """The body as the function that MLX makes of it."""
    arguments = []
    for name, element in types.items():
        const = "const " if name in module.KERNEL["input_names"] else ""
        arguments.append(f"{const}{CUDA_TYPES[dtype] if element == 'T' else element}* {name}")
        if f"{name}_shape" in module.CUDA_SOURCE:
            arguments.append(f"const __grid_constant__ Shape {name}_shape")
    constants = [f"constexpr int {name} = {value};" for name, value in template.items()]
    signature = f'extern "C" __global__ void {module.KERNEL["name"]}_{dtype}({", ".join(arguments)})'
    return "\n".join([signature, "{", f"using T = {CUDA_TYPES[dtype]};", *constants, module.CUDA_SOURCE, "}"])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", CUDA_TYPES)
@pytest.mark.parametrize(("name", "threads"), [("bilstm", 512), ("sinc_pool", 160)])
def test_a_compiled_block_fits_its_registers(compiled: dict[str, int], name: str, threads: int, dtype: str) -> None:
    """A block that asks for more registers than there are does not start at all."""
    assert compiled[f"{name}_{dtype}"] * threads <= REGISTERS


def test_no_cuda_kernel_is_built_without_cuda() -> None:
    assert (lstm_gpu.cuda_kernel is not None) == mx.cuda.is_available()
