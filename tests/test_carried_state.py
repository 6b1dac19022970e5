"""Segmentation in steps gives the same result as the whole, thanks to the state carried from chunk to chunk."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import soundfile
from kernel_checks import as_given

from turnstream.kernels import convpool, lstm, sincnet
from turnstream.kernels.lstm import LSTMWeights, bilstm, zero_state
from turnstream.models import segmentation
from turnstream.models.activity import AHEAD_FRAMES, CHUNK_SAMPLES, FIRST_SAMPLES
from turnstream.models.carried_state import CarriedState, Sums
from turnstream.models.segmentation import PyanNet, on_cpu_kernels
from turnstream.weights.store import demo_recording, segmentation_weights
from turnstream.windows import FRAME_SAMPLES, frame_count

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Fixed:
    """Sums that stay as they are, so that the norms do the same to every chunk."""

    count: float
    total: Any
    square: Any

    def add(self, count: int, total: Any, square: Any, samples: int) -> Fixed:
        return self

    def scaled(self, count: int) -> tuple[Any, Any]:
        return self.total * (count / self.count), self.square * (count / self.count)


@pytest.fixture(scope="module")
def network() -> PyanNet:
    return PyanNet(segmentation_weights())


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """12 s of the demo recording with both speakers: (N,) float32."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="float32")
    return samples[100_000:292_000]


def fixed(network: PyanNet, samples: np.ndarray) -> CarriedState:
    """The state before a stream whose norms already have the sums of `samples`."""
    _, (state,) = network.step(samples[None], [network.initial_state()])
    sums = tuple(Fixed(s.count, s.total, s.square) for s in state.sums)
    start = network.initial_state()
    return CarriedState(start.samples, start.frames, sums, start.h, start.c)


def chunks_of(samples: np.ndarray) -> Iterator[np.ndarray]:
    """As the activity path cuts a stream."""
    ends = range(FIRST_SAMPLES, len(samples) + 1, CHUNK_SAMPLES)
    yield from (samples[max(0, end - CHUNK_SAMPLES) if end > FIRST_SAMPLES else 0 : end] for end in ends)


def run(network: PyanNet, state: CarriedState, samples: np.ndarray) -> np.ndarray:
    parts = []
    for chunk in chunks_of(samples):
        logp, (state,) = network.step(chunk[None], [state], AHEAD_FRAMES)
        parts.append(np.array(logp)[0])
    return np.concatenate(parts)


def test_a_whole_file_in_one_chunk_is_a_window(network: PyanNet, speech: np.ndarray) -> None:
    for samples in (speech, speech[:5_000], speech[1_000:30_123]):
        got, _ = network.step(samples[None], [network.initial_state()])
        np.testing.assert_allclose(
            np.array(got), np.array(network(samples[None])), atol=1e-5 if on_cpu_kernels() else 1e-3
        )


def test_frames_of_chunks_are_those_of_the_whole(network: PyanNet, speech: np.ndarray) -> None:
    """With norms that stay the same, what reaches the LSTM does not know how the audio was cut."""
    start = fixed(network, speech)
    ready = frame_count(len(speech))
    _, (whole,) = network.step(speech[None], [start], ready - 1)
    state = start
    for chunk in np.split(speech, [5_000, 6_620, 30_001, 30_999, 31_270, 100_000]):
        _, (state,) = network.step(chunk[None], [state], state.frames_ready(len(chunk)) - 1)
    kept = len(state.frames[2])
    assert kept == ready - 7
    np.testing.assert_allclose(state.frames[2], whole.frames[2][-kept:], atol=1e-4)


def test_chunks_give_every_frame_once(network: PyanNet, speech: np.ndarray) -> None:
    given = len(run(network, network.initial_state(), speech))
    assert given == (frame_count(len(speech)) - AHEAD_FRAMES) // 6 * 6


def test_the_forward_state_stands_behind_the_frames_given(network: PyanNet, speech: np.ndarray) -> None:
    """And not behind the look-ahead, which the next step gives."""
    start = fixed(network, speech)
    samples = speech[: frame_count(30_000) * FRAME_SAMPLES + 721]
    _, (ahead,) = network.step(samples[None], [start], AHEAD_FRAMES)
    _, (without,) = network.step(samples[None, : -AHEAD_FRAMES * FRAME_SAMPLES], [start])
    np.testing.assert_allclose(ahead.h[0], without.h[0], atol=1e-5)
    np.testing.assert_allclose(ahead.c[0], without.c[0], atol=1e-5)
    assert np.abs(ahead.c[1] - without.c[1]).max() > 1e-3  # the second layer has heard the look-ahead


def test_later_audio_changes_nothing_that_was_given(network: PyanNet, speech: np.ndarray) -> None:
    start, cut = network.initial_state(), FIRST_SAMPLES + 20 * CHUNK_SAMPLES
    other = np.concatenate([speech[:cut], speech[:0:-1][:40_000]])
    one, two = run(network, start, speech[:100_000]), run(network, start, other)
    frames = 21 * 6
    assert one[:frames].tobytes() == two[:frames].tobytes()
    assert np.abs(one[frames : frames + 60] - two[frames : frames + 60]).max() > 0.1


@pytest.mark.parametrize("streams", [2, 5])
def test_a_batch_is_its_streams(network: PyanNet, speech: np.ndarray, streams: int) -> None:
    waves = [speech[9_000 * i :][:40_000] for i in range(streams)]
    states = [network.initial_state() for _ in waves]
    together = []
    for chunks in zip(*map(chunks_of, waves), strict=True):
        logp, states = network.step(np.stack(chunks), states, AHEAD_FRAMES)
        together.append(np.array(logp))
    for got, wave in zip(np.concatenate(together, axis=1), waves, strict=True):
        alone = run(network, network.initial_state(), wave)
        np.testing.assert_allclose(got, alone, atol=1e-3)
        assert (got.argmax(1) == alone.argmax(1)).all()


def test_a_saved_state_goes_on_the_same(network: PyanNet, speech: np.ndarray) -> None:
    chunks = list(chunks_of(speech))
    state = network.initial_state()
    for chunk in chunks[:30]:
        _, (state,) = network.step(chunk[None], [state], AHEAD_FRAMES)
    saved = pickle.dumps(state)
    outputs = []
    for begin in (state, pickle.loads(saved), state):
        for chunk in chunks[30:40]:
            logp, (begin,) = network.step(chunk[None], [begin], AHEAD_FRAMES)
        outputs.append(np.array(logp).tobytes())
    assert len(set(outputs)) == 1
    assert pickle.dumps(state) == saved


def test_array_operations_alone_give_the_same(
    monkeypatch: pytest.MonkeyPatch, network: PyanNet, speech: np.ndarray
) -> None:
    """What runs where there is neither Numba nor a GPU kernel."""
    expected = run(network, network.initial_state(), speech[:40_000])
    for module in (lstm, sincnet, convpool):
        monkeypatch.setattr(module, "cpu", None)
    monkeypatch.setattr(segmentation, "sincnet_stream", None)
    plain = PyanNet(segmentation_weights())
    got = run(plain, plain.initial_state(), speech[:40_000])
    np.testing.assert_allclose(got, expected, atol=5e-3)
    assert (got.argmax(1) == expected.argmax(1)).all()


def test_no_state_is_a_state_of_zeros_exactly(network: PyanNet) -> None:
    layer: LSTMWeights = network.lstm[0]
    x = as_given(np.random.default_rng(0).standard_normal((2, 50, 60)).astype(np.float32))
    zeros = tuple(as_given(part) for part in zero_state(2, layer.hidden))
    (y, ends), (same, same_ends) = bilstm(x, layer), bilstm(x, layer, zeros)
    for a, b in zip((y, *ends), (same, *same_ends), strict=True):
        assert np.array(a).tobytes() == np.array(b).tobytes()


def test_sums_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((60, 4))
    for_ever = Sums(memory_s=float("inf"))
    whole = for_ever.add(60, values.sum(0), np.square(values).sum(0), 600)
    parts = for_ever
    for part in np.split(values, [1, 20, 21]):
        parts = parts.add(len(part), part.sum(0), np.square(part).sum(0), 10 * len(part))
    assert parts.count == whole.count
    np.testing.assert_allclose(parts.scaled(7), whole.scaled(7))


def test_sums_forget() -> None:
    old = Sums(memory_s=10.0).add(100, 500.0, 9_000.0, 16_000)
    assert old.add(1, 0.0, 0.0, 160_000).count == pytest.approx(1 + 100 / np.e)


@pytest.mark.parametrize("samples", [0, 270, 990, 990 + AHEAD_FRAMES * FRAME_SAMPLES])
def test_chunks_too_short_are_named(network: PyanNet, samples: int) -> None:
    with pytest.raises(ValueError, match=r"expected chunks .* beyond the look-ahead, got \(1, "):
        network.step(np.zeros((1, samples), np.float32), [network.initial_state()], AHEAD_FRAMES)


def test_streams_that_stand_unequally_are_named(network: PyanNet, speech: np.ndarray) -> None:
    fresh = network.initial_state()
    _, (later,) = network.step(speech[None, :FIRST_SAMPLES], [fresh], AHEAD_FRAMES)
    with pytest.raises(ValueError, match="expected streams in step"):
        network.step(np.stack([speech[:5_041]] * 2), [fresh, later], AHEAD_FRAMES)
