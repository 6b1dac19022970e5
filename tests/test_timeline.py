"""The timeline: what a listener holds equals the engine's state, and what was committed stays."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.errors import TurnstreamError
from turnstream.labels import Change, Labels, runs_of, smooth_runs
from turnstream.timeline.records import FinalRecord, Record, RevisionRecord, SpeakerRecord, TurnRecord
from turnstream.timeline.timeline import Timeline

HOP, REACH = 30, 200


class Listener:
    """The whole of a client: one table of turns, changed by nothing but records."""

    def __init__(self) -> None:
        self.turns: dict[int, TurnRecord] = {}
        self.speakers: list[int] = []
        self.merged: set[int] = set()
        self.ids_ever: set[int] = set()
        self.retracted: set[int] = set()

    def hear(self, record: Record | FinalRecord) -> None:
        match record:
            case TurnRecord(state="retracted"):
                assert record.id in self.turns
                assert record.committed_frame == record.start_frame
                del self.turns[record.id]
                self.retracted.add(record.id)
            case TurnRecord():
                assert record.id not in self.retracted
                assert record.id in self.turns or record.id not in self.ids_ever
                assert record.speaker is None or record.speaker in self.speakers
                assert record.speaker not in self.merged
                self.ids_ever.add(record.id)
                self.turns[record.id] = record
            case RevisionRecord():
                assert record.new not in self.merged
                for turn_id in record.turns:
                    assert self.turns[turn_id].speaker == record.old
                    assert self.turns[turn_id].committed_frame > self.turns[turn_id].start_frame
                    self.turns[turn_id] = replace(self.turns[turn_id], speaker=record.new)
            case SpeakerRecord(state="merged"):
                assert record.into in self.speakers
                assert record.id not in {turn.speaker for turn in self.turns.values()}
                self.merged.add(record.id)
            case SpeakerRecord():
                assert record.id == len(self.speakers) + 1 or record.id in self.merged
                self.merged.discard(record.id)
                self.speakers += [record.id] if record.id > len(self.speakers) else []
            case FinalRecord():
                self.turns = {turn.id: turn for turn in record.turns}

    def committed(self) -> dict[int, tuple[int, int, int | None]]:
        return {
            turn.id: (turn.start_frame, turn.committed_frame, turn.speaker)
            for turn in self.turns.values()
            if turn.committed_frame > turn.start_frame
        }


@st.composite
def label_streams(draw: st.DrawFn) -> list[tuple[Labels, int]]:
    """Labels of a random conversation, re-decided at random each hop, with random old changes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    hops, speakers = draw(st.integers(1, 25)), draw(st.integers(1, 4))
    flip = draw(st.sampled_from([0.0, 0.02, 0.3]))
    frames = hops * HOP
    truth = np.repeat(rng.random((frames // 10 + 1, speakers)) < 0.4, 10, axis=0)[:frames]
    names: list[int | None] = [*rng.permutation(speakers).tolist()]
    if draw(st.booleans()):
        names[0] = None
    stream = []
    for hop in range(1, hops + 1):
        first, horizon = max(0, hop * HOP - REACH), hop * HOP
        active = truth[first:horizon] ^ (rng.random((horizon - first, speakers)) < flip)
        if rng.random() < 0.2:
            active = active[:, rng.permutation(speakers)]
        changes = tuple(
            Change(*sorted(rng.integers(0, horizon, 2).tolist()), names[rng.integers(speakers)], new, "merged")
            for new in rng.choice(np.array([*names, 90], object), rng.integers(0, 3)).tolist()
        )
        stream.append((Labels(first, active, tuple(names), changes), horizon))
    return stream


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(label_streams(), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 1.0]))
def test_listener_always_holds_the_engines_state(stream: list[tuple[Labels, int]], latency_s: float, interval_s: float):
    timeline, listener = Timeline(latency_s, revision_interval_s=interval_s), Listener()
    for labels, horizon in stream:
        for record in timeline.update(labels, horizon):
            listener.hear(record)
        assert tuple(listener.turns[i] for i in sorted(listener.turns)) == timeline.turns
        assert tuple(listener.speakers) == timeline.speakers
        assert timeline.committed_frame == max(0, horizon - timeline.latency_frames)
    listener.hear(timeline.finish(stream[-1][0]))
    assert tuple(listener.turns[i] for i in sorted(listener.turns)) == timeline.turns


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(label_streams(), st.sampled_from([0.0, 0.5, 3.0]))
def test_revisions_reach_no_further_than_allowed(stream: list[tuple[Labels, int]], reach_s: float):
    timeline = Timeline(0.5, revision_interval_s=0.0, revision_reach_s=reach_s)
    for labels, horizon in stream:
        before = {turn.id: turn for turn in timeline.turns}
        for record in timeline.update(labels, horizon):
            if isinstance(record, RevisionRecord):
                assert all(before[i].end_frame >= horizon - reach_s * 16000 / 270 - 1 for i in record.turns)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(label_streams(), st.sampled_from([0.5, 1.0, 2.0]))
def test_committed_parts_change_only_by_a_revision(stream: list[tuple[Labels, int]], latency_s: float):
    timeline, listener = Timeline(latency_s), Listener()
    committed_frame, last_batch = 0, None
    for labels, horizon in stream:
        for record in timeline.update(labels, horizon):
            before = listener.committed()
            listener.hear(record)
            after = listener.committed()
            for turn_id, (start, end, speaker) in before.items():
                now = after[turn_id]
                assert now[0] == start
                assert now[1] >= end
                assert now[2] == speaker or isinstance(record, RevisionRecord)
            for turn_id in after.keys() - before.keys():
                assert after[turn_id][0] >= committed_frame  # nothing new is put into the committed past
            if isinstance(record, RevisionRecord):
                assert last_batch is None or horizon == last_batch or horizon - last_batch >= 16000 / 270
                last_batch = horizon
        committed_frame = timeline.committed_frame


@settings(max_examples=50, deadline=None)
@given(label_streams())
def test_one_speakers_turns_do_not_overlap_unless_revised(stream: list[tuple[Labels, int]]):
    timeline = Timeline(0.5)
    revised = False
    for labels, horizon in stream:
        revised |= any(isinstance(record, RevisionRecord) for record in timeline.update(labels, horizon))
        spans = sorted((turn.speaker or 0, turn.start_frame, turn.end_frame) for turn in timeline.turns)
        for a, b in itertools.pairwise(spans):
            assert revised or a[0] != b[0] or a[2] <= b[1]


@settings(max_examples=50, deadline=None)
@given(label_streams())
def test_same_labels_give_identical_records(stream: list[tuple[Labels, int]]):
    def run() -> list[str]:
        timeline = Timeline(1.0)
        lines = [repr(record) for labels, horizon in stream for record in timeline.update(labels, horizon)]
        return [*lines, repr(timeline.finish(stream[-1][0])), timeline.live_rttm("a")]

    assert run() == run()


def labels_of(*columns: list[tuple[int, int]], frames: int, first: int = 0, names=None, changes=()) -> Labels:
    active = np.zeros((frames, len(columns)), bool)
    for n, spans in enumerate(columns):
        for start, end in spans:
            active[max(0, start - first) : max(0, end - first), n] = True
    return Labels(first, active, names or tuple(range(10, 10 + len(columns))), tuple(changes))


def test_a_turn_grows_and_is_committed_up_to_the_latency():
    timeline = Timeline(0.5)
    records = [e for n in range(1, 8) for e in timeline.update(labels_of([(20, 140)], frames=30 * n), 30 * n)]
    assert records[0] == SpeakerRecord(1, 30)
    turns = [record for record in records if isinstance(record, TurnRecord)]
    assert {turn.id for turn in turns} == {1}
    assert [turn.end_frame for turn in turns] == [30, 60, 90, 120, 140, 140]
    assert [turn.committed_frame for turn in turns] == [20, 30, 60, 90, 120, 140]
    assert turns[-1].state == "committed"


def test_a_provisional_turn_changes_its_speaker_under_the_same_id():
    timeline = Timeline(1.0)
    timeline.update(labels_of([(20, 60)], frames=60), 60)
    records = timeline.update(labels_of([], [(22, 70)], frames=70), 70)
    assert records == [SpeakerRecord(2, 70), TurnRecord(1, 2, 22, 70, 22, "provisional")]


def test_a_provisional_turn_that_vanishes_is_retracted():
    timeline = Timeline(1.0)
    timeline.update(labels_of([(20, 60)], frames=60), 60)
    assert timeline.update(labels_of([], frames=70), 70) == [TurnRecord(1, 1, 20, 60, 20, "retracted")]
    assert timeline.turns == ()


def test_a_clear_majority_revises_a_committed_turn():
    timeline = Timeline(0.5)
    timeline.update(labels_of([(0, 60)], [(100, 130)], frames=200), 200)
    records = timeline.update(labels_of([(40, 60)], [(0, 40), (100, 130)], frames=230), 230)
    assert RevisionRecord((1,), 1, 2, "reassigned", 230) in records
    assert [turn.speaker for turn in timeline.turns] == [2, 2]
    assert "SPEAKER x 1 0.000 1.035 <NA> <NA> S1" in timeline.live_rttm("x")


@pytest.mark.parametrize("rest", [[(30, 60)], []])
def test_less_than_a_clear_majority_does_not(rest: list[tuple[int, int]]):
    timeline = Timeline(0.5)
    timeline.update(labels_of([(0, 60)], [(100, 130)], frames=200), 200)
    timeline.update(labels_of(rest, [(0, 30), (100, 130)], frames=230), 230)
    assert [turn.speaker for turn in timeline.turns] == [1, 2]


def test_a_speaker_who_starts_again_after_a_pause_has_a_new_turn():
    timeline = Timeline(0.5)
    timeline.update(labels_of([(0, 100)], frames=100), 100)
    records = timeline.update(labels_of([(0, 70), (90, 110)], frames=110), 110)
    assert [(e.id, e.start_frame, e.end_frame) for e in records if isinstance(e, TurnRecord)] == [
        (1, 0, 70),
        (2, 90, 110),
    ]


def test_a_turn_can_get_a_name_but_not_lose_it():
    timeline = Timeline(0.5)
    timeline.update(labels_of([(0, 60)], frames=200, names=(None,)), 200)
    records = timeline.update(labels_of([(0, 60)], frames=230), 230)
    assert records == [SpeakerRecord(1, 230), RevisionRecord((1,), None, 1, "named", 230)]
    assert timeline.update(labels_of([(0, 60)], frames=330, names=(None,)), 330) == []


def test_an_old_change_revises_turns_out_of_reach():
    timeline = Timeline(0.5)
    timeline.update(labels_of([(0, 60)], [(100, 130)], frames=200), 200)
    timeline.update(labels_of([], [], frames=800), 800)
    change = Change(0, 60, 10, 11, "merged")
    records = timeline.update(labels_of([], [], first=700, frames=200, changes=[change]), 900)
    assert records[0] == RevisionRecord((1,), 1, 2, "merged", 900)


def test_a_speaker_left_without_turns_is_told_as_merged_and_may_come_back():
    timeline = Timeline(0.5)
    timeline.update(labels_of([(0, 60)], [(100, 130), (300, 340)], frames=400), 400)
    timeline.update(labels_of([], [], frames=800), 800)
    change = Change(0, 60, 10, 11, "merged")
    records = timeline.update(labels_of([], [], first=700, frames=200, changes=[change]), 900)
    assert records == [RevisionRecord((1,), 1, 2, "merged", 900), SpeakerRecord(1, 900, "merged", into=2)]
    back = Change(300, 340, 11, 10, "split")
    records = timeline.update(labels_of([], [], first=800, frames=200, changes=[back]), 1000)
    assert records == [SpeakerRecord(1, 1000), RevisionRecord((3,), 2, 1, "split", 1000)]


def test_revisions_wait_for_their_interval():
    timeline = Timeline(0.5, revision_interval_s=2.0)
    first, second = [(0, 60)], [(100, 150)]
    timeline.update(labels_of([*first, *second], [(155, 160)], frames=230), 230)
    batches = [
        timeline.update(labels_of(second, [*first], frames=240, names=(10, 12)), 240),
        timeline.update(labels_of([], [*first, *second], frames=270, names=(10, 12)), 270),
        timeline.update(labels_of([], [*first, *second], frames=360, names=(10, 12)), 360),
    ]
    assert [[e.turns for e in batch if isinstance(e, RevisionRecord)] for batch in batches] == [[(1,)], [], [(2,)]]


def test_final_keeps_live_numbers_and_ids():
    timeline = Timeline(0.5)
    live = labels_of([(0, 60), (300, 400)], [(100, 250)], frames=450)
    timeline.update(live, 450)
    final = timeline.finish(replace(live, active=live.active[:, ::-1], speakers=(7, 8)), end_frame=380)
    assert [(t.id, t.speaker, t.start_frame, t.end_frame) for t in final.turns] == [
        (1, 1, 0, 60),
        (2, 2, 100, 250),
        (3, 1, 300, 380),
    ]
    assert final.talk_frames == ((1, 140), (2, 150))
    assert timeline.rttm("x").count("SPEAKER x 1 ") == 3


def test_who_has_no_final_turn_has_a_successor():
    timeline = Timeline(0.5)
    timeline.update(labels_of([(0, 60)], [(100, 250)], [(300, 330)], frames=450), 450)
    timeline.finish(labels_of([(0, 60)], [(100, 250), (300, 330)], frames=450))
    assert timeline.successors == {3: 2}


def test_short_gaps_are_closed_and_short_turns_left_out():
    assert smooth_runs(runs_of(np.array([1, 0, 1, 0, 0, 0, 1], bool)), 2, 2) == [(0, 3)]
    assert runs_of(np.zeros(3, bool)) == []


def test_a_reach_below_nothing_is_refused():
    with pytest.raises(TurnstreamError, match="revision reach must be 0 s or more, got -1"):
        Timeline(revision_reach_s=-1)


@pytest.mark.parametrize("latency_s", [0.4, 5.1, float("nan")])
def test_latency_out_of_range(latency_s: float):
    with pytest.raises(TurnstreamError, match=r"latency must be 0\.5 to 5\.0 s, got"):
        Timeline(latency_s)


def test_labels_that_do_not_reach_are_refused():
    with pytest.raises(ValueError, match="expected labels of frames 0 to 60, got 30 to 60"):
        Timeline().update(labels_of([], first=30, frames=30), 60)
