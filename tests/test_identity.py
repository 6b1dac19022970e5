"""Who counts as a person: one voice in two channels, light clusters, first words, and numbers the user knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conversations import CONFIG, DIMENSION, Conversation, agreement, random_turns, turns
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.errors import TurnstreamError
from turnstream.labels import Labels
from turnstream.stitching import finding
from turnstream.stitching.config import FRAME_S, StitcherConfig, frames
from turnstream.stitching.finding import find_people
from turnstream.stitching.links import Link
from turnstream.stitching.stitchers import Stitchers
from turnstream.timeline.timeline import Timeline
from turnstream.windows import HOP_FRAMES


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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(5.5, 300), st.floats(-0.2, 0.9))
def test_the_less_of_all_speech_a_cluster_has_the_more_unlike_all_others_a_person_is(
    seed: int, light_s: float, cosine: float
):
    means, mass = clusters(seed, light_s, cosine)
    nobody = np.zeros(4, bool)
    corrected = cosine * np.sqrt((light_s + CONFIG.join_noise_s) / light_s * (1 + CONFIG.join_noise_s / 1000))
    share = light_s / (3000 + light_s)
    bar = CONFIG.stranger_cosine
    bar += CONFIG.stranger_heavy_cosine * max(0.0, np.log(share / CONFIG.cluster_light_share))
    people, unlike = find_people(means, mass, nobody, nobody, CONFIG)
    assert people[:3].all()
    assert unlike[:3].all()
    assert people[3] == unlike[3]
    assert people[3] == (corrected < bar) or abs(corrected - bar) < 1e-3


def test_what_is_light_grows_with_the_stream():
    means, mass = clusters(0, 60.0, 0.6)
    nobody = np.zeros(4, bool)
    assert find_people(means, mass, nobody, nobody, CONFIG)[0][3]
    hours = np.array([10_000, 10_000, 10_000, 60], np.float32)
    assert not find_people(means, hours, nobody, nobody, CONFIG)[0][3]


def test_whoever_waits_to_be_confirmed_is_kept_but_not_certain_where_they_sound_like_another():
    nobody, waits = np.zeros(4, bool), np.array([False, False, False, True])
    for cosine in (0.2, 0.6):
        means, mass = clusters(0, 3.0, cosine)
        people, unlike = find_people(means, mass, waits, nobody, CONFIG)
        assert people.all()
        assert unlike.tolist() == [True, True, True, cosine == 0.2]


def test_nobody_is_told_of_before_enough_was_heard():
    truth = turns((0, 1, 8), (1, 9, 12), length_s=15)
    live, _ = Conversation(truth).run(Stitchers())
    for labels in live:
        for n, speaker in enumerate(labels.speakers):
            heard = labels.active[:, n] & truth[labels.first_frame :][: len(labels.active), 1].any()
            if speaker == 2 and heard.any():
                assert labels.end_frame >= frames(9 + CONFIG.public_s)
    assert 2 in told(live)


def test_nobody_is_told_of_who_may_be_somebody_else(monkeypatch: pytest.MonkeyPatch):
    """The second voice is clustered apart for all its 20 s, but as one that sounds like the first."""

    def doubtful(means: np.ndarray, mass: np.ndarray, held: np.ndarray, new: np.ndarray, config: StitcherConfig) -> Any:
        people, _ = find_people(means, mass, held, new, config)
        return people, mass == mass.max()

    truth = turns((0, 1, 25), (1, 26, 46), length_s=50)
    live, final = Conversation(truth).run(Stitchers())
    assert told(live) - {None} == {1, 2}
    monkeypatch.setattr(finding, "find_people", doubtful)
    live, final = Conversation(truth).run(Stitchers())
    assert told(live) - {None} == {1}
    assert set(final.speakers) - {None} == {1, 2}


def first_told_s(live: list[Labels], speaker: int) -> float:
    """Seconds of the stream when labels named the speaker for the first time."""
    return next(one.end_frame for one in live if speaker in one.speakers) * FRAME_S


def test_in_a_long_stream_more_is_heard_before_somebody_new_is_told_of():
    """After 30 s of one voice a new one needs a second of speech, or 1 + 2 ln(30 / 10) = 3.2 s with other constants."""
    truth = turns((0, 1, 31), (1, 32, 40), length_s=45)
    slow = replace(CONFIG, public_growth_s=2.0, public_from_s=10.0)
    at_once, later = (Conversation(truth).run(Stitchers(config))[0] for config in (CONFIG, slow))
    assert 33 <= first_told_s(at_once, 2) < 34.5
    assert 35.2 <= first_told_s(later, 2) < 36.7


@pytest.mark.parametrize(("speech_s", "wanted_s"), [(0, 1), (300, 1), (1800, 3.69), (3600, 4.73), (28_800, 7.85)])
def test_speech_before_somebody_new_is_told_of_grows_with_the_stream(speech_s: float, wanted_s: float):
    assert CONFIG.public_after_s(speech_s) == pytest.approx(wanted_s, abs=0.005)


def test_what_was_said_before_somebody_was_told_of_is_named_then():
    """A word that labels no longer reach, by somebody who speaks again much later."""
    truth = turns((0, 1, 31), (1, 32, 33.5), (0, 34, 60), (1, 61, 66), (0, 67, 75), length_s=78)
    slow = replace(CONFIG, public_growth_s=2.0, public_from_s=10.0)
    timeline = Timeline(1.0)
    for labels in Conversation(truth).run(Stitchers(slow))[0]:
        timeline.update(labels, max(0, labels.end_frame))
    words = [turn.speaker for turn in timeline.turns if frames(31.8) < turn.start_frame < frames(33)]
    assert words == [2]
    live = [run for run in timeline.live_rttm("x").splitlines() if 31.8 < float(run.split()[3]) < 33]
    assert live
    assert all("S2" not in run for run in live)


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


@pytest.mark.parametrize("seed", range(4))
def test_no_change_names_somebody_whom_labels_may_not_name_yet(seed: int):
    live, _ = Conversation(random_turns(seed, 3, length_s=60), seed).run(Stitchers(replace(CONFIG, public_s=12.0)))
    named: set[int | None] = set()
    for labels in live:
        named |= set(labels.speakers)
        assert {change.new for change in labels.changes} <= named


def test_whom_the_user_named_is_told_of_at_once():
    conversation = Conversation(turns((0, 1, 31), (1, 32, 33.5), (0, 34, 60), length_s=62))
    stitchers = Stitchers(replace(CONFIG, public_s=5.0))
    new, told_of = stitchers.live.speakers.reserve(), set[int | None]()
    for first, active in conversation.windows():
        if first == frames(40) // HOP_FRAMES * HOP_FRAMES:
            stitchers.link(Link(frames(32), frames(33.5), (), new, None, is_new=True))
        labels = stitchers.assign(conversation.embed_all(stitchers.observe(first, active)))
        told_of |= {change.new for change in labels.changes}
    assert new in told_of
