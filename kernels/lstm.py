"""A whole bidirectional LSTM layer in one call: input projection as one GEMM, then the recurrence over all frames.

Gate order and shapes are PyTorch's (Hochreiter & Schmidhuber 1997 with forget gate):

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of  W_ih x_t + W_hh h_(t-1) + b
    c_t = f c_(t-1) + i g        h_t = o tanh(c_t)

Direction 0 runs from the first frame to the last, direction 1 from the last to the first. A state is a pair (h, c) of
(B, 2, H) float32, before the first step of each direction (for direction 1 that is *after* the last frame) or after its
last step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .backend import like, mx, on_cpu
from .gpu import lstm as gpu

try:
    from .cpu import lstm as cpu
except ImportError:  # without numba
    cpu = None  # type: ignore[assignment]

State = tuple[Any, Any]


@dataclass(frozen=True)
class LSTMWeights:
    """One layer, both directions. Shapes: w_ih (2, 4H, I), w_hh (2, 4H, H), bias (2, 4H), float32."""

    w_ih: Any
    w_hh: Any
    bias: Any

    @classmethod
    def from_torch(cls, tensors: dict[str, np.ndarray], layer: int, prefix: str = "lstm.") -> LSTMWeights:
        """Layer `layer` of a bidirectional `torch.nn.LSTM`; its two biases are added, since only their sum is used."""

        def both(name: str) -> np.ndarray:
            return np.stack([tensors[f"{prefix}{name}_l{layer}{end}"] for end in ("", "_reverse")])

        bias = both("bias_ih") + both("bias_hh")
        return cls(mx.array(both("weight_ih")), mx.array(both("weight_hh")), mx.array(bias))

    @property
    def hidden(self) -> int:
        return int(self.w_hh.shape[2])

    @cached_property
    def cpu_packed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All weights as the CPU body reads them."""
        return cpu.pack_layer(*(np.asarray(part) for part in (self.w_ih, self.bias, self.w_hh)))

    @cached_property
    def gpu_recurrent(self) -> Any:
        """The recurrent weights as the GPU bodies read them."""
        return gpu.pack(self.w_hh)


@lru_cache(maxsize=16)
def zero_state(batch: int, hidden: int) -> State:
    """The initial state, made once. Shapes: two (B, 2, H) of zeros."""
    zeros = mx.zeros((batch, 2, hidden))
    mx.eval(zeros)
    return zeros, zeros


def bilstm_ops(x: Any, weights: LSTMWeights, state: State) -> tuple[Any, State]:
    """The reference: frame by frame, in plain array operations."""
    batch, frames, _ = x.shape
    hidden = weights.hidden
    projected = mx.einsum("bti,dgi->btdg", x, weights.w_ih) + weights.bias  # (B, T, 2, 4H)
    h, c = state
    ahead: list[Any] = []
    back: list[Any] = []
    for t in range(frames):
        step = mx.stack([projected[:, t, 0], projected[:, frames - 1 - t, 1]], axis=1)  # (B, 2, 4H)
        gates = step + mx.einsum("bdh,dgh->bdg", h, weights.w_hh)
        i, f, g, o = mx.split(gates, 4, axis=-1)
        c = mx.sigmoid(f) * c + mx.sigmoid(i) * mx.tanh(g)
        h = mx.sigmoid(o) * mx.tanh(c)
        ahead.append(h[:, 0])
        back.append(h[:, 1])
    y = mx.concatenate([mx.stack(ahead, axis=1), mx.stack(back[::-1], axis=1)], axis=-1)
    return y.reshape(batch, frames, 2 * hidden), (h, c)


def bilstm(x: Any, weights: LSTMWeights, state: State | None = None, use_kernel: bool = True) -> tuple[Any, State]:
    """A bidirectional LSTM layer over a batch of sequences, and the states it ends in.

    Shapes:
        x: (B, T, I) float32; B and T at least 1. A NumPy array (on the CPU) gives NumPy arrays.
        state: (h, c), each (B, 2, H) float32; None is zeros, exactly.
        returns y (B, T, 2H) float32 (forward, then backward) and the end state (h, c).
    `use_kernel=False` uses the reference ops. Errors: ValueError for shapes that do not match.
    """
    batch, hidden = x.shape[0], weights.hidden
    if x.ndim != 3 or x.shape[2] != weights.w_ih.shape[2] or 0 in x.shape:
        raise ValueError(f"expected x (B, T, {weights.w_ih.shape[2]}) with B and T at least 1, got {tuple(x.shape)}")
    if state is not None and any(tuple(part.shape) != (batch, 2, hidden) for part in state):
        raise ValueError(f"expected a state of two {(batch, 2, hidden)}, got {[tuple(part.shape) for part in state]}")
    if use_kernel and on_cpu() and cpu is not None and cpu.fits(hidden):
        y, (h, c) = cpu.bilstm_cpu(x, weights, state)
        return like(x, y), (like(x, h), like(x, c))
    if state is None:
        state = zero_state(batch, hidden)
    kernel = gpu.body(x, hidden) if use_kernel else None
    if kernel is not None:
        return gpu.bilstm(kernel, x, weights, state)
    return bilstm_ops(x, weights, state)
