"""Links of the user in clusterings, on vectors whose voices are known; and who is who after merges and splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnstream.labels import Labels
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.links import Link, Links, Together
from turnstream.stitching.segments import NOTHING, Segment
from turnstream.timeline.corrections import Assigned, Corrections, Merged
from turnstream.timeline.records import RevisionRecord, SpeakerRecord, TurnRecord

VOICES = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 3)))[0].T
STEP = 100  # frames from one segment to the next


def segments(voices: list[int], noise: float = 0.4) -> list[Segment]:
    """One after another, each of the voice of that number."""
    rng = np.random.default_rng(len(voices))
    made = []
    for n, voice in enumerate(voices):
        vector = VOICES[voice] + noise * rng.normal(size=64) / 8
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        made.append(Segment(n * STEP, n * STEP + 80, NOTHING, clean_frames=80, vector=vector))
    return made


def bound(links: Links, found: list[Segment], clusters: list[int], known: dict[int, int]) -> tuple[list[int], dict]:
    vectors = np.stack([segment.vector for segment in found])
    weights = np.ones(len(found), np.float32)
    means = np.stack([VOICES[voice] for voice in known.values()]).astype(np.float32)
    made, linked = links.bind(found, vectors, weights, np.array(clusters), (list(known), means))
    return made.tolist(), linked


def link(place: int, speaker: int, old: int | None, is_new: bool = False) -> Link:
    return Link(place * STEP, place * STEP + 80, (), speaker, old, is_new)


def test_a_voice_that_was_taken_for_another_becomes_a_cluster_of_its_own() -> None:
    found, links = segments([0, 1, 0, 1, 2, 0, 1]), Links()
    links.add(link(1, speaker=9, old=1, is_new=True), found)
    clusters, linked = bound(links, found, [0, 0, 0, 0, 1, 0, 0], {1: 0, 2: 2})
    assert linked == {9: clusters[1]}
    assert [clusters[n] == clusters[1] for n in range(7)] == [False, True, False, True, False, False, True]
    assert clusters[4] not in (clusters[0], clusters[1])


def test_speakers_whom_a_clustering_joined_are_kept_apart() -> None:
    found, links = segments([0, 1, 0, 1, 1, 1]), Links()
    links.add(link(1, speaker=2, old=1), found)
    clusters, linked = bound(links, found, [0] * 6, {1: 0, 2: 1})
    assert [cluster == linked[2] for cluster in clusters] == [False, True, False, True, True, True]


@given(
    voices=st.lists(st.integers(0, 2), min_size=4, max_size=12),
    wrong=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    links_=st.lists(st.tuples(st.integers(0, 11), st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=4),
)
@example(voices=[0] * 4, wrong=[0] * 12, links_=[(0, 4, 1), (0, 4, 2)])  # somebody new was taken for two others
@example(voices=[0] * 4, wrong=[0] * 12, links_=[(2, 1, 2), (0, 3, 1), (1, 2, 1)])  # one of them without speech so far
def test_whatever_a_clustering_says_links_hold(
    voices: list[int], wrong: list[int], links_: list[tuple[int, int, int]]
) -> None:
    found, links = segments(voices), Links()
    numbers = np.unique(wrong[: len(voices)], return_inverse=True)[1].tolist()
    last: dict[int, int] = {}
    for place, speaker, old in links_:
        if place < len(voices) and speaker != old:
            links.add(link(place, speaker, old), found)
            last[place] = speaker
    if not last:
        return
    clusters, linked = bound(links, found, numbers, {1: 0, 2: 1, 3: 2})
    assert sorted(set(clusters)) == list(range(len(set(clusters))))
    for place, speaker in last.items():
        assert clusters[place] == linked[speaker]
    for one, other in [(a, b) for a in last for b in last]:
        assert (clusters[one] == clusters[other]) == (last[one] == last[other])


def test_a_link_means_most_of_a_segment_and_no_other_speakers() -> None:
    one = Link(100, 300, ((180, 260),), 1, None)
    inside, partly, shared = (Segment(start, end, NOTHING) for start, end in ((100, 170), (20, 150), (180, 260)))
    assert [one.holds(segment) for segment in (inside, partly, shared)] == [True, False, False]
    assert not one.holds(Segment(100, 170, NOTHING, parts=2)), "of several places"


def test_linked_segments_are_kept_when_they_are_condensed() -> None:
    found, links = segments([0, 1, 0]), Links()
    links.add(link(1, 9, 1), found)
    assert links.joined([found[0], found[2]]) == [found[0], found[2], found[1]]
    links.remove(links.links[0], found)
    assert links.joined([found[0]]) == [found[0]]


def test_only_what_splits_off_the_speech_of_before_a_merge_is_the_same_person() -> None:
    links, found = Links(), segments([0] * 6)
    links.merges.append(Together(3 * STEP, {1, 2}))
    for segment, speaker in zip(found, (1, 2, 1, 1, 1, 3), strict=True):
        segment.votes = {speaker: 2.0}
    weights = np.ones(6, np.float32)
    for id_, places in ((7, [0, 1, 5]), (8, [2, 3, 4]), (9, [5])):
        links.descendant(id_, [found[n] for n in places], weights[places])
    assert links.merges[0].ids == {1, 2, 7}


@pytest.mark.parametrize("merges", [0, 2])
def test_who_is_found_twice_is_counted_once(merges: int) -> None:
    config, links = StitcherConfig(min_speakers=2, max_speakers=3), Links()
    links.merges += [Together(0, {1, 2})] * merges
    links.add(link(0, 4, 1, is_new=True), [])
    relaxed = links.relaxed(config)
    assert (relaxed.min_speakers, relaxed.max_speakers) == (2 + merges, 4 + merges)


def turn(id_: int, speaker: int, start: int, end: int) -> TurnRecord:
    return TurnRecord(id_, speaker, start, end, end, "committed")


def merged(*adopted: int) -> Corrections:
    corrections = Corrections()
    corrections.known = {1, 2, 3}
    corrections.made.append(Merged(3, 1, Together(500, {11, 13, *adopted})))
    return corrections


def test_a_speaker_who_splits_off_a_merged_one_is_never_told() -> None:
    corrections = merged(14)
    turns = {5: turn(5, 4, 0, 100), 6: turn(6, 5, 0, 100)}
    records = [
        SpeakerRecord(4, 600),
        SpeakerRecord(5, 600),
        RevisionRecord((5,), 3, 4, "split", 600),
        RevisionRecord((6,), 3, 5, "split", 600),
        turns[5],
    ]
    ids = {1: 11, 3: 13, 4: 14, 5: 15}
    assert corrections.told(records, turns, ids) == [
        SpeakerRecord(5, 600),
        RevisionRecord((6,), 1, 5, "split", 600),
        turn(5, 1, 0, 100),
    ]


def test_at_the_end_too_what_a_merged_speaker_said_before_is_theirs() -> None:
    labels = Labels(0, np.zeros((1000, 2), bool), (1, 2))
    labels.active[0:300, 0] = labels.active[300:700, 1] = True
    turns = [turn(1, 1, 0, 300), turn(2, 3, 300, 480), turn(3, 2, 480, 700)]
    assert merged().home(labels, 1, turns) == 1
    assert merged().home(labels, 2, turns) is None, "less than half of it"
    assert Corrections().home(labels, 1, turns) is None


def test_at_the_end_a_moved_turn_is_theirs_even_if_the_engine_means_a_third_one() -> None:
    labels = Labels(0, np.zeros((1000, 3), bool), (1, 2, 3))
    labels.active[100:310, 0] = True  # ten frames more than the turn
    labels.active[150:180, 1] = True  # who was told to talk as well
    labels.active[600:700, 2] = True
    turns = [turn(1, 1, 100, 300), turn(2, 2, 150, 180), turn(3, 1, 600, 700)]
    corrections = Corrections()
    for id_, start, end in ((1, 100, 300), (3, 600, 700)):
        corrections.made.append(Assigned(id_, 1, 4, Link(start, end, (), 14, 11)))
    final = corrections.final(labels, {1: 1, 2: 2, 3: 3}, turns)
    spans = {
        speaker: np.flatnonzero(final.active[:, n])[[0, -1]].tolist()
        for n, speaker in enumerate(final.speakers)
        if final.active[:, n].any()
    }
    assert spans == {2: [150, 179], 4: [100, 699]}
    assert not final.active[310:600].any()
