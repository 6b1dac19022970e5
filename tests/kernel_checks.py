"""The assertions that every body of a GPU kernel must pass, on a device or in the simulator: it equals the reference.

Bounds are relative to the largest value: float32 as the sums run in another order; half types by a few units of their
storage (2^-11 and 2^-8), for inputs, weights and outputs are rounded to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from turnstream.kernels import lstm
from turnstream.kernels.backend import mx, on_cpu
from turnstream.kernels.gpu import lstm as lstm_gpu
from turnstream.kernels.gpu import sincnet as sincnet_gpu
from turnstream.kernels.lstm import LSTMWeights, State, bilstm_ops
from turnstream.kernels.sincnet import SincFilters, sinc_filters, sinc_pool_ops
from turnstream.kernels.sizes import POOL, SINC_STRIDE

BOUNDS = {mx.float32: 1e-5, mx.float16: 4 * 2**-11, mx.bfloat16: 4 * 2**-8}
DTYPES = [mx.float32, mx.float16, mx.bfloat16]


def assert_equal(actual: Sequence[Any], expected: Sequence[Any], dtype: Any = mx.float32) -> None:
    """Shapes agree, and values within the bound of the type that they were stored in."""
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        wide, reference = np.array(a.astype(mx.float32)), np.array(e)
        np.testing.assert_allclose(wide, reference, rtol=0, atol=BOUNDS[dtype] * np.abs(reference).max())


def random_lstm(inputs: int, hidden: int, seed: int = 0) -> LSTMWeights:
    """Weights as PyTorch draws them."""
    rng, reach = np.random.default_rng(seed), hidden**-0.5
    shapes = ((2, 4 * hidden, inputs), (2, 4 * hidden, hidden), (2, 4 * hidden))
    return LSTMWeights(*[mx.array(rng.uniform(-reach, reach, size=s).astype(np.float32)) for s in shapes])


def random_state(batch: int, hidden: int, seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    h, c = (mx.array(rng.uniform(-0.9, 0.9, size=(batch, 2, hidden)).astype(np.float32)) for _ in range(2))
    return h, c


def random_array(*shape: int, seed: int = 0) -> Any:
    return mx.array(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def filterbank(pairs: int = 40) -> Any:
    """As many sine and cosine filters from 30 Hz to 7 kHz."""
    low_hz = np.linspace(0, 7000, pairs, dtype=np.float32)[:, None]
    return mx.array(sinc_filters(low_hz, np.linspace(1, 400, pairs, dtype=np.float32)[:, None]))


def as_given(x: Any) -> Any:
    """x as the networks hand it over on this device: a NumPy array to CPU kernels, an MLX array to everything else."""
    return np.array(x) if on_cpu() and lstm.cpu is not None else mx.array(x)


def check_bilstm(kernel: Any, batch: int, frames: int, hidden: int, dtype: Any = mx.float32) -> None:
    """Outputs and end state, from a state that is not zero."""
    weights, state = random_lstm(24, hidden), random_state(batch, hidden)
    x = random_array(batch, frames, 24)
    y, end = lstm_gpu.bilstm(kernel, x.astype(dtype), weights, state)
    assert y.dtype == dtype
    with mx.stream(mx.cpu):
        expected, expected_end = bilstm_ops(x, weights, state)
    assert_equal((y, *end), (expected, *expected_end), dtype)


def check_bilstm_strided(kernel: Any) -> None:
    """Inputs and states that are views: transposed, every second row."""
    weights = random_lstm(24, 32)
    x = random_array(9, 4, 24).swapaxes(0, 1)[::2]  # (2, 9, 24)
    h, c = (part[::2] for part in random_state(4, 32))
    y, end = lstm_gpu.bilstm(kernel, x, weights, (h, c))
    with mx.stream(mx.cpu):
        expected, expected_end = bilstm_ops(x, weights, (h, c))
    assert_equal((y, *end), (expected, *expected_end))


def check_bilstm_split(kernel: Any, cut: int) -> None:
    """Each direction in two calls, its state carried, equals the whole."""
    weights, state = random_lstm(24, 32), random_state(2, 32)
    x = random_array(2, 20, 24)
    whole, (h, c) = lstm_gpu.bilstm(kernel, x, weights, state)
    ahead, ahead_end = lstm_gpu.bilstm(kernel, x[:, :cut], weights, state)
    ahead_rest, ahead_end = lstm_gpu.bilstm(kernel, x[:, cut:], weights, ahead_end)
    back_rest, back_end = lstm_gpu.bilstm(kernel, x[:, cut:], weights, state)
    back, back_end = lstm_gpu.bilstm(kernel, x[:, :cut], weights, back_end)
    forward = mx.concatenate([ahead, ahead_rest], axis=1)[..., :32]
    backward = mx.concatenate([back, back_rest], axis=1)[..., 32:]
    assert_equal([forward, backward], [whole[..., :32], whole[..., 32:]])
    for carried_ahead, carried_back, end in zip(ahead_end, back_end, (h, c), strict=True):
        assert_equal([carried_ahead[:, 0], carried_back[:, 1]], [end[:, 0], end[:, 1]])


def check_bilstm_drift(kernel: Any, frames: int) -> None:
    """After many steps still as near to float64 as float32 is."""
    weights = random_lstm(8, 16)
    x = random_array(1, frames, 8)
    y, (_, c) = lstm_gpu.bilstm(kernel, x, weights, (mx.zeros((1, 2, 16)), mx.zeros((1, 2, 16))))
    expected, expected_c = _bilstm_float64(np.array(x), weights)
    np.testing.assert_allclose(np.array(y), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.array(c), expected_c, rtol=0, atol=1e-5)


def _bilstm_float64(x: np.ndarray, weights: LSTMWeights) -> tuple[np.ndarray, np.ndarray]:
    w_ih, w_hh, bias = (np.array(w, np.float64) for w in (weights.w_ih, weights.w_hh, weights.bias))
    hidden, frames = weights.hidden, x.shape[1]
    y, c = np.zeros((1, frames, 2 * hidden)), np.zeros((1, 2, hidden))
    for direction, order in enumerate((range(frames), reversed(range(frames)))):
        h = np.zeros(hidden)
        for t in order:
            i, f, g, o = np.split(w_ih[direction] @ x[0, t] + w_hh[direction] @ h + bias[direction], 4)
            c[0, direction] = c[0, direction] / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c[0, direction]) / (1 + np.exp(-o))
            y[0, t, direction * hidden : (direction + 1) * hidden] = h
    return y, c


def check_sinc_pool(kernel: Any, batch: int, samples: int, dtype: Any = mx.float32, pairs: int = 40) -> None:
    """Maxima and both sums."""
    x, filters = random_array(batch, samples), filterbank(pairs)
    actual = sincnet_gpu.sinc_pool(kernel, x.astype(dtype), SincFilters(filters), SINC_STRIDE, POOL)
    assert actual[0].dtype == dtype
    with mx.stream(mx.cpu):
        expected = sinc_pool_ops(x, filters)
    assert_equal(actual, expected, dtype)


def check_sinc_pool_strided(kernel: Any) -> None:
    """A waveform that is a view: one channel of two, every second row."""
    x, filters = random_array(4, 700, 2)[::2, :, 1], filterbank()
    with mx.stream(mx.cpu):
        expected = sinc_pool_ops(x, filters)
    assert_equal(sincnet_gpu.sinc_pool(kernel, x, SincFilters(filters), SINC_STRIDE, POOL), expected)
