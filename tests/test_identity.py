"""Who counts as a person: one voice in two channels, light clusters, first words, and numbers the user knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conversations import CONFIG, DIMENSION, Conversation, agreement, random_turns, turns
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.errors import TurnstreamError
from turnstream.labels import Labels
from turnstream.stitching.config import frames
from turnstream.stitching.identity import find_people
from turnstream.stitching.stitchers import Stitchers
from turnstream.timeline.timeline import Timeline


class TwoChannels(Conversation):
    """The model gives every other second of speech to a second channel."""

    def windows(self):
        second = (np.arange(len(self.truth)) // frames(1.0) % 2).astype(bool)
        for first, active in super().windows():
            here = second[np.maximum(0, np.arange(first, first + len(active)))]
            talk = active.any(axis=1)
            yield first, np.column_stack([talk & ~here, talk & here, np.zeros(len(talk), bool)])


def told(labels: list[Labels]) -> set[int | None]:
    return {speaker for one in labels for n, speaker in enumerate(one.speakers) if one.active[:, n].any()}


def test_one_voice_in_two_channels_is_one_speaker():
    truth = turns((0, 1, 28), length_s=30)
    live, final = TwoChannels(truth).run(Stitchers())
    assert told(live) - {None} == {1}
    assert agreement(truth, final) > 0.97
    assert agreement(truth, live[-1]) > 0.97


def test_a_voice_that_talks_already_does_not_take_what_is_said_over_it():
    truth = turns((0, 1, 12), (1, 6, 16), length_s=20)
    conversation = Conversation(truth)
    conversation.voices[1] = 0.95 * conversation.voices[0] + np.sqrt(1 - 0.95**2) * conversation.voices[1]
    _, final = conversation.run(Stitchers())
    assert set(final.speakers) == {1, None}
    assert final.active[frames(7) : frames(11)].all()


def clusters(seed: int, light_s: float, cosine: float) -> tuple[np.ndarray, np.ndarray]:
    """Means and seconds of three people with 1,000 s each, and of a light one with this cosine to the first."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIMENSION, 4)))[0].T
    light = cosine * basis[0] + np.sqrt(1 - cosine**2) * basis[3]
    return np.stack([*basis[:3], light]).astype(np.float32), np.array([1000, 1000, 1000, light_s], np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(5.5, 14), st.floats(-0.2, 0.9))
def test_a_light_cluster_is_a_person_only_where_it_is_unlike_all_others(seed: int, light_s: float, cosine: float):
    means, mass = clusters(seed, light_s, cosine)
    nobody = np.zeros(4, bool)
    corrected = cosine * np.sqrt((light_s + CONFIG.join_noise_s) / light_s * (1 + CONFIG.join_noise_s / 1000))
    people = find_people(means, mass, nobody, nobody, CONFIG)
    assert people[:3].all()
    assert people[3] == (corrected < CONFIG.stranger_cosine) or abs(corrected - CONFIG.stranger_cosine) < 1e-3


@pytest.mark.parametrize("light_s", [20.0, 60.0])
def test_what_is_light_grows_with_the_stream(light_s: float):
    means, mass = clusters(0, light_s, 0.6)
    nobody = np.zeros(4, bool)
    assert find_people(means, mass, nobody, nobody, CONFIG)[3]
    hours = np.array([10_000, 10_000, 10_000, light_s], np.float32)
    assert not find_people(means, hours, nobody, nobody, CONFIG)[3]


def test_nobody_is_told_of_before_enough_was_heard():
    truth = turns((0, 1, 8), (1, 9, 12), length_s=15)
    live, _ = Conversation(truth).run(Stitchers())
    for labels in live:
        for n, speaker in enumerate(labels.speakers):
            heard = labels.active[:, n] & truth[labels.first_frame :][: len(labels.active), 1].any()
            if speaker == 2 and heard.any():
                assert labels.end_frame >= frames(9 + CONFIG.public_s)
    assert 2 in told(live)


def test_numbers_of_voices_nobody_was_told_of_are_not_used_up():
    """Somebody says a word and is gone; the next person is number two all the same."""
    truth = turns((0, 1, 8), (1, 9, 9.7), (0, 11, 30), (2, 31, 36), length_s=38)
    live, _ = Conversation(truth).run(Stitchers())
    timeline = Timeline(1.0)
    for labels in live:
        timeline.update(labels, max(0, labels.end_frame))
    assert timeline.speakers == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2, 3])
def test_nobody_beyond_the_number_given_is_told_of(most: int):
    truth = random_turns(7, 3, length_s=90)
    live, final = Conversation(truth, 7).run(Stitchers(replace(CONFIG, max_speakers=most)))
    assert len(told(live) - {None}) == most
    assert len(told([final]) - {None}) == most


def test_a_least_number_is_kept_at_the_end():
    truth = turns((0, 1, 60), (1, 61, 61.9), (0, 63, 80), length_s=82)
    for least in (1, 2):
        _, final = Conversation(truth).run(Stitchers(replace(CONFIG, min_speakers=least)))
        assert len(told([final]) - {None}) == least


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_numbers_of_people_agree_or_are_refused(exact: int, least: int, most: int):
    if least <= exact <= most:
        config = CONFIG.for_people(exact, least, most)
        assert (config.min_speakers, config.max_speakers) == (exact, exact)
    else:
        with pytest.raises(TurnstreamError, match="expected a number of speakers of 1 or more, got at least"):
            CONFIG.for_people(exact, least, most)


def test_no_number_of_people_changes_nothing_and_none_is_refused():
    assert CONFIG.for_people() == CONFIG
    assert CONFIG.for_people(max_speakers=3) == replace(CONFIG, max_speakers=3)
    with pytest.raises(TurnstreamError, match="got at least 1 and at most 0"):
        CONFIG.for_people(max_speakers=0)
