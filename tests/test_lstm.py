"""The dispatched LSTM layer equals the reference, whatever the batch, the length, the layout and the cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_checks import as_given, assert_equal, random_array, random_lstm, random_state

from turnstream.kernels.backend import mx
from turnstream.kernels.convpool import Conv, conv_pool
from turnstream.kernels.lstm import LSTMWeights, bilstm, bilstm_ops, zero_state

HIDDEN = 128


def compare(x: Any, weights: LSTMWeights, state: Any) -> None:
    """Output and end state within 1e-5 of the largest value of the reference."""
    y, end = bilstm(x, weights, state)
    with mx.stream(mx.cpu):
        expected, expected_end = bilstm_ops(mx.array(np.ascontiguousarray(x)), weights, state)
    assert_equal(list(map(mx.array, (y, *end))), (expected, *expected_end))


@pytest.mark.parametrize(
    ("batch", "frames"), [(1, 1), (1, 2), (2, 39), (7, 2), (3, 45), (4, 41), (5, 41), (7, 80), (1, 589), (2, 1000)]
)
def test_equals_the_reference(batch: int, frames: int) -> None:
    compare(random_array(batch, frames, 60), random_lstm(60, HIDDEN), random_state(batch, HIDDEN))


@pytest.mark.parametrize("hidden", [16, 32, 48, 256])
def test_other_sizes(hidden: int) -> None:
    """Also those that do not fill whole vectors, which fall back to the reference."""
    compare(random_array(2, 12, 7), random_lstm(7, hidden), random_state(2, hidden))


def test_no_state_is_zeros_exactly() -> None:
    weights, x = random_lstm(60, HIDDEN), random_array(3, 20, 60)
    (y, end), (again, again_end) = bilstm(x, weights), bilstm(x, weights, zero_state(3, HIDDEN))
    for a, b in zip((y, *end), (again, *again_end), strict=True):
        assert np.array(a).tobytes() == np.array(b).tobytes()


def test_views_of_inputs_and_states() -> None:
    x = random_array(30, 4, 60).swapaxes(0, 1)[::2]  # (2, 30, 60)
    compare(x, random_lstm(60, HIDDEN), tuple(part[::2] for part in random_state(4, HIDDEN)))
    compare(as_given(x)[:, ::-1, ::-1], random_lstm(60, HIDDEN), random_state(2, HIDDEN))


@pytest.mark.parametrize("cut", [1, 40, 57])
def test_split_in_two_with_carried_state_equals_the_whole(cut: int) -> None:
    """Forward in the order of the stream; backward the other way round."""
    weights, state, x = random_lstm(60, HIDDEN), random_state(2, HIDDEN), random_array(2, 100, 60)
    whole, end = bilstm(x, weights, state)
    ahead, ahead_end = bilstm(x[:, :cut], weights, state)
    ahead_rest, ahead_end = bilstm(x[:, cut:], weights, ahead_end)
    back_rest, back_end = bilstm(x[:, cut:], weights, state)
    back, back_end = bilstm(x[:, :cut], weights, back_end)
    forward = mx.concatenate([ahead, ahead_rest], axis=1)[..., :HIDDEN]
    backward = mx.concatenate([back, back_rest], axis=1)[..., HIDDEN:]
    assert_equal([forward, backward], [whole[..., :HIDDEN], whole[..., HIDDEN:]])
    for carried_ahead, carried_back, last in zip(ahead_end, back_end, end, strict=True):
        assert_equal([carried_ahead[:, 0], carried_back[:, 1]], [last[:, 0], last[:, 1]])


def test_given_state_is_not_written_to() -> None:
    state = tuple(as_given(part) for part in random_state(1, HIDDEN))
    before = [np.array(part) for part in state]
    bilstm(as_given(random_array(1, 10, 60)), random_lstm(60, HIDDEN), state)
    np.testing.assert_array_equal([np.array(part) for part in state], before)


def float64(x: np.ndarray, weights: LSTMWeights) -> np.ndarray:
    """One row in float64, from zeros."""
    w_ih, w_hh, bias = (np.array(part, np.float64) for part in (weights.w_ih, weights.w_hh, weights.bias))
    frames, hidden = len(x), weights.hidden
    y = np.zeros((frames, 2 * hidden))
    for direction, order in enumerate((range(frames), range(frames - 1, -1, -1))):
        h, c = np.zeros(hidden), np.zeros(hidden)
        for t in order:
            i, f, g, o = np.split(w_ih[direction] @ x[t] + w_hh[direction] @ h + bias[direction], 4)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
            y[t, direction * hidden : (direction + 1) * hidden] = h
    return y


def test_no_drift_over_2000_steps() -> None:
    weights, x = random_lstm(60, HIDDEN), random_array(1, 2000, 60)
    y = np.array(bilstm(as_given(x), weights)[0])
    np.testing.assert_allclose(y[0], float64(np.array(x[0]), weights), rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [1e-30, 1.0, 80.0, 1e30])
def test_activations_hold_at_every_size(size: float) -> None:
    """Gates from denormal to far beyond saturation."""
    weights = random_lstm(60, HIDDEN)
    compare(random_array(1, 5, 60) * size, weights, random_state(1, HIDDEN))


def test_same_input_same_bytes() -> None:
    weights, x = random_lstm(60, HIDDEN), random_array(5, 100, 60)
    assert np.array(bilstm(x, weights)[0]).tobytes() == np.array(bilstm(x, weights)[0]).tobytes()


@pytest.mark.parametrize("shape", [(1, 5, 61), (1, 0, 60), (0, 5, 60), (5, 60)])
def test_wrong_inputs_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected x \(B, T, 60\) with B and T at least 1, got \("):
        bilstm(mx.zeros(shape), random_lstm(60, HIDDEN))


def test_a_state_of_another_batch_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected a state of two \(2, 2, 128\), got \[\(3, 2, 128\)"):
        bilstm(mx.zeros((2, 5, 60)), random_lstm(60, HIDDEN), random_state(3, HIDDEN))


def test_two_biases_of_torch_are_added() -> None:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (512, 60), "weight_hh": (512, 128), "bias_ih": (512,), "bias_hh": (512,)}
    tensors = {
        f"lstm.{name}_l1{end}": rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
        for end in ("", "_reverse")
    }
    weights = LSTMWeights.from_torch(tensors, layer=1)
    np.testing.assert_array_equal(
        weights.bias[1], tensors["lstm.bias_ih_l1_reverse"] + tensors["lstm.bias_hh_l1_reverse"]
    )
    np.testing.assert_array_equal(weights.w_ih[0], tensors["lstm.weight_ih_l1"])


def test_an_mlx_array_laid_out_like_those_of_the_cpu_kernels() -> None:
    """MLX keeps the strides of a NumPy array, and its memory is not one that the CPU body may read past."""
    pooled, _, _ = conv_pool(random_array(1, 100, 60), Conv(random_array(60, 5, 60), random_array(60)))
    compare(pooled, random_lstm(60, HIDDEN), random_state(1, HIDDEN))
