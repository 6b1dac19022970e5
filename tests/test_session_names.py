"""Names in a session with the real models: the same for any chunking, given by the user or by the voice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings

from tests.test_diarizer import SIZES, Remembering, cut
from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer, Session
from turnstream.errors import EnrollmentError, PeopleError, TurnstreamError
from turnstream.events import Final, Speaker, to_json
from turnstream.people.naming import Known, Naming
from turnstream.people.person import Person
from turnstream.rttm import parse_rttm
from turnstream.stitching.profile import Profile
from turnstream.stitching.stitcher import Stitcher
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording

pytestmark = pytest.mark.slow

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
    return Session(models, AudioInput(), Stitcher(), Timeline(1.0), Naming(known))


def run(session: Session, chunks: list[np.ndarray]) -> tuple[list[str], Final]:
    lines = [to_json(event) for chunk in chunks for event in session.feed(chunk)]
    lines += [to_json(event) for event in session.flush()]
    return [*lines, to_json(session.close())], session.close()


@pytest.fixture(scope="module")
def known(models: Remembering, speech: np.ndarray) -> list[Known]:
    """Both speakers, as they are known at the end of the same recording."""
    session = open_session(models, [])
    run(session, [speech])
    return [Known(name, session.profile(speaker)) for speaker, name in ((1, "Anna"), (2, "Ben B"))]


def test_known_speakers_are_named_in_events_and_in_the_end(
    models: Remembering, speech: np.ndarray, known: list[Known]
) -> None:
    lines, final = run(open_session(models, known), [speech])
    assert [(speaker, name) for speaker, name, _ in final.names] == [(1, "Anna"), (2, "Ben B")]
    events = [json.loads(line) for line in lines[:-1]]
    speakers = [event for event in events if event["event"] == "speaker"]
    assert {event["name"] for event in speakers} == {None, "Anna", "Ben B"}
    for number, event in enumerate(speakers):
        if event["state"] == "named":  # never before he appeared
            assert any((e["speaker"], e["state"]) == (event["speaker"], "appeared") for e in speakers[:number])
    assert {segment.speaker for segment in parse_rttm(final.rttm("x"))["x"]} == {"Anna", "Ben_B"}


@EXAMPLES
@given(sizes=SIZES)
def test_chunks_change_no_name(models: Remembering, speech: np.ndarray, known: list[Known], sizes: list[int]) -> None:
    whole, _ = run(open_session(models, known), [speech])
    assert sum('"state":"named"' in line for line in whole) >= 2
    assert run(open_session(models, known), cut(speech, sizes))[0] == whole


def test_names_change_nothing_else(models: Remembering, speech: np.ndarray, known: list[Known]) -> None:
    with_names, _ = run(open_session(models, known), [speech])
    without, _ = run(open_session(models, []), [speech])
    assert [line for line in with_names[:-1] if '"state":"named"' not in line] == without[:-1]


def test_a_name_by_the_user_is_one_event_and_reaches_the_final(models: Remembering, speech: np.ndarray) -> None:
    session, plain = open_session(models, []), open_session(models, [])
    half = len(speech) // 2
    before, plain_before = session.feed(speech[:half]), plain.feed(speech[:half])
    (event,) = session.name(1, "Anna")
    assert (event.id, event.state, event.name, event.confidence) == (1, "named", "Anna", 1.0)  # type: ignore[union-attr]
    assert before == plain_before
    assert session.feed(speech[half:]) == plain.feed(speech[half:])
    final, expected = session.close(), plain.close()
    assert (final.turns, final.names, expected.names) == (expected.turns, ((1, "Anna", 1.0),), ())
    assert [e.name for e in session.name(2, "anna") if isinstance(e, Speaker)] == [None, "anna"]
    assert session.close().names == ((2, "anna", 1.0),)
    assert session.close() is session.close()


def test_speakers_who_are_not_there_and_names_that_cannot_be(models: Remembering, speech: np.ndarray) -> None:
    session = open_session(models, [])
    with pytest.raises(TurnstreamError, match="expected a stream that has speakers, got S1"):
        session.name(1, "Anna")
    session.feed(speech)
    for ask in (lambda: session.name(9, "Anna"), lambda: session.profile(9)):
        with pytest.raises(TurnstreamError, match=r"expected one of S1, S2(, S3)?, got S9"):
            ask()
    with pytest.raises(TurnstreamError, match="expected a name that turnstream does not use"):
        session.name(1, "S2")
    assert session.names == ()


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
    assert diarizer.session(known=[own]).names == ()
    with pytest.raises(PeopleError, match="Anna was enrolled with another embedding model"):
        diarizer.session(known=[Person("Anna", "b" * 64, (Profile(known[0].profile.vector, 5.0),), ("",))])
