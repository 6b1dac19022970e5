"""Corrections by the user: they bind the engine, reach listeners and the final result, and can be taken back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from corrections_kit import HALF_S, TALK, WHOLE_S, Heard, Spans, alike, halfway, hummed, plain, share
from hypothesis import given, settings
from hypothesis import strategies as st
from silent_diarizer import SilentModels
from tone_speakers import SIZE, conversation

from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer
from turnstream.errors import CorrectionError
from turnstream.events import Event, Final, Revision, Speaker, Turn
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ

EXAMPLES = settings(max_examples=4, deadline=None)


@pytest.fixture(scope="module")
def untouched() -> Final:
    heard = Heard(TALK)
    heard.hear(0, WHOLE_S)
    return heard.end()


def test_merged_speakers_stay_one_and_are_told_like_any_merge(untouched: Final) -> None:
    heard = halfway()
    before = {id_ for id_, turn in heard.table.items() if turn.speaker == "S3"}
    events = heard.take(heard.session.merge("S3", "S1"))
    (revision,) = [event for event in events if isinstance(event, Revision)]
    assert (set(revision.turns), revision.old, revision.new, revision.reason) == (before, "S3", "S1", "corrected")
    assert [(e.id, e.into) for e in events if isinstance(e, Speaker) and e.state == "merged"] == [("S3", "S1")]
    heard.gone.add("S3")
    heard.hear(HALF_S, WHOLE_S)
    final = heard.end()
    assert {turn.speaker for turn in heard.table.values()} == {"S1", "S2"}
    assert [talk.speaker for talk in final.speakers] == ["S1", "S2"]
    for turn in untouched.turns:
        wanted = "S1" if turn.speaker == "S3" else turn.speaker
        assert wanted
        assert share(final, turn, wanted) > 0.6
    assert set(heard.session.voices) == {"S1", "S2"}


def test_a_moved_turn_is_theirs_for_good_and_others_stay(untouched: Final) -> None:
    heard = halfway()
    turn = heard.longest("S1")
    (event,) = heard.take(heard.session.assign(turn.id, "S2"))
    assert isinstance(event, Revision)
    assert (event.turns, event.old, event.new, event.reason) == ((turn.id,), "S1", "S2", "corrected")
    heard.hear(HALF_S, WHOLE_S)
    final = heard.end()
    assert heard.table[turn.id].speaker == "S2"
    assert share(final, turn, "S1") == 0
    assert any(t.speaker == "S2" and t.start_s < turn.end_s and turn.start_s < t.end_s for t in final.turns)
    elsewhere = [t for t in untouched.turns if t.end_s <= turn.start_s or turn.end_s <= t.start_s]
    assert all(t.speaker and share(final, t, t.speaker) > 0.6 for t in elsewhere)


class TwoInOne(SilentModels):
    """Tones 0 and 1 sound so much alike that a clustering takes them for one voice."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(2)
        self._centres[1] = 0.85 * self._centres[0] + 0.5 * rng.standard_normal(SIZE) / np.sqrt(SIZE)
        self._noise = 0.2


PAIR: Spans = [(0.5 + 4 * n, 3.7 + 4 * n, (0, 1, 2, 1, 0)[n % 5]) for n in range(15)]


def test_other_speech_of_a_voice_that_was_split_off_follows() -> None:
    audio = hummed(PAIR)
    heard = Heard(audio, TwoInOne())
    heard.hear(0, 26)
    assert heard.speakers == {"S1", "S2"}
    (turn,) = [t for t in heard.table.values() if abs(t.start_s - 12.5) < 1]  # of tone 1
    events = heard.take(heard.session.assign(turn.id, "new"))
    assert [(e.id, e.state) for e in events if isinstance(e, Speaker)] == [("S3", "appeared")]
    heard.hear(26, len(audio) / SAMPLE_RATE_HZ)
    final = heard.end()
    said = {tone: set[str | None]() for tone in range(3)}
    for start_s, end_s, tone in PAIR:
        for t in [*final.turns, *(t for t in heard.table.values() if t.start_s > 34)]:
            if t.start_s < end_s - 0.5 and start_s + 0.5 < t.end_s:
                said[tone].add(t.speaker)
    assert said == {0: {"S1"}, 1: {"S3"}, 2: {"S2"}}


@pytest.mark.parametrize(
    ("correct", "later_s"),
    [
        (lambda heard: heard.session.merge("S3", "S1"), 9.0),
        (lambda heard: heard.session.assign(heard.longest("S1").id, "S2"), 0.0),
        (lambda heard: heard.session.assign(heard.longest("S1").id, "new"), 0.0),
        (lambda heard: heard.session.assign(heard.longest("S1").id, "new"), 9.0),
    ],
)
def test_what_is_taken_back_never_was(
    correct: Callable[[Heard], list[Event]], later_s: float, untouched: Final
) -> None:
    heard = halfway()
    before = {id_: turn.speaker for id_, turn in heard.table.items()}
    heard.session.name("S3", "Carl")
    assert heard.take(correct(heard))
    heard.hear(HALF_S, HALF_S + later_s)
    heard.take(heard.session.undo())
    if not later_s:
        assert {id_: turn.speaker for id_, turn in heard.table.items()} == before
    assert heard.session.names == {"S3": "Carl"}
    with pytest.raises(CorrectionError, match="expected a correction to undo, got none"):
        heard.session.undo()
    heard.session.name("S3", None)
    heard.hear(HALF_S + later_s, WHOLE_S)
    final = heard.end()
    assert final.turns == untouched.turns if not later_s else alike(final, untouched)


def test_the_final_result_can_be_corrected_as_well(untouched: Final) -> None:
    heard = Heard(TALK)
    heard.hear(0, HALF_S)
    live = heard.longest("S2")
    heard.take(heard.session.assign(live.id, "S1"))
    heard.hear(HALF_S, WHOLE_S)
    final = heard.end()
    assert share(final, live, "S2") == 0
    turn = next(turn for turn in final.turns if turn.speaker == "S3")
    heard.session.name("S3", "Carl")
    events = heard.session.assign(turn.id, "new")
    assert [(e.turns, e.old, e.new) for e in events if isinstance(e, Revision)] == [((turn.id,), "S3", "S4")]
    assert heard.session.close().speakers[3].speaker == "S4"
    events = heard.session.merge("S3", "S1")
    assert [(e.id, e.into) for e in events if isinstance(e, Speaker) and e.state == "merged"] == [("S3", "S1")]
    corrected = heard.session.close()
    assert [(talk.speaker, talk.name) for talk in corrected.speakers] == [("S1", "Carl"), ("S2", None), ("S4", None)]
    assert all(t.name == ("Carl" if t.speaker == "S1" else None) for t in corrected.turns)
    total = sum(talk.talk_s for talk in final.speakers)
    assert sum(talk.talk_s for talk in corrected.speakers) == pytest.approx(total, rel=0.2)
    heard.session.undo()
    heard.session.undo()
    named = {"S3": "Carl"}
    assert heard.session.close().turns == tuple(replace(t, name=named.get(t.speaker or "")) for t in final.turns)
    heard.session.undo()  # of what was corrected before the end
    heard.session.name("S3", None)
    assert plain(heard.session.close()) == plain(untouched)


def test_who_is_counted_twice_leaves_room_for_another() -> None:
    """Where at most two people talk, and the engine takes one of them for both."""
    audio = hummed([(0.5 + 4 * n, 3.7 + 4 * n, (0, 1, 0, 1, 0, 2, 2, 1, 0, 2)[n]) for n in range(10)])
    heard = Heard(audio, config=StitcherConfig(max_speakers=2))
    heard.hear(0, 19)
    assert heard.speakers == {"S1", "S2"}
    heard.take(heard.session.merge("S2", "S1"))
    heard.gone.add("S2")
    heard.hear(19, len(audio) / SAMPLE_RATE_HZ)
    assert heard.speakers == {"S1", "S3"}
    assert {talk.speaker for talk in heard.end().speakers} == {"S1", "S3"}


@pytest.mark.slow
def test_with_the_real_models_too() -> None:
    """Of the demo recording's two people one turn is given to somebody new, then both are merged."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="float32")
    with Diarizer() as diarizer:
        heard, plain_session = Heard(samples), diarizer.session()
        heard.session = diarizer.session()
        plain_session.feed(samples)
        untouched = plain_session.close()
        heard.hear(0, 22)
        assert {"S1", "S2"} <= heard.speakers
        turn = heard.longest("S2")
        told = heard.take(heard.session.assign(turn.id, "new"))
        (newcomer,) = [event.id for event in told if isinstance(event, Speaker)]
        heard.take(heard.session.merge("S2", "S1"))
        heard.gone.add("S2")
        heard.hear(22, 30)
        final = heard.end()
        assert share(final, turn, newcomer) > 0.8
        assert {talk.speaker for talk in final.speakers} - {None} == {"S1", newcomer}
        for _ in range(2):
            heard.session.undo()
        assert alike(heard.session.close(), untouched)


@EXAMPLES
@given(data=st.data(), seed=st.integers(0, 5))
def test_the_final_result_honors_every_correction(data: st.DataObject, seed: int) -> None:
    """Any corrections at any time, some of them taken back."""
    audio = hummed(conversation(seed, 10))
    heard, made = Heard(audio), list[tuple[str, Turn | None, str]]()
    length_s = len(audio) / SAMPLE_RATE_HZ
    times = sorted(data.draw(st.lists(st.floats(8, length_s), min_size=1, max_size=6)))
    for start_s, end_s in zip([0.0, *times], [*times, length_s], strict=True):
        heard.hear(start_s, end_s)
        kinds = [k for k, able in (("assign", heard.table), ("merge", len(heard.speakers) > 1), ("undo", made)) if able]
        kind = data.draw(st.sampled_from(kinds)) if kinds and end_s < length_s else None
        there = sorted(heard.speakers)
        if kind == "assign":
            turn = heard.table[data.draw(st.sampled_from(sorted(heard.table)))]
            speaker = data.draw(st.sampled_from([*there, "new"]))
            told = heard.take(heard.session.assign(turn.id, speaker))
            new = [event.id for event in told if isinstance(event, Speaker)]
            made.append(("assign", turn, new[0] if speaker == "new" else speaker))
        elif kind == "merge":
            gone, into = data.draw(st.permutations(there))[:2]
            heard.take(heard.session.merge(gone, into))
            heard.gone.add(gone)
            made.append((gone, None, into))
        elif kind == "undo":
            gone, _, _ = made.pop()
            heard.gone.discard(gone)
            heard.take(heard.session.undo())
        now = {f"T{t.id}": t.speaker for t in heard.session.timeline.corrections.shown(heard.session.timeline.turns)}
        assert {id_: turn.speaker for id_, turn in heard.table.items()} == {
            id_: speaker and f"S{speaker}" for id_, speaker in now.items()
        }
    final = heard.end()
    assert not heard.gone & {talk.speaker for talk in final.speakers}
    for place, (_, turn, speaker) in enumerate(made):
        if turn is None or any(later[1] for later in made[place + 1 :]):
            continue
        for gone, _, into in made[place + 1 :]:
            speaker = into if speaker == gone else speaker
        live = heard.table.get(turn.id, turn)
        others = [t for t in heard.table.values() if t.id != turn.id]
        for t in final.turns:
            inside = min(t.end_s, live.end_s) - max(t.start_s, live.start_s)
            if inside > 0.3 and t.speaker != speaker:  # somebody else who was said to talk as well
                assert any(o.start_s < t.end_s and t.start_s < o.end_s for o in others)


def test_a_session_that_is_over_is_freed_at_once() -> None:
    """Its megabytes are NumPy's, which Python's collector does not count: it would come late."""
    session = Session(SilentModels(), AudioInput(), StitcherConfig(), Timeline(1.0))
    session.feed(np.zeros(SAMPLE_RATE_HZ, np.float32))
    session.close()
    gone = weakref.ref(session)
    gc.disable()
    try:
        del session
        assert gone() is None
    finally:
        gc.enable()
