"""The mean of channels, and what is used where it is silence although they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.audio.input import AudioInput

RATE_HZ = 16_000


def noise(samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def mixed(*channels: np.ndarray) -> tuple[np.ndarray, AudioInput]:
    audio = AudioInput(RATE_HZ, len(channels))
    return audio.feed(np.stack(channels, axis=1)), audio


@pytest.mark.parametrize("scale", [-1.0, -0.9])
def test_channels_in_antiphase_are_heard_and_told(scale: float):
    sound = noise(RATE_HZ)
    out, audio = mixed(sound, np.float32(scale) * sound)
    np.testing.assert_array_equal(out[160:], sound[160:])
    assert audio.counts.cancelled_samples == RATE_HZ - 160
    assert "the mean of the channels was almost silent in 99 % of the audio" in (audio.counts.warning() or "")


def test_the_louder_one_of_them_is_used():
    sound = noise(RATE_HZ)
    out, _ = mixed(-0.95 * sound, sound)
    np.testing.assert_array_equal(out[160:], sound[160:])


@pytest.mark.parametrize("channels", [2, 8, 32])
def test_one_speaking_channel_among_silent_ones_and_different_channels_are_averaged(channels: int):
    alone = [noise(RATE_HZ), *(np.zeros(RATE_HZ, np.float32) for _ in range(channels - 1))]
    for sounds in (alone, [noise(RATE_HZ, seed) for seed in range(channels)]):
        out, audio = mixed(*sounds)
        np.testing.assert_allclose(out, np.mean(sounds, axis=0), atol=1e-7)
        assert audio.counts.warning() is None


def test_two_people_on_two_channels_are_both_heard_after_a_moment_of_antiphase():
    first, second, silence = noise(RATE_HZ), noise(RATE_HZ, 1), np.zeros(RATE_HZ, np.float32)
    left, right = np.concatenate([first, first, silence]), np.concatenate([-first, silence, second])
    out, _ = mixed(left, right)
    np.testing.assert_array_equal(out[160:RATE_HZ], first[160:])
    np.testing.assert_allclose(out[-RATE_HZ:], second / 2, atol=1e-7)


def test_silence_decides_nothing():
    quiet = noise(RATE_HZ, level=1e-5)
    _, audio = mixed(quiet, -quiet)
    assert audio.counts.cancelled_samples == 0


@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=60), scale=st.sampled_from([-1.0, -0.85, -0.7, 0.5]))
def test_the_cutting_changes_nothing(cuts: list[int], scale: float):
    first, second = noise(3000), noise(3000, 1)
    frames = np.stack([first, np.where(np.arange(3000) < 2000, scale * first, second).astype(np.float32)], axis=1)
    audio, at, parts = AudioInput(RATE_HZ, 2), 0, []
    for cut in [*cuts, 3000]:
        parts.append(audio.feed(frames[at : at + cut]))
        at += cut
    whole = AudioInput(RATE_HZ, 2)
    assert np.concatenate(parts).tobytes() == whole.feed(frames).tobytes()
    assert audio.counts == whole.counts
