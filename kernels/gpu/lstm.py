"""The GPU bodies of `lstm.py`: the recurrence of both directions and all batch rows over all frames in one launch.

The input projection is a separate matrix product before it. Sums and states are float32 whatever the storage type of x
and the weights. The README explains the layout of the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backend import mx, on_cpu, on_metal
from . import trial

if TYPE_CHECKING:
    from ..lstm import LSTMWeights, State

# A threadgroup of 4H threads keeps this many columns times H in registers: 64 floats a thread at H = 128, which leaves
# room on Apple GPUs (208 KiB per core) and under CUDA's 128 registers for 512 threads. See the README.
KEPT_WEIGHTS = 2048
MAX_HIDDEN = 128  # the segmentation's; 4H threads that each hold so many weights are refused at H = 256
KERNEL: dict[str, Any] = {
    "name": "bilstm",
    "input_names": ["projected", "w_hh", "h0", "c0"],
    "output_names": ["y", "h_end", "c_end"],
}

METAL_SOURCE = """
    // One threadgroup per (direction, row), 4 lanes per hidden unit. Lane q has a quarter of the columns of the unit's
    // four gate rows: KEEP of them in registers, the rest is read again at every frame.
    const uint lane = thread_index_in_threadgroup, unit = lane / 4, q = lane % 4;
    const uint direction = threadgroup_position_in_grid.y, row = threadgroup_position_in_grid.z;
    const int frames = projected_shape[1];
    const uint state = (row * 2 + direction) * H + unit;
    const float4 own_gate = float4(q == 0, q == 1, q == 2, q == 3);

    // w_hh is packed (2, H/4, H, 4, 4): column, unit, lane, gate.
    auto w = w_hh + (direction * (H / 4) * H * 4 + lane) * 4;
    vec<T, 4> kept[KEEP];
    #pragma clang loop unroll(full)
    for (int j = 0; j < KEEP; ++j) kept[j] = *(const device vec<T, 4>*)(w + j * 16 * H);

    alignas(16) threadgroup float hidden[2][H];  // h of the frame before and of this one
    if (q == 0) hidden[0][unit] = h0[state];
    float c = c0[state];
    threadgroup_barrier(mem_flags::mem_threadgroup);

    for (int step = 0; step < frames; ++step) {
        const int t = direction == 0 ? step : frames - 1 - step;
        const uint at = (row * frames + t) * 2 + direction;
        const float input = float(projected[at * 4 * H + q * H + unit]);
        float4 gates = float4(0.0f);
        #pragma clang loop unroll(full)
        for (int j = 0; j < KEEP; j += 4) {
            const float4 h = *(const threadgroup float4*)(hidden[step & 1] + (j + q) * 4);
            gates += h.x * float4(kept[j]) + h.y * float4(kept[j + 1]);
            gates += h.z * float4(kept[j + 2]) + h.w * float4(kept[j + 3]);
        }
        for (int j = KEEP; j < H / 4; j += 4) {
            const float4 h = *(const threadgroup float4*)(hidden[step & 1] + (j + q) * 4);
            #pragma clang loop unroll(full)
            for (int e = 0; e < 4; ++e) gates += h[e] * float4(*(const device vec<T, 4>*)(w + (j + e) * 16 * H));
        }
        gates += own_gate * input;
        gates += simd_shuffle_xor(gates, 1);
        gates += simd_shuffle_xor(gates, 2);

        const float i = 1 / (1 + metal::precise::exp(-gates.x));
        const float f = 1 / (1 + metal::precise::exp(-gates.y));
        const float o = 1 / (1 + metal::precise::exp(-gates.w));
        c = f * c + i * metal::precise::tanh(gates.z);
        const float h = o * metal::precise::tanh(c);
        if (q == 0) {
            hidden[(step + 1) & 1][unit] = h;
            y[at * H + unit] = T(h);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    if (q == 0) {
        h_end[state] = hidden[frames & 1][unit];
        c_end[state] = c;
    }
"""

CUDA_HEADER = """
template <typename T> struct alignas(4 * sizeof(T)) Gates { T i, f, g, o; };

template <typename T> __device__ __forceinline__ void add_product(float (&sum)[4], float h, Gates<T> w) {
    sum[0] += h * float(w.i);
    sum[1] += h * float(w.f);
    sum[2] += h * float(w.g);
    sum[3] += h * float(w.o);
}
"""

CUDA_SOURCE = """
    // The Metal body in CUDA: one block per (direction, row), 4 lanes per hidden unit, KEEP columns in registers.
    const int lane = threadIdx.x, unit = lane / 4, q = lane % 4, direction = blockIdx.y, row = blockIdx.z;
    const int frames = projected_shape[1];
    const int state = (row * 2 + direction) * H + unit;

    const auto w = w_hh + (direction * (H / 4) * H * 4 + lane) * 4;
    Gates<T> kept[KEEP];
    #pragma unroll
    for (int j = 0; j < KEEP; ++j) kept[j] = *(const Gates<T>*)(w + j * 16 * H);

    __shared__ __align__(16) float hidden[2][H];
    if (q == 0) hidden[0][unit] = h0[state];
    float c = c0[state];
    __syncthreads();

    for (int step = 0; step < frames; ++step) {
        const int t = direction == 0 ? step : frames - 1 - step;
        const int at = (row * frames + t) * 2 + direction;
        const float input = float(projected[at * 4 * H + q * H + unit]);
        float gates[4] = {0, 0, 0, 0};
        #pragma unroll
        for (int j = 0; j < KEEP; j += 4) {
            const float4 h = *(const float4*)(hidden[step & 1] + (j + q) * 4);
            add_product(gates, h.x, kept[j]);
            add_product(gates, h.y, kept[j + 1]);
            add_product(gates, h.z, kept[j + 2]);
            add_product(gates, h.w, kept[j + 3]);
        }
        #pragma unroll 2
        for (int j = KEEP; j < H / 4; j += 4) {
            const float4 h = *(const float4*)(hidden[step & 1] + (j + q) * 4);
            add_product(gates, h.x, *(const Gates<T>*)(w + j * 16 * H));
            add_product(gates, h.y, *(const Gates<T>*)(w + (j + 1) * 16 * H));
            add_product(gates, h.z, *(const Gates<T>*)(w + (j + 2) * 16 * H));
            add_product(gates, h.w, *(const Gates<T>*)(w + (j + 3) * 16 * H));
        }
        #pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (q == k) gates[k] += input;
            gates[k] += __shfl_xor_sync(0xffffffffu, gates[k], 1);
            gates[k] += __shfl_xor_sync(0xffffffffu, gates[k], 2);
        }
        const float i = 1 / (1 + expf(-gates[0])), f = 1 / (1 + expf(-gates[1])), o = 1 / (1 + expf(-gates[3]));
        c = f * c + i * tanhf(gates[2]);
        const float h = o * tanhf(c);
        if (q == 0) {
            hidden[(step + 1) & 1][unit] = h;
            y[at * H + unit] = T(h);
        }
        __syncthreads();
    }
    if (q == 0) {
        h_end[state] = hidden[frames & 1][unit];
        c_end[state] = c;
    }
"""

metal_kernel = mx.fast.metal_kernel(**KERNEL, source=METAL_SOURCE)
cuda_kernel = mx.fast.cuda_kernel(**KERNEL, source=CUDA_SOURCE, header=CUDA_HEADER) if mx.cuda.is_available() else None


def body(x: Any, hidden: int) -> Any:
    """The kernel for the device that MLX computes on; None if there is none for this device, dtype or H."""
    if on_cpu() or x.dtype not in (mx.float32, mx.float16, mx.bfloat16) or hidden % 16 or hidden > MAX_HIDDEN:
        return None
    kernel = metal_kernel if on_metal() else cuda_kernel
    return kernel if kernel is not None and trial.runs(kernel, KERNEL["name"], _sample, x.dtype, hidden) else None


def _sample(kernel: Any, dtype: Any, hidden: int) -> list[Any]:
    """One frame through the kernel."""
    w_hh = mx.zeros((2, hidden // 4, hidden, 4, 4), dtype)
    state = mx.zeros((1, 2, hidden))
    y, end = _recurrence(kernel, mx.zeros((1, 1, 2, 4 * hidden), dtype), w_hh, (state, state))
    return [y, *end]


def pack(w_hh: Any) -> Any:
    """Recurrent weights in reading order: column, unit, lane, gate.

    Shapes: (2, 4H, H) -> (2, H/4, H, 4, 4). Lane q of a unit has columns 4q to 4q + 3 of every 16.
    """
    hidden = w_hh.shape[2]
    blocks = w_hh.reshape(2, 4, hidden, hidden // 16, 4, 4)  # direction, gate, unit, block, lane, column
    return mx.contiguous(blocks.transpose(0, 3, 5, 2, 4, 1))


def bilstm(kernel: Any, x: Any, weights: LSTMWeights, state: State) -> tuple[Any, State]:
    """`bilstm` with one of the kernels; y has the dtype of x."""
    batch, frames, inputs = x.shape
    hidden = weights.hidden
    w_ih = weights.w_ih.reshape(8 * hidden, inputs).astype(x.dtype)
    projected = mx.addmm(weights.bias.reshape(-1).astype(x.dtype), x, w_ih.T).reshape(batch, frames, 2, 4 * hidden)
    return _recurrence(kernel, projected, weights.gpu_recurrent.astype(x.dtype), state)


def _recurrence(kernel: Any, projected: Any, w_hh: Any, state: State) -> tuple[Any, State]:
    """Shapes: projected (B, T, 2, 4H), w_hh as `pack` returns it -> (B, T, 2H) in the same dtype, and the end state."""
    batch, frames, _, gates = projected.shape
    hidden = gates // 4
    y, h, c = kernel(
        inputs=[projected, w_hh, *(part.astype(mx.float32) for part in state)],
        template=[("T", projected.dtype), ("H", hidden), ("KEEP", min(hidden // 4, KEPT_WEIGHTS // hidden // 4 * 4))],
        grid=(4 * hidden, 2, batch),
        threadgroup=(4 * hidden, 1, 1),
        output_shapes=[(batch, frames, 2 * hidden), (batch, 2, hidden), (batch, 2, hidden)],
        output_dtypes=[projected.dtype, mx.float32, mx.float32],
    )
    return y, (h, c)
