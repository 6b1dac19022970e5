"""The stitcher on made-up conversations: who is who, now and at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conversations import CONFIG, DIMENSION, Conversation, agreement, random_turns, turns
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from turnstream.labels import Change
from turnstream.stitching.aggregation import Aggregator, edge_trust
from turnstream.stitching.assignment import Window
from turnstream.stitching.config import FRAME_S, frames
from turnstream.stitching.identity import Speakers
from turnstream.stitching.live import LiveStitcher
from turnstream.stitching.pair_votes import PairVotes
from turnstream.stitching.record import RecordStitcher
from turnstream.stitching.segments import NOTHING, Segment
from turnstream.stitching.stitchers import Stitchers
from turnstream.timeline.timeline import Timeline
from turnstream.windows import WINDOW_FRAMES


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_speakers_are_found_however_the_windows_shuffle_them(seed: int, speakers: int):
    truth = random_turns(seed, speakers)
    live, final = Conversation(truth, seed).run(Stitchers())
    assert agreement(truth, final) > 0.97
    assert final.active.any(axis=0).sum() == truth.any(axis=0).sum()
    assert np.mean([agreement(truth, labels) for labels in live[40:]]) > 0.9


@pytest.mark.slow
def test_the_same_windows_give_the_same_labels():
    truth = random_turns(3, 3)

    def records() -> list[str]:
        timeline = Timeline(1.0)
        live, final = Conversation(truth, 3).run(Stitchers())
        lines = [repr(record) for labels in live for record in timeline.update(labels, max(0, labels.end_frame))]
        return [*lines, repr(timeline.finish(final))]

    assert records() == records()


def test_a_new_speaker_is_told_apart_within_two_seconds():
    truth = turns((0, 1, 8), (1, 8.2, 13), length_s=15)
    live, _ = Conversation(truth).run(Stitchers())
    at = next(labels for labels in live if labels.end_frame >= frames(10.2))
    told = [at.active[frames(s) - at.first_frame] for s in (6.0, 9.5)]
    assert told[0].sum() == told[1].sum() == 1
    assert told[0].argmax() != told[1].argmax()


@pytest.mark.parametrize(("cosine", "speakers"), [(0.0, 2), (0.6, 1)])
def test_somebody_new_in_the_local_channel_of_who_talked_before_is_told_apart(cosine: float, speakers: int):
    """By the clustering alone, and while he is new: his local speaker as a whole sounds like the other."""
    truth = turns((0, 1, 60), (1, 60.3, 62.8), length_s=66)

    class OneChannel(Conversation):
        def windows(self):
            for first, active in super().windows():
                yield first, np.pad(active.any(axis=1)[:, None], ((0, 0), (0, 2)))

    conversation = OneChannel(truth, shuffle=False)
    conversation.voices[1] = cosine * conversation.voices[0] + np.sqrt(1 - cosine**2) * conversation.voices[1]
    live, final = conversation.run(Stitchers(replace(CONFIG, cluster_distance=0.2, join_cosine=0.9)))
    at = next(labels for labels in live if labels.end_frame >= frames(63.5))
    told = {at.speakers[int(at.active[frames(s) - at.first_frame].argmax())] for s in (58.0, 62.0)}
    assert len(told) == speakers
    assert {*final.speakers} - {None} == {1}


@settings(max_examples=50, deadline=None)
@given(st.floats(0.5, 8), st.floats(0.5, 3600), st.floats(-0.2, 1.0))
@example(0.6, 3600.0, 0.264)  # .55 without the noise: somebody new in a short stream, not in an hour
def test_a_voice_is_new_by_its_cosine_freed_of_the_noise_of_both(new_s: float, known_s: float, cosine: float):
    speakers = Speakers(CONFIG)
    known, other = np.eye(2, DIMENSION, dtype=np.float32)
    assert speakers.is_new(known, new_s)
    speakers.open(known, known_s, [], 0)
    heavier = np.log(max(1.0, new_s / (CONFIG.cluster_light_share * known_s)))
    bar = min(CONFIG.join_cosine, CONFIG.stranger_cosine + CONFIG.stranger_heavy_cosine * heavier)
    limit = bar * np.prod([np.sqrt(w / (w + CONFIG.join_noise_s)) for w in (new_s, known_s)])
    assume(abs(cosine - limit) > 1e-3)
    vector = (cosine * known + np.sqrt(1 - cosine**2) * other).astype(np.float32)
    assert speakers.is_new(vector, new_s) == (cosine < limit)


@pytest.mark.slow
def test_a_speaker_who_returns_after_minutes_has_the_same_id():
    between = [(1 + n % 2, 12.0 + 4 * n, 15.5 + 4 * n) for n in range(32)]
    truth = turns((0, 1, 10), *between, (0, 145, 150), length_s=152)
    live, _ = Conversation(truth).run(Stitchers())

    def who(at_s: float) -> int | None:
        labels = next(labels for labels in live if labels.end_frame >= frames(at_s + 2))
        return labels.speakers[int(labels.active[frames(at_s) - labels.first_frame].argmax())]

    assert who(5) == who(148)
    assert who(5) != who(13)


def test_a_run_of_another_speaker_in_one_local_channel_is_moved():
    truth = turns((0, 1, 6), (1, 6.5, 10), (0, 10.5, 14), (1, 14.5, 18), length_s=20)

    class OneChannel(Conversation):
        def windows(self):
            for first, active in super().windows():
                merged = np.zeros_like(active)
                late = first + WINDOW_FRAMES > frames(15.5)
                merged[:, 0] = active.any(axis=1) if late else active[:, 0]
                merged[:, 1] = False if late else active[:, 1]
                yield first, merged

    _, final = OneChannel(truth, shuffle=False).run(Stitchers(replace(CONFIG, override_margin=0.1)))
    assert agreement(truth, final) > 0.9


def test_overlap_keeps_both_speakers():
    truth = turns((0, 1, 8), (1, 7, 14), (0, 13, 18), length_s=20)
    _, final = Conversation(truth).run(Stitchers())
    assert (final.active[frames(7.2) : frames(7.8)].sum(axis=1) == 2).all()


def test_two_speakers_who_prove_one_are_told_as_changes():
    truth = turns((0, 1, 5), (1, 12, 17), *[(0, 40.0 + 4 * n, 43.0 + 4 * n) for n in range(5)], length_s=65)

    class TwoThenOne(Conversation):
        """Voice 1 is far from voice 0 at first; later speech lies between and joins the two clusters."""

        def embed(self, crop: np.ndarray) -> np.ndarray:
            if crop[0] < frames(38):
                return super().embed(crop)
            middle = self.voices[0] + self.voices[1]
            return (middle / np.linalg.norm(middle)).astype(np.float32)

    live, _ = TwoThenOne(truth).run(Stitchers())
    changes = [change for labels in live for change in labels.changes]
    assert changes
    assert {change.reason for change in changes} <= {"merged", "split", "reassigned"}
    assert all(change.end_frame <= labels.first_frame for labels in live for change in labels.changes)


@pytest.mark.slow
def test_a_small_segment_store_still_knows_everybody():
    truth = random_turns(11, 3, length_s=240)
    config = replace(CONFIG, segments_most=40)
    stitchers, held = Stitchers(config), []
    conversation = Conversation(truth, 11)
    stores = stitchers.live.store, stitchers.record.store
    for window in conversation.windows():
        stitchers.assign(conversation.embed_all(stitchers.observe(*window)))
        held.append([len(store.segments) for store in stores])
    assert np.max(held) < 60
    assert (np.max(held[-100:], axis=0) > 20).all()
    assert agreement(truth, stitchers.finish(conversation.embed_all)) > 0.97
    condensed = [segment for segment in stores[1].segments if segment.parts > 1]
    together, apart = stores[1].pair_votes.among(condensed)
    assert (together.diagonal() > 10 * apart.diagonal()).all()


@pytest.mark.slow
def test_two_who_sound_alike_are_two_where_windows_tell_them_apart():
    truth = random_turns(2, 2, length_s=120)
    conversation = Conversation(truth, 2)
    conversation.voices[1] = 0.75 * conversation.voices[0] + np.sqrt(1 - 0.75**2) * conversation.voices[1]
    stitchers = Stitchers()
    _, final = conversation.run(stitchers)
    assert agreement(truth, final) > 0.97
    stitchers.record.store.pair_votes = PairVotes()  # as if no window had told anything
    assert agreement(truth, stitchers.finish(conversation.embed_all)) < 0.8


@pytest.mark.parametrize("force", [False, True])
def test_somebody_with_too_little_to_be_known_is_unknown_unless_a_guess_is_asked_for(force: bool):
    truth = turns((0, 1, 6), (1, 7, 12), (2, 13, 13.2), length_s=15)
    live, _ = Conversation(truth).run(Stitchers(replace(CONFIG, force_speaker=force)))
    at = next(labels for labels in live if labels.end_frame >= frames(14))
    who = [at.speakers[n] for n in np.flatnonzero(at.active[frames(13.1) - at.first_frame])]
    assert (who == [None]) != force
    assert len(who) == 1


def test_silence_has_no_speakers():
    live, final = Conversation(np.zeros((frames(20), 2), bool)).run(Stitchers())
    assert not any(labels.active.any() for labels in live)
    assert not final.active.any()


def test_a_stream_without_windows_has_an_empty_final():
    assert RecordStitcher().finish(np.stack).active.size == 0


def test_votes_of_windows_are_weighed_by_the_distance_to_the_edge():
    trust = edge_trust(WINDOW_FRAMES, CONFIG)
    votes = Aggregator(CONFIG, 0)
    everywhere = np.ones(WINDOW_FRAMES, bool)
    votes.add(0, trust, [(1, everywhere)])
    votes.add(60, trust, [(2, everywhere)])
    labels = votes.labels()
    assert labels.speakers == (1, 2)
    assert labels.active[WINDOW_FRAMES - 5].tolist() == [False, True]
    assert labels.active[65].tolist() == [True, False]
    votes.forget(WINDOW_FRAMES + 10)
    assert votes.labels().speakers == (2,)


def test_profiles_are_the_voices_of_the_speakers_and_count_speech_once():
    truth = random_turns(13, 3, length_s=40)
    conversation, stitchers = Conversation(truth, 13), Stitchers()
    assert stitchers.profiles() == {}
    _, final = conversation.run(stitchers)
    profiles = stitchers.profiles()
    assert set(profiles) == set(final.speakers) - {None}
    solo = truth & (truth.sum(axis=1) == 1)[:, None]
    for speaker, profile in profiles.items():
        cosines = conversation.voices @ profile.vector
        true = int(cosines.argmax())
        assert cosines[true] > 0.9
        assert abs(float(np.linalg.norm(profile.vector)) - 1) < 1e-5
        said_s = solo[:, true].sum() * FRAME_S
        assert 0.8 * said_s < profile.clean_s < 1.1 * said_s, speaker


def told_changes(live: LiveStitcher, segment: Segment, speaker: int, at_s: float, now: list[int]) -> list[Change]:
    segment.speaker, live.speakers.ids = speaker, now
    return list(live._changes({1, 2}, frames(at_s)))


def test_a_turn_is_taken_from_somebody_once_clusterings_have_agreed_for_a_while():
    live, segment = LiveStitcher(), Segment(0, 100, NOTHING, reported={1: [(0, 100)]})
    live.store.segments, live._heard = [segment], {1, 2}
    live._keep(Window(frames(50.0), np.zeros(0, np.uint8), []))
    both, after_s = [1, 2], CONFIG.change_after_s
    assert not told_changes(live, segment, 2, 60.0, both)
    assert not told_changes(live, segment, 1, 60.0 + after_s / 2, both), "they went back"
    assert not told_changes(live, segment, 2, 61.0 + after_s / 2, both)
    assert not told_changes(live, segment, 2, 61.0 + after_s, both)
    assert told_changes(live, segment, 2, 61.1 + 1.5 * after_s, both) == [Change(0, 100, 1, 2, "reassigned")]
    assert told_changes(live, segment, 1, 62.0 + 1.5 * after_s, [1]) == [Change(0, 100, 2, 1, "merged")], "at once"
