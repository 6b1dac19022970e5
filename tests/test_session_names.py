"""Names in a session with the real models: the same for any chunking, given by the user or by the voice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings

from tests.test_diarizer import SIZES, Remembering, cut
from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer
from turnstream.errors import EnrollmentError, PeopleError, TurnstreamError
from turnstream.events import Event, Final, Speaker, Turn
from turnstream.people.naming import Known, Naming
from turnstream.people.person import Person
from turnstream.rttm import parse_rttm
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.profile import Profile
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording

pytestmark = [pytest.mark.slow, pytest.mark.alone]

EXAMPLES = settings(max_examples=8, deadline=None)


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


@pytest.fixture(scope="module")
def models(diarizer: Diarizer) -> Remembering:
    return Remembering(diarizer.models)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """16 s of the demo recording with both speakers: (N,) int16 at 16 kHz."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16")
    return samples[80_000:336_000]


def open_session(models: Remembering, known: list[Known]) -> Session:
    return Session(models, AudioInput(), StitcherConfig(), Timeline(1.0), Naming(known))


def run(session: Session, chunks: list[np.ndarray]) -> tuple[list[Event], Final]:
    """The events before the end, and the final result."""
    events = [event for chunk in chunks for event in session.feed(chunk)]
    return [*events, *session.flush()], session.close()


def named(turns: tuple[Turn, ...], names: dict[str | None, str]) -> tuple[Turn, ...]:
    """The same turns with these names, and with no others."""
    return tuple(replace(turn, name=names.get(turn.speaker)) for turn in turns)


def names_of(final: Final) -> list[tuple[str | None, str, float | None]]:
    """Speaker, name and confidence of those who have a name."""
    return [(talk.speaker, talk.name, talk.confidence) for talk in final.speakers if talk.name is not None]


@pytest.fixture(scope="module")
def known(models: Remembering, speech: np.ndarray) -> list[Known]:
    """Both speakers, as they are known at the end of the same recording."""
    session = open_session(models, [])
    run(session, [speech])
    return [Known(name, session.profile(speaker)) for speaker, name in (("S1", "Anna"), ("S2", "Ben B"))]


def test_known_speakers_are_named_in_events_and_in_the_end(
    models: Remembering, speech: np.ndarray, known: list[Known]
) -> None:
    session = open_session(models, known)
    events, final = run(session, [speech])
    assert [(speaker, name) for speaker, name, _ in names_of(final)] == [("S1", "Anna"), ("S2", "Ben B")]
    assert all(confidence is not None for _, _, confidence in names_of(final))
    assert session.names == {"S1": "Anna", "S2": "Ben B"}
    speakers = [event for event in events if isinstance(event, Speaker)]
    assert {event.name for event in speakers} == {None, "Anna", "Ben B"}
    for number, event in enumerate(speakers):
        if event.state == "named":  # never before they appeared
            assert any((e.id, e.state) == (event.id, "appeared") for e in speakers[:number])
    assert final.turns == named(final.turns, {"S1": "Anna", "S2": "Ben B"})
    assert {segment.speaker for segment in parse_rttm(final.to_rttm("x"))["x"]} == {"Anna", "Ben_B"}


@EXAMPLES
@given(sizes=SIZES)
def test_chunks_change_no_name(models: Remembering, speech: np.ndarray, known: list[Known], sizes: list[int]) -> None:
    whole = run(open_session(models, known), [speech])
    assert sum(isinstance(event, Speaker) and event.state == "named" for event in whole[0]) >= 2
    assert run(open_session(models, known), cut(speech, sizes)) == whole


def test_turns_have_the_name_that_their_speaker_has_by_then(
    models: Remembering, speech: np.ndarray, known: list[Known]
) -> None:
    names: dict[str | None, str | None] = {}
    events, _ = run(open_session(models, known), [speech])
    for event in events:
        if isinstance(event, Speaker) and event.state == "named":
            names[event.id] = event.name
        if isinstance(event, Turn):
            assert event.name == names.get(event.speaker)
    assert {event.name for event in events if isinstance(event, Turn)} == {None, "Anna", "Ben B"}


def test_names_change_nothing_else(models: Remembering, speech: np.ndarray, known: list[Known]) -> None:
    with_names, final = run(open_session(models, known), [speech])
    without, plain = run(open_session(models, []), [speech])
    left = [event for event in with_names if not (isinstance(event, Speaker) and event.state == "named")]
    assert [replace(event, name=None) if isinstance(event, Turn) else event for event in left] == without
    talk = tuple(replace(talk, name=None, confidence=None) for talk in final.speakers)
    assert replace(final, turns=named(final.turns, {}), speakers=talk) == plain


def test_a_name_by_the_user_is_one_event_and_reaches_the_final(models: Remembering, speech: np.ndarray) -> None:
    session, plain = open_session(models, []), open_session(models, [])
    half = len(speech) // 2
    before, plain_before = session.feed(speech[:half]), plain.feed(speech[:half])
    (event,) = session.name("S1", "Anna")
    assert isinstance(event, Speaker)
    assert (event.id, event.state, event.name, event.confidence) == ("S1", "named", "Anna", None)
    assert before == plain_before
    after = [*plain.feed(speech[half:]), *plain.flush()]
    turns = [event for event in after if isinstance(event, Turn)]
    assert {turn.speaker for turn in turns} >= {"S1", "S2"}
    expected = [named((event,), {"S1": "Anna"})[0] if isinstance(event, Turn) else event for event in after]
    assert [*session.feed(speech[half:]), *session.flush()] == expected
    final, unnamed = session.close(), plain.close()
    assert (final.turns, names_of(final)) == (named(unnamed.turns, {"S1": "Anna"}), [("S1", "Anna", None)])
    assert (unnamed.turns, names_of(unnamed)) == (named(unnamed.turns, {}), [])
    assert [e.name for e in session.name("s2", "anna", take=True) if isinstance(e, Speaker)] == [None, "anna"]
    again = session.close()
    assert (again.turns, names_of(again)) == (named(unnamed.turns, {"S2": "anna"}), [("S2", "anna", None)])
    assert session.close() == again


def test_speakers_who_are_not_there_and_names_that_cannot_be(models: Remembering, speech: np.ndarray) -> None:
    session = open_session(models, [])
    with pytest.raises(TurnstreamError, match="expected a stream that has speakers, got S1"):
        session.name("S1", "Anna")
    session.feed(speech)
    for ask in (lambda: session.name("S9", "Anna"), lambda: session.profile("S9")):
        with pytest.raises(TurnstreamError, match=r"expected one of S1, S2(, S3)?, got S9"):
            ask()
    with pytest.raises(TurnstreamError, match="expected a name that turnstream does not use"):
        session.name("S1", "S2")
    with pytest.raises(TurnstreamError, match=r"expected one of S1, S2(, S3)?, got Anna"):
        session.name("Anna", "Ben")
    assert session.names == {}
    np.testing.assert_array_equal(session.profile("s1").vector, session.voices["S1"].vector)


def test_enrolling_needs_one_person(diarizer: Diarizer, speech: np.ndarray, known: list[Known]) -> None:
    with pytest.raises(EnrollmentError, match=r"expected one person, got 2"):
        diarizer.enroll(speech)
    with pytest.raises(EnrollmentError, match=r"expected at least 3 s .* got 0\.0 s"):
        diarizer.enroll(np.zeros(80_000, np.int16))
    alone = diarizer.enroll(speech[round(9.5 * 16_000) : round(12.9 * 16_000)])
    other, same = sorted(float(alone.vector @ person.profile.vector) for person in known)
    assert same > 0.8
    assert other < 0.6


def test_a_person_of_another_model_is_refused(diarizer: Diarizer, known: list[Known]) -> None:
    own = Person("Anna", diarizer.voice_model, (known[0].profile,), ("",))
    assert diarizer.session(known=[own]).names == {}
    with pytest.raises(PeopleError, match="Anna was enrolled with another embedding model"):
        diarizer.session(known=[Person("Anna", "b" * 64, (Profile(known[0].profile.vector, 5.0),), ("",))])
