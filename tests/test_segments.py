"""The stitcher's segments on made-up conversations: what of them is embedded, when, and for whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conversations import CONFIG, DIMENSION, Conversation, random_turns, turns
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stitching.config import frames
from turnstream.stitching.live import LiveStitcher
from turnstream.stitching.record import RecordStitcher
from turnstream.stitching.segments import Segment, find_runs
from turnstream.stitching.stitcher import CROP_REACH_FRAMES
from turnstream.stitching.stitchers import Stitchers, is_kept
from turnstream.windows import WINDOW_FRAMES


def test_crops_are_clean_recent_and_short():
    conversation, stitcher = Conversation(random_turns(5, 3), 5), LiveStitcher()
    for first, active in conversation.windows():
        crops = stitcher.observe(first, active)
        for crop in crops:
            assert crop.dtype == np.int64
            assert (np.diff(crop) > 0).all()
            assert crop[0] >= max(0, first + WINDOW_FRAMES - CROP_REACH_FRAMES)
            assert frames(CONFIG.segment_embed_s) <= len(crop) <= 2 * frames(CONFIG.run_piece_s)
            assert (conversation.truth[crop].sum(axis=1) == 1).all()
            assert (conversation.truth[crop] == conversation.truth[crop[0]]).all()
        stitcher.assign(conversation.embed_all(crops))


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 20), st.sampled_from([40, 300]))
def test_neither_the_live_windows_nor_late_embeddings_have_a_part_in_the_end(lag: int, segments_most: int):
    """With a store so small that it is condensed many times, too."""
    config = replace(CONFIG, segments_most=segments_most)
    conversation = Conversation(random_turns(5, 3, length_s=240), 5)
    stitchers = Stitchers(config)
    _, one = conversation.run(stitchers)
    record, asked = RecordStitcher(config), []
    for window in conversation.windows():
        if is_kept(window[0]):
            asked.append(record.observe(*window))
        if len(asked) > lag:
            record.remember(conversation.embed_all(asked.pop(0)))
    assert len(record.windows) - record.windows.extent[0] <= lag + 8, "windows that nothing waits for are packed"
    for crops in asked:
        record.remember(conversation.embed_all(crops))
    other = record.finish(conversation.embed_all)
    assert one.speakers == other.speakers
    assert (one.active == other.active).all()
    assert one.active.any()
    segments = [
        [(segment.start, segment.end, segment.clean_frames, segment.parts) for segment in kept.store.segments]
        for kept in (record, stitchers.record)
    ]
    assert segments[0] == segments[1]


def test_the_record_embeds_a_segment_once_or_twice():
    conversation, record = Conversation(random_turns(4, 2), 4), RecordStitcher()
    crops: list[np.ndarray] = []

    def embed(asked: list[np.ndarray]) -> np.ndarray:
        crops.extend(asked)
        return conversation.embed_all(asked)

    for window in conversation.windows():
        if is_kept(window[0]):
            record.remember(embed(record.observe(*window)))
    record.finish(embed)
    assert len(crops) > 20
    frames_asked = np.concatenate(crops)
    assert len(np.unique(frames_asked)) > 0.5 * len(frames_asked)


def segment(start: int, end: int, embedded: int, mixed: bool = False, voice: int | None = 0) -> Segment:
    clean = np.arange(start, end)
    vector = None if voice is None else np.eye(DIMENSION, dtype=np.float32)[voice]
    return Segment(start, end, clean, len(clean), True, vector, embedded, mixed=mixed)


@pytest.mark.parametrize(
    ("other", "taken"),
    [
        (segment(3, 103, 100, voice=1), True),
        (segment(3, 103, 50, voice=1), False),
        (segment(40, 140, 100, voice=1), False),
        (segment(120, 220, 100, voice=1), False),
        (segment(0, 100, 100, voice=1, mixed=True), False),
        (segment(0, 100, 100, voice=None), False),
    ],
    ids=["more of it", "no more", "another half", "elsewhere", "mixed", "not embedded"],
)
def test_a_segment_adopts_the_embedding_of_more_of_the_same_stretch(other: Segment, taken: bool):
    own = segment(0, 100, 50)
    assert own.adopt(other) == taken
    assert (own.vector is other.vector, own.embedded_frames) == ((True, 100) if taken else (False, 50))
    assert not segment(0, 100, 50, voice=None).adopt(other), "the first embedding is its own"


def test_what_the_record_has_embedded_serves_the_live_stitcher():
    conversation, stitchers = Conversation(random_turns(4, 2), 4), Stitchers()
    own, kept = set[bytes](), set[bytes]()
    for window in conversation.windows():
        vectors = conversation.embed_all(stitchers.observe(*window))
        own |= {vector.tobytes() for vector in vectors[: stitchers._split]}
        kept |= {vector.tobytes() for vector in vectors[stitchers._split :]}
        stitchers.assign(vectors)
    used = {segment.vector.tobytes() for segment in stitchers.live.store.segments if segment.vector is not None}
    assert used & (kept - own)
    assert used <= kept | own


def test_speech_under_others_is_embedded_when_it_has_ended():
    """Voice 1 is never alone; it is told apart from voice 2, which is free in the same windows."""
    truth = turns((0, 1, 12), (1, 4, 5.5), (2, 14, 17), length_s=26)
    conversation, stitcher = Conversation(truth), LiveStitcher()
    asked = []
    for window in conversation.windows():
        crops = stitcher.observe(*window)
        asked += [crop for crop in crops if conversation.truth[crop][:, 1].any()]
        stitcher.assign(conversation.embed_all(crops))
    assert len(asked) == 1
    assert asked[0][0] >= frames(4) - 1
    assert asked[0][-1] <= frames(5.5)


def test_calls_out_of_turn_are_refused():
    stitcher = LiveStitcher()
    active = np.zeros((WINDOW_FRAMES, 3), bool)
    active[250:350, 0] = True
    assert len(stitcher.observe(0, active)) == 1
    with pytest.raises(ValueError, match="expected embeddings of 1 crops before the next window"):
        stitcher.observe(30, active)
    with pytest.raises(ValueError, match="expected 1 embeddings, got 0"):
        stitcher.assign(np.zeros((0, DIMENSION), np.float32))
    stitcher.assign(np.eye(1, DIMENSION, dtype=np.float32))
    with pytest.raises(ValueError, match="expected a window after frame 0, got 0"):
        stitcher.observe(0, active)


def test_runs_are_bridged_only_where_nobody_else_talks():
    active = np.zeros((100, 2), bool)
    active[0:20, 0] = active[30:50, 0] = active[60:80, 0] = True
    active[52:58, 1] = True
    assert find_runs(active, 1000, CONFIG) == [[(1000, 1050), (1060, 1080)], [(1052, 1058)]]
