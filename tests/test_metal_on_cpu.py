"""The simulator of GPU kernels: right on right kernels, and every planted mistake is caught."""

from __future__ import annotations

import numpy as np
import pytest
from metal_on_cpu import (
    BFLOAT16,
    Kernel,
    KernelFault,
    cuda_kernel,
    from_bfloat16,
    metal_kernel,
    needs_compiler,
    on_mlx,
    to_bfloat16,
)

from turnstream.kernels.backend import mx

pytestmark = [pytest.mark.slow, needs_compiler]  # each test compiles a kernel

THREADS = 64
SEEDS = (0, 1, 2, 3)

# Each group of 64 reverses its piece of x through threadgroup memory.
REVERSE = """
    threadgroup float piece[SIZE];
    const uint i = thread_position_in_threadgroup.x;
    const uint start = threadgroup_position_in_grid.x * SIZE;
    piece[i] = x[start + i];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[start + i] = piece[SIZE - 1 - i];
"""
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"

# One group sums x: simd_sum over 32 lanes, then over the simdgroups. Fails silently on a short group if not zeroed.
SUM = """
    threadgroup float partial[2];
    const uint i = thread_position_in_threadgroup.x;
    const float total = simd_sum(i < uint(x_shape[0]) ? x[i] : 0.0f);
    if (thread_index_in_simdgroup == 0) partial[simdgroup_index_in_threadgroup] = total;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (i == 0) y[0] = partial[0] + partial[1];
"""


def reverse(source: str = REVERSE, header: str = "") -> Kernel:
    return metal_kernel("reverse", ["x"], ["y"], source, header)


def run(kernel: Kernel, x: np.ndarray, groups: int = 2, outputs: int | None = None, seed: int = 0) -> np.ndarray:
    (y,) = kernel(
        inputs=[x],
        template=[("SIZE", THREADS)],
        grid=(groups * THREADS, 1, 1),
        threadgroup=(THREADS, 1, 1),
        output_shapes=[(x.size if outputs is None else outputs,)],
        output_dtypes=[x.dtype],
        seed=seed,
    )
    return y


@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_kernel_gives_the_right_answer(seed: int) -> None:
    x = np.arange(2 * THREADS, dtype=np.float32)
    np.testing.assert_array_equal(run(reverse(), x, seed=seed), x.reshape(2, -1)[:, ::-1].ravel())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_barrier_is_caught(seed: int) -> None:
    with pytest.raises(KernelFault, match=r"\[reverse\] (race|uninitialized).*piece\["):
        run(reverse(REVERSE.replace(BARRIER, "")), np.zeros(2 * THREADS, np.float32), seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_second_barrier_is_caught(seed: int) -> None:
    again = REVERSE + "\n    piece[i] = 0;\n"
    with pytest.raises(KernelFault, match=r"race on piece\[\d+\]"):
        run(reverse(again), np.zeros(2 * THREADS, np.float32), seed=seed)


PARTS = """
    threadgroup float4 parts[SIZE / 4];
    const uint i = thread_index_in_threadgroup;
    WRITE
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[i] = parts[i / 4][i % 4];
"""


def test_threads_that_write_components_of_one_vector_are_caught() -> None:
    """Metal may read, change and write the whole vector, which loses the others' components."""
    source = PARTS.replace("WRITE", "parts[i / 4][i % 4] = x[i];")
    with pytest.raises(KernelFault, match=r"race on parts\[\d+\]: thread \d+ wrote it too"):
        run(reverse(source), np.zeros(THREADS, np.float32), groups=1)


def test_one_thread_may_write_the_components_of_its_vector() -> None:
    source = PARTS.replace("WRITE", "if (i % 4 == 0) for (int e = 0; e < 4; ++e) parts[i / 4][e] = x[i + e];")
    x = np.arange(THREADS, dtype=np.float32)
    np.testing.assert_array_equal(run(reverse(source), x, groups=1, seed=1), x)


@pytest.mark.parametrize("index", ["start + i + 1", "int(i) - 1"])
def test_a_read_of_an_input_out_of_bounds_is_caught(index: str) -> None:
    x = np.zeros(2 * THREADS, np.float32)
    with pytest.raises(KernelFault, match=r"out of bounds: x\[(128|-1)\], size 128 \(thread \d+ of group \d,0,0\)"):
        run(reverse(REVERSE.replace("x[start + i]", f"x[{index}]")), x)


def test_a_write_of_an_output_out_of_bounds_is_caught() -> None:
    with pytest.raises(KernelFault, match=r"out of bounds: y\[127\], size 127"):
        run(reverse(), np.zeros(2 * THREADS, np.float32), outputs=2 * THREADS - 1)


@pytest.mark.parametrize(
    ("right", "wrong"), [("piece[i] =", "piece[i + 1] ="), ("piece[SIZE - 1 - i]", "piece[SIZE - i]")]
)
def test_a_threadgroup_array_out_of_bounds_is_caught(right: str, wrong: str) -> None:
    with pytest.raises(KernelFault, match=r"out of bounds: piece\[64\], size 64"):
        run(reverse(REVERSE.replace(right, wrong)), np.zeros(2 * THREADS, np.float32))


def test_a_row_of_a_threadgroup_array_does_not_run_into_the_next() -> None:
    source = "threadgroup float a[2][SIZE];\n auto row = a[0] + 1;\n row[thread_index_in_threadgroup] = 0;"
    with pytest.raises(KernelFault, match=r"out of bounds: a\[64\], size 64"):
        run(reverse(source), np.zeros(THREADS, np.float32), groups=1)


def test_a_private_array_out_of_bounds_is_caught() -> None:
    source = "float a[4];\n for (int k = 0; k <= int(x[0]); ++k) a[k] = 1;\n y[0] = a[0];"
    with pytest.raises(KernelFault, match="private array out of bounds: index 4, line 2"):
        run(reverse(source), np.full(1, 4, np.float32), groups=1)


@pytest.mark.parametrize(("place", "rule"), [("x + 1", "misaligned"), ("x + SIZE - 2", "out of bounds")])
def test_a_vector_load_is_checked_whole(place: str, rule: str) -> None:
    source = f"const float4 v = *(const device float4*)({place}); y[thread_position_in_grid.x] = v.x;"
    with pytest.raises(KernelFault, match=rule):
        run(reverse(source), np.zeros(THREADS, np.float32), groups=1)


def test_an_uninitialized_threadgroup_read_is_caught_in_every_group() -> None:
    only_first = REVERSE.replace("piece[i] = x[start + i];", "if (start == 0) piece[i] = x[start + i];")
    with pytest.raises(KernelFault, match=r"uninitialized read of threadgroup array piece\[\d+\].*group 1,0,0"):
        run(reverse(only_first), np.zeros(2 * THREADS, np.float32))


def test_what_no_thread_wrote_is_nan() -> None:
    y = run(reverse(REVERSE.replace("y[start + i]", "if (i > 0) y[start + i]")), np.zeros(2 * THREADS, np.float32))
    assert np.flatnonzero(np.isnan(y)).tolist() == [0, THREADS]


def test_two_threads_that_write_one_output_are_caught() -> None:
    with pytest.raises(KernelFault, match=r"race on output y\[0\]"):
        run(reverse("y[0] = x[0];"), np.zeros(THREADS, np.float32))


@pytest.mark.parametrize(
    "source", [f"if (thread_index_in_threadgroup < 32) {BARRIER}", f"if (x[0] > 0) return; {BARRIER}"]
)
def test_a_barrier_that_some_threads_miss_is_caught(source: str) -> None:
    x = np.zeros(2 * THREADS, np.float32)
    x[0] = 1
    source = source.replace("x[0]", "x[thread_position_in_grid.x]")
    with pytest.raises(KernelFault, match="divergent barrier"):
        run(reverse(source), x)


def test_a_simd_operation_that_some_lanes_miss_is_caught() -> None:
    source = f"float v = 1; if (thread_index_in_threadgroup < 16) v = simd_sum(v); {BARRIER} y[0] = v;"
    with pytest.raises(KernelFault, match="divergent simd operation"):
        run(reverse(source), np.zeros(THREADS, np.float32), groups=1)


def test_an_uninitialized_private_variable_is_nan() -> None:
    source = "float a[8]; a[0] = 0; y[thread_position_in_grid.x] = a[int(x[0])];"
    assert np.isnan(run(reverse(source), np.ones(THREADS, np.float32), groups=1)).all()


def test_a_group_that_is_too_large_is_caught() -> None:
    with pytest.raises(KernelFault, match="threadgroup of 1056 threads, limit 1024"):
        metal_kernel("large", ["x"], ["y"], "y[0] = x[0];")(
            inputs=[np.zeros(1, np.float32)],
            grid=(1056, 1, 1),
            threadgroup=(1056, 1, 1),
            output_shapes=[(1,)],
            output_dtypes=[np.float32],
        )


def test_too_much_threadgroup_memory_is_caught() -> None:
    with pytest.raises(KernelFault, match="threadgroup memory: 32772 bytes, limit 32768"):
        run(
            reverse("threadgroup float a[8193]; a[thread_index_in_threadgroup] = 0;"), np.zeros(1, np.float32), groups=1
        )


def test_a_threadgroup_declaration_that_escapes_the_checks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected `threadgroup T name"):
        run(reverse("threadgroup float total;"), np.zeros(1, np.float32), groups=1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("threads", "short"), [(THREADS, False), (20, True)])
def test_a_short_group_is_caught(threads: int, short: bool, seed: int) -> None:
    """A grid of fewer threads than the group makes the group short: the second simdgroup never writes its sum."""
    x = np.ones(threads, np.float32)

    def total() -> np.ndarray:
        (y,) = metal_kernel("total", ["x"], ["y"], SUM)(
            inputs=[x],
            grid=(threads, 1, 1),
            threadgroup=(THREADS, 1, 1),
            output_shapes=[(1,)],
            output_dtypes=[np.float32],
            seed=seed,
        )
        return y

    if short:
        with pytest.raises(KernelFault, match=r"uninitialized read of threadgroup array partial\[1\]"):
            total()
    else:
        assert total() == threads


def test_the_group_at_the_edge_of_the_grid_is_short() -> None:
    source = "y[thread_position_in_grid.x] = threads_per_threadgroup.x;"
    (y,) = metal_kernel("sizes", ["x"], ["y"], source)(
        inputs=[np.zeros(1, np.float32)],
        grid=(80, 1, 1),
        threadgroup=(THREADS, 1, 1),
        output_shapes=[(80,)],
        output_dtypes=[np.int32],
    )
    assert y.tolist() == [THREADS] * THREADS + [16] * 16


def test_simd_operations_over_a_short_simdgroup() -> None:
    source = """
        const float v = x[thread_position_in_grid.x];
        y[thread_position_in_grid.x * 4] = simd_sum(v);
        y[thread_position_in_grid.x * 4 + 1] = simd_max(v);
        y[thread_position_in_grid.x * 4 + 2] = simd_shuffle_xor(v, 1);
        y[thread_position_in_grid.x * 4 + 3] = simd_shuffle_down(v, 1);
    """
    (y,) = metal_kernel("simd", ["x"], ["y"], source)(
        inputs=[np.arange(1, 6, dtype=np.float32)],
        grid=(5, 1, 1),
        threadgroup=(32, 1, 1),
        output_shapes=[(5, 4)],
        output_dtypes=[np.float32],
        seed=7,
    )
    nan = np.nan
    np.testing.assert_array_equal(y, [[15, 5, 2, 2], [15, 5, 1, 3], [15, 5, 4, 4], [15, 5, 3, 5], [15, 5, nan, nan]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_round_as_mlx_does(dtype: str) -> None:
    x = np.random.default_rng(0).normal(size=THREADS).astype(np.float32)
    x[:12] = [0, -0.0, 3e-8, 9e-8, -1e-5, 1.8e-4, 2e5, -196559, 196560, np.inf, np.nan, 3e38]
    kernel = metal_kernel("scale", ["x"], ["y"], "const uint i = thread_position_in_grid.x; y[i] = T(float(x[i]) / 3);")
    stored = mx.array(x).astype(getattr(mx, dtype))
    (y,) = on_mlx(kernel)(
        inputs=[stored],
        template=[("T", stored.dtype)],
        grid=(THREADS, 1, 1),
        threadgroup=(32, 1, 1),
        output_shapes=[(THREADS,)],
        output_dtypes=[stored.dtype],
    )
    assert y.dtype == stored.dtype
    expected = (stored.astype(mx.float32) / 3).astype(stored.dtype)
    assert mx.array_equal(y, expected, equal_nan=True)


def test_bfloat16_round_trip() -> None:
    x = np.random.default_rng(0).normal(size=100).astype(np.float32)
    stored = to_bfloat16(x)
    assert stored.dtype == BFLOAT16
    expected = np.array(mx.array(x).astype(mx.bfloat16).astype(mx.float32))
    np.testing.assert_array_equal(from_bfloat16(stored), expected)


def test_a_cuda_body_runs_with_whole_blocks() -> None:
    source = """
        __shared__ float piece[SIZE];
        const int i = blockIdx.x * blockDim.x + threadIdx.x;
        piece[threadIdx.x] = i < x_shape[0] ? x[i] : 0;
        __syncthreads();
        if (i < x_shape[0]) y[i] = piece[SIZE - 1 - threadIdx.x];
    """
    x = np.arange(THREADS + 1, dtype=np.float32)
    y = run(cuda_kernel("reverse", ["x"], ["y"], source), x, seed=1)
    np.testing.assert_array_equal(y, [*x[:THREADS][::-1], 0])
    with pytest.raises(KernelFault, match=r"race on piece|uninitialized"):
        run(cuda_kernel("reverse", ["x"], ["y"], source.replace("__syncthreads();", "")), x, seed=1)


def test_a_body_that_does_not_compile_says_why() -> None:
    with pytest.raises(SyntaxError, match=r"reverse:2:.*nonsense"):
        run(reverse("\n nonsense;"), np.zeros(1, np.float32))
