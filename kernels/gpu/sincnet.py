"""The GPU bodies of `kernels/sincnet.py`: the filterbank's full-rate output never reaches memory.

A threadgroup stages its part of the waveform once for all filters. Even filters sum over x[k] + x[250 - k] and odd
filters over x[k] - x[250 - k], which halves the multiplications.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backend import mx, on_cpu, on_metal
from . import trial

if TYPE_CHECKING:
    from ..sincnet import SincFilters

TILE = 32  # pooled frames per threadgroup, one per lane
MAX_CHANNELS = 176  # more do not fit 32 KiB of threadgroup memory
KERNEL: dict[str, Any] = {"name": "sinc_pool", "input_names": ["x", "filters"], "output_names": ["pooled", "sums"]}

METAL_SOURCE = """
    // A threadgroup makes TILE pooled frames of all channels, one per lane; a simdgroup has 8 even and 8 odd filters.
    constexpr int HALF = TAPS / 2 + 1, STEP = STRIDE * POOL, PER_GROUP = 16;
    constexpr int SPAN = (TILE - 1) * STEP + (POOL - 1) * STRIDE + TAPS;
    const int lane = thread_index_in_simdgroup, part = simdgroup_index_in_threadgroup;
    const int thread_index = thread_index_in_threadgroup, threads = CHANNELS / PER_GROUP * TILE;
    const int tile = threadgroup_position_in_grid.y, row = threadgroup_position_in_grid.z;
    const int samples = x_shape[1], tiles = threadgroups_per_grid.y;
    const int frames = ((samples - TAPS) / STRIDE + 1) / POOL;
    const int live_frames = metal::min(TILE, frames - tile * TILE);

    // Staged twice, the copies an odd number of words apart: 16 lanes read each, so that no two want one memory bank.
    threadgroup float staged[2][SPAN | 1];
    for (int i = thread_index; i < SPAN; i += threads) {
        const int at = tile * TILE * STEP + i;
        const float sample = at < samples ? float(x[row * samples + at]) : 0.0f;
        staged[0][i] = sample;
        staged[1][i] = sample;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    float4 even[POOL][2], odd[POOL][2];
    for (int r = 0; r < POOL; ++r) even[r][0] = even[r][1] = odd[r][0] = odd[r][1] = float4(0.0f);
    for (int k = 0; k < HALF; ++k) {
        auto taps = filters + (part * HALF + k) * PER_GROUP;
        const float4 even0 = float4(*(const device vec<T, 4>*)(taps));
        const float4 even1 = float4(*(const device vec<T, 4>*)(taps + 4));
        const float4 odd0 = float4(*(const device vec<T, 4>*)(taps + 8));
        const float4 odd1 = float4(*(const device vec<T, 4>*)(taps + 12));
        #pragma clang loop unroll(full)
        for (int r = 0; r < POOL; ++r) {
            const int at = lane * STEP + r * STRIDE;
            const float front = staged[lane / 16][at + k], back = staged[lane / 16][at + TAPS - 1 - k];
            even[r][0] += (front + back) * even0;
            even[r][1] += (front + back) * even1;
            odd[r][0] += (front - back) * odd0;
            odd[r][1] += (front - back) * odd1;
        }
    }

    threadgroup float made[TILE][CHANNELS + 1];
    for (int j = 0; j < 2; ++j) {
        float4 most_even = float4(0.0f), most_odd = float4(0.0f);
        for (int r = 0; r < POOL; ++r) {
            most_even = metal::max(most_even, metal::abs(even[r][j]));
            most_odd = metal::max(most_odd, metal::abs(odd[r][j]));
        }
        for (int e = 0; e < 4; ++e) {
            made[lane][part * 8 + j * 4 + e] = most_even[e];
            made[lane][CHANNELS / 2 + part * 8 + j * 4 + e] = most_odd[e];
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    for (int i = thread_index; i < live_frames * CHANNELS; i += threads)
        pooled[(row * frames + tile * TILE) * CHANNELS + i] = T(made[i / CHANNELS][i % CHANNELS]);
    if (thread_index < CHANNELS) {
        float sum = 0, squares = 0;
        for (int t = 0; t < live_frames; ++t) {
            const float v = made[t][thread_index];
            sum += v;
            squares += v * v;
        }
        sums[((row * tiles + tile) * 2) * CHANNELS + thread_index] = sum;
        sums[((row * tiles + tile) * 2 + 1) * CHANNELS + thread_index] = squares;
    }
"""
CUDA_HEADER = """
template <typename T> struct alignas(4 * sizeof(T)) Taps { T at[4]; };
"""

CUDA_SOURCE = """
    // The Metal body in CUDA: a block makes TILE pooled frames of all channels, each warp 8 even and 8 odd filters.
    constexpr int HALF = TAPS / 2 + 1, STEP = STRIDE * POOL, PER_WARP = 16;
    constexpr int SPAN = (TILE - 1) * STEP + (POOL - 1) * STRIDE + TAPS;
    const int lane = threadIdx.x % TILE, part = threadIdx.x / TILE, threads = CHANNELS / PER_WARP * TILE;
    const int tile = blockIdx.y, row = blockIdx.z, samples = x_shape[1];
    const int frames = ((samples - TAPS) / STRIDE + 1) / POOL, tiles = (frames + TILE - 1) / TILE;
    const int live_frames = min(TILE, frames - tile * TILE);

    // Staged twice, the copies an odd number of words apart: 16 lanes read each, so that no two want one memory bank.
    __shared__ float staged[2][SPAN | 1];
    for (int i = threadIdx.x; i < SPAN; i += threads) {
        const int at = tile * TILE * STEP + i;
        const float sample = at < samples ? float(x[row * samples + at]) : 0.0f;
        staged[0][i] = sample;
        staged[1][i] = sample;
    }
    __syncthreads();

    float even[POOL][8] = {}, odd[POOL][8] = {};
    for (int k = 0; k < HALF; ++k) {
        const auto taps = filters + (part * HALF + k) * PER_WARP;
        const Taps<T> weights[4] = {*(const Taps<T>*)(taps), *(const Taps<T>*)(taps + 4), *(const Taps<T>*)(taps + 8),
                                    *(const Taps<T>*)(taps + 12)};
        #pragma unroll
        for (int r = 0; r < POOL; ++r) {
            const int at = lane * STEP + r * STRIDE;
            const float front = staged[lane / 16][at + k], back = staged[lane / 16][at + TAPS - 1 - k];
            #pragma unroll
            for (int e = 0; e < 8; ++e) {
                even[r][e] += (front + back) * float(weights[e / 4].at[e % 4]);
                odd[r][e] += (front - back) * float(weights[2 + e / 4].at[e % 4]);
            }
        }
    }

    __shared__ float made[TILE][CHANNELS + 1];
    #pragma unroll
    for (int e = 0; e < 8; ++e) {
        float most_even = 0, most_odd = 0;
        #pragma unroll
        for (int r = 0; r < POOL; ++r) {
            most_even = fmaxf(most_even, fabsf(even[r][e]));
            most_odd = fmaxf(most_odd, fabsf(odd[r][e]));
        }
        made[lane][part * 8 + e] = most_even;
        made[lane][CHANNELS / 2 + part * 8 + e] = most_odd;
    }
    __syncthreads();

    for (int i = threadIdx.x; i < live_frames * CHANNELS; i += threads)
        pooled[(row * frames + tile * TILE) * CHANNELS + i] = T(made[i / CHANNELS][i % CHANNELS]);
    if (threadIdx.x < CHANNELS) {
        float sum = 0, squares = 0;
        for (int t = 0; t < live_frames; ++t) {
            const float v = made[t][threadIdx.x];
            sum += v;
            squares += v * v;
        }
        sums[((row * tiles + tile) * 2) * CHANNELS + threadIdx.x] = sum;
        sums[((row * tiles + tile) * 2 + 1) * CHANNELS + threadIdx.x] = squares;
    }
"""

metal_kernel = mx.fast.metal_kernel(**KERNEL, source=METAL_SOURCE)
cuda_kernel = mx.fast.cuda_kernel(**KERNEL, source=CUDA_SOURCE, header=CUDA_HEADER) if mx.cuda.is_available() else None


def body(x: Any, shape: tuple[int, int], stride: int, pool: int) -> Any:
    """The kernel for the device that MLX computes on; None if there is none for this device, dtype or filterbank."""
    channels = shape[0]
    if on_cpu() or x.dtype not in (mx.float32, mx.float16, mx.bfloat16) or channels % 16 or channels > MAX_CHANNELS:
        return None
    kernel = metal_kernel if on_metal() else cuda_kernel
    sample = _sample, x.dtype, shape, stride, pool
    return kernel if kernel is not None and trial.runs(kernel, KERNEL["name"], *sample) else None


def _sample(kernel: Any, dtype: Any, shape: tuple[int, int], stride: int, pool: int) -> list[Any]:
    """One pooled frame through the kernel."""
    x = mx.zeros((1, shape[1] + (pool - 1) * stride), dtype)
    return _filter(kernel, x, pack(mx.zeros(shape, dtype)), shape, stride, pool)


def pack(filters: Any) -> Any:
    """The first half of every filter, 8 even and 8 odd ones side by side.

    The middle tap is halved because the kernels add it to itself. Shapes: (C, 251) -> (C / 16, 126, 2, 8).
    """
    half = filters.shape[1] // 2 + 1
    once = mx.concatenate([filters[:, : half - 1], filters[:, half - 1 : half] / 2], axis=1)
    return mx.contiguous(once.reshape(2, -1, 8, half).transpose(1, 3, 0, 2))


def sinc_pool(kernel: Any, x: Any, bank: SincFilters, stride: int, pool: int) -> tuple[Any, Any, Any]:
    """`sinc_pool` with one of the kernels; pooled has the dtype of x, the sums are float32."""
    pooled, sums = _filter(kernel, x, bank.gpu_packed.astype(x.dtype), bank.taps.shape, stride, pool)
    total, total_square = mx.split(sums.sum(axis=1), 2, axis=1)
    return pooled, total[:, 0], total_square[:, 0]


def _filter(kernel: Any, x: Any, filters: Any, shape: tuple[int, int], stride: int, pool: int) -> list[Any]:
    """Shapes: x (B, N), filters as `pack` returns them, of (C, taps) -> pooled (B, T, C), sums (B, tiles, 2, C)."""
    batch, samples = x.shape
    channels, taps = shape
    frames = ((samples - taps) // stride + 1) // pool
    tiles = -(-frames // TILE)
    threads = channels // 16 * TILE
    sizes = {"CHANNELS": channels, "TAPS": taps, "STRIDE": stride, "POOL": pool, "TILE": TILE}
    outputs: list[Any] = kernel(
        inputs=[x, filters],
        template=[("T", x.dtype), *sizes.items()],
        grid=(threads, tiles, batch),
        threadgroup=(threads, 1, 1),
        output_shapes=[(batch, frames, channels), (batch, tiles, 2, channels)],
        output_dtypes=[x.dtype, mx.float32],
    )
    return outputs
