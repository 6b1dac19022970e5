"""The synthetic voice of the activity path: the network takes it for speech, and it is the same each time."""

from __future__ import annotations

import numpy as np

from turnstream.models.segmentation import PyanNet, activity
from turnstream.models.speech_prior import EXPECTED_S, LEVEL_RMS, voice_like
from turnstream.weights.store import segmentation_weights


def test_the_tone_is_as_long_and_loud_as_said() -> None:
    wave = voice_like()
    assert (wave.shape, wave.dtype) == ((round(EXPECTED_S * 16_000),), np.float32)
    assert abs(wave.std() - LEVEL_RMS) < 1e-3
    assert np.abs(wave).max() < 1
    assert voice_like().tobytes() == wave.tobytes()


def test_the_network_takes_it_for_one_voice() -> None:
    network = PyanNet(segmentation_weights())
    said = activity(np.array(network(voice_like(10.0)[None]))[0])
    assert said.any(axis=1).mean() > 0.9
    assert (said.sum(axis=1) > 1).mean() < 0.05


def test_a_room_is_no_speech_to_norms_that_expect_a_voice() -> None:
    """Half a second of a quiet room at the start of a stream: taken for speech where the norms expect nothing."""
    network = PyanNet(segmentation_weights())
    room = np.random.default_rng(0).normal(0, 1e-3, (1, 8_000)).astype(np.float32)
    said, _ = network.step(room, [network.expecting(voice_like())])
    assert not activity(np.array(said)[0]).any()
