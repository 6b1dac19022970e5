"""The filterbank equals its reference, and the one that a stream keeps equals the one that is computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from kernel_checks import as_given, assert_equal, filterbank, random_array

from turnstream.kernels.backend import mx
from turnstream.kernels.sincnet import SincFilters, sinc_pool, sinc_pool_ops
from turnstream.models.segmentation import PyanNet
from turnstream.weights.store import segmentation_weights
from turnstream.windows import HOP_SAMPLES, WINDOW_SAMPLES


@pytest.fixture(scope="module")
def network() -> PyanNet:
    return PyanNet(segmentation_weights())


@pytest.mark.parametrize(("batch", "samples"), [(1, 271), (2, 300), (1, 991), (7, 2049), (2, 20_003), (1, 160_000)])
def test_equals_the_reference(batch: int, samples: int) -> None:
    x, filters = random_array(batch, samples), filterbank()
    with mx.stream(mx.cpu):
        expected = sinc_pool_ops(x, filters)
    assert_equal(sinc_pool(x, filters), expected)


def test_arrays_of_a_kind_give_arrays_of_that_kind() -> None:
    x, filters = random_array(2, 3000), filterbank()
    results = sinc_pool(as_given(x), SincFilters(filters))
    assert all(isinstance(part, type(as_given(x))) for part in results)
    assert_equal([mx.array(part) for part in results], sinc_pool_ops(x, filters))


def test_views_of_waveforms() -> None:
    x, filters = random_array(4, 700, 2)[::2, :, 1], filterbank()
    assert_equal(sinc_pool(x, filters), sinc_pool_ops(x, filters))


def test_scale_and_shift_are_those_of_the_waveform() -> None:
    x, filters = random_array(2, 5000), filterbank()
    scale, shift = mx.array([2.0, 0.3]), mx.array([-0.5, 4.0])
    expected = sinc_pool_ops(x * scale[:, None] + shift[:, None], filters)
    assert_equal(sinc_pool(x, filters, scale, shift), expected)


def test_sums_keep_their_digits_on_a_large_constant() -> None:
    """The variance of what hardly changes: float32 sums of squares would leave nothing of it."""
    x = 1e-3 * random_array(1, 40_000) + 1
    if isinstance(as_given(x), mx.array):
        pytest.skip("sums are float32 on this device, and the norm does not use them")
    pooled, total, square = (np.array(part, np.float64) for part in sinc_pool(np.array(x), SincFilters(filterbank())))
    mean = total / pooled.shape[1]
    variance = square / pooled.shape[1] - mean**2
    np.testing.assert_allclose(variance, pooled.var(axis=1), rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 270), (500,), (1, 500, 1)])
def test_wrong_waveforms_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected x \(B, N\) with N at least 271, got \("):
        sinc_pool(mx.zeros(shape), filterbank())


def windows_of(samples: np.ndarray, hop_samples: int) -> Iterator[tuple[int, np.ndarray]]:
    """(start, window) from the first that sees a sample on; before the stream there is silence."""
    first = -(WINDOW_SAMPLES // hop_samples) * hop_samples
    for start in range(first, len(samples) - WINDOW_SAMPLES + 1, hop_samples):
        if start + WINDOW_SAMPLES > 0:
            silence = np.zeros(max(0, -start), np.float32)
            yield start, np.concatenate([silence, samples[max(0, start) : start + WINDOW_SAMPLES]])


def compare_stream(network: PyanNet, samples: np.ndarray, hop_samples: int, at_most: int = 10**9) -> None:
    """`window_step` over a stream against whole windows: max < 1e-3, median < 2e-4, no class changed."""
    state = network.initial_window_state(hop_samples)
    worst = []
    for (start, window), _ in zip(windows_of(samples, hop_samples), range(at_most), strict=False):
        got, (state,) = network.window_step(window[None], [start], [state])
        full = np.array(network(mx.array(window[None])))
        worst.append(np.abs(np.array(got) - full).max())
        assert (np.array(got).argmax(-1) == full.argmax(-1)).all()
    assert max(worst) < 1e-3
    assert np.median(worst) < 2e-4


def long_stream(speech_data: Path, seconds: int) -> np.ndarray:
    samples, _ = soundfile.read(sorted((speech_data / "sim_dev").glob("*.flac"))[0], dtype="float32")
    return np.asarray(samples[: seconds * 16_000])


@pytest.mark.slow
def test_streaming_equals_whole_windows_over_a_long_stream(network: PyanNet, speech_data: Path) -> None:
    compare_stream(network, long_stream(speech_data, 45), HOP_SAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("hop_samples", [10, 30, 1000, 4010, 8110, 16_020, 160_000, 200_000])
def test_any_hop_that_is_a_multiple_of_ten_samples(network: PyanNet, speech_data: Path, hop_samples: int) -> None:
    compare_stream(network, long_stream(speech_data, 60), hop_samples, at_most=12)


@pytest.mark.slow
def test_streaming_with_an_offset(network: PyanNet, speech_data: Path) -> None:
    compare_stream(network, long_stream(speech_data, 20) * 0.1 + 0.5, HOP_SAMPLES)


@pytest.mark.slow
def test_streaming_while_the_offset_changes(network: PyanNet, speech_data: Path) -> None:
    samples = long_stream(speech_data, 16) * 0.1
    compare_stream(network, samples + np.linspace(-0.03, 0.03, len(samples), dtype=np.float32), HOP_SAMPLES)


def test_an_offset_takes_no_digits() -> None:
    """Speech 250 times smaller than an offset that its norm takes off; MLX filters what is left in float32."""
    x, filters = np.array(random_array(1, 20_000)) * np.float32(0.002) + np.float32(0.5), filterbank()
    scale, shift = 500.0, -500.0 * x.mean(dtype=np.float64)
    spans = np.lib.stride_tricks.sliding_window_view(x[0] * scale + shift, 251)[::10]
    bank = np.abs(spans @ np.array(filters, np.float64).T)
    expected = bank[: len(bank) // 3 * 3].reshape(-1, 3, 80).max(axis=1)
    given = [as_given(part) for part in (x, np.array([scale]), np.array([shift]))]
    pooled = np.array(sinc_pool(given[0], SincFilters(filters), *given[1:])[0])
    bound = 1e-5 if isinstance(given[0], np.ndarray) else 1e-3
    np.testing.assert_allclose(pooled[0], expected, atol=bound * expected.max())


@pytest.mark.parametrize("value", [0.0, 0.0453264, -0.5])
def test_silence_gives_a_constant_to_the_last_bit(value: float) -> None:
    """However a device adds: the norm divides what is left by a deviation of zero."""
    filters = filterbank()
    pooled = np.array(sinc_pool_ops(mx.full((1, 3001), value), filters)[0])
    assert (pooled == pooled[:, :1]).all()
    expected = np.abs(value * np.array(filters, np.float64).sum(axis=1))
    np.testing.assert_allclose(pooled[0, 0], expected, atol=1e-5)


def test_streams_in_one_batch_do_not_mix(network: PyanNet) -> None:
    waves = np.array(random_array(2, WINDOW_SAMPLES + 3 * HOP_SAMPLES)) * 0.1
    states = [network.initial_window_state(), network.initial_window_state()]
    for k in range(3):
        windows = waves[:, k * HOP_SAMPLES : k * HOP_SAMPLES + WINDOW_SAMPLES]
        starts = [k * HOP_SAMPLES, (k + 7) * HOP_SAMPLES]  # the second stream is further on
        together, states = network.window_step(windows, starts, states)
        apart = [np.array(network(mx.array(window[None])))[0] for window in windows]
        np.testing.assert_allclose(np.array(together), apart, atol=1e-4)


def test_a_jump_starts_anew(network: PyanNet) -> None:
    """Forwards beyond the window, or back in time: nothing of the old samples is left."""
    waves = np.array(random_array(3, WINDOW_SAMPLES)) * 0.1
    state: Any = network.initial_window_state()
    for start, window in zip((0, 200 * HOP_SAMPLES, 10 * HOP_SAMPLES), waves, strict=True):
        got, (state,) = network.window_step(window[None], [start], [state])
        np.testing.assert_allclose(np.array(got), np.array(network(mx.array(window[None]))), atol=1e-4)


def test_hops_that_do_not_fit_are_named(network: PyanNet) -> None:
    if network.initial_window_state() is None:
        pytest.skip("this device computes each window in full")
    with pytest.raises(ValueError, match="expected a hop that is a multiple of 10 samples, got 8105"):
        network.initial_window_state(8105)
    state, window = network.initial_window_state(HOP_SAMPLES), np.zeros((1, WINDOW_SAMPLES), np.float32)
    network.window_step(window, [0], [state])
    with pytest.raises(ValueError, match="expected windows a multiple of 30 samples apart, got 10"):
        network.window_step(window, [10], [state])
    with pytest.raises(ValueError, match="expected a window of 160000 samples, got 80000"):
        network.window_step(window[:, :80_000], [30], [state])
