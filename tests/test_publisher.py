"""The publisher: records in frames become events in seconds that say the same, and travel without a loss."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnstream.errors import TurnstreamError
from turnstream.events import Activity, Event, Final, Revision, Speaker, Statistics, Turn, to_json
from turnstream.models.activity import ActivityRecord
from turnstream.people.naming import check_name
from turnstream.protocol.messages import decode_server, encode
from turnstream.publisher import Names, Publisher
from turnstream.timeline.records import FinalRecord, Record, RevisionRecord, SpeakerRecord, TurnRecord, rttm_of
from turnstream.windows import FRAME_SAMPLES, SAMPLE_RATE_HZ, frame_at, frame_seconds

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FRAMES = st.integers(0, 10**8)  # 19 days
NUMBERS = st.integers(1, 3)  # few, so that the same speaker comes again
SPEAKERS = st.none() | NUMBERS


def can_be_a_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except TurnstreamError:
        return False


NAMES = st.sampled_from(["Anna", "Zoë", "Ben B", "李雷"]) | st.text('a李 S1_"\\<>', max_size=8).filter(can_be_a_name)
CONFIDENCES = st.none() | st.floats(0, 1)


def turn_record(id: int, speaker: int | None, frames: list[int], state: str) -> TurnRecord:
    start, committed, end = sorted(frames)
    return TurnRecord(id, speaker, start, end, committed, state)  # type: ignore[arg-type]


STATES = ["provisional", "committed", "final", "retracted"]
TURNS = st.builds(turn_record, NUMBERS, SPEAKERS, st.lists(FRAMES, min_size=3, max_size=3), st.sampled_from(STATES))
REVISIONS = st.builds(
    RevisionRecord,
    st.lists(NUMBERS, min_size=1, max_size=3).map(tuple),
    SPEAKERS,
    SPEAKERS,
    st.sampled_from(["reassigned", "merged", "split", "named"]),
    FRAMES,
)
APPEARED = st.builds(SpeakerRecord, NUMBERS, FRAMES)
NAMED = st.builds(SpeakerRecord, NUMBERS, FRAMES, st.just("named"), NAMES, CONFIDENCES)
WITHDRAWN = st.builds(SpeakerRecord, NUMBERS, FRAMES, st.just("named"))
MERGED = st.builds(SpeakerRecord, NUMBERS, FRAMES, st.just("merged"), into=NUMBERS)
ACTIVITIES = st.builds(ActivityRecord, FRAMES, FRAMES, st.booleans(), st.booleans())
RECORDS = st.lists(
    st.one_of(TURNS, TURNS, REVISIONS, APPEARED, NAMED, NAMED, WITHDRAWN, MERGED, ACTIVITIES), max_size=20
)
NAMINGS = st.lists(TURNS | NAMED | WITHDRAWN, min_size=8, max_size=12)
FINAL_TURNS = st.lists(TURNS.map(lambda turn: replace(turn, committed_frame=turn.end_frame, state="final")), max_size=8)
NAMED_SPEAKERS = st.dictionaries(NUMBERS, st.tuples(NAMES, CONFIDENCES))


def final_record(turns: list[TurnRecord]) -> FinalRecord:
    """With the frames in which each speaker talks, the unknown last."""
    talk: Counter[int | None] = Counter()
    for turn in turns:
        talk[turn.speaker] += turn.end_frame - turn.start_frame
    return FinalRecord(tuple(turns), tuple(sorted(talk.items(), key=lambda item: item[0] or 10**9)))


FINALS = st.builds(
    lambda turns, names, seconds: Publisher().final(final_record(turns), names, seconds),
    FINAL_TURNS,
    NAMED_SPEAKERS,
    st.floats(0, 1e8),
)


def number(tag: str | None, letter: str = "S") -> int | None:
    if tag is None:
        return None
    assert tag[0] == letter
    return int(tag[1:])


def record_of(event: Event) -> Record | ActivityRecord:
    """The record that says what the event says; the name on a turn apart."""
    match event:
        case Turn(id, speaker, _, _, _, _, state):
            frames = event.start_frame, event.end_frame, event.committed_frame
            return TurnRecord(int(id.removeprefix("T")), number(speaker), *frames, state)
        case Revision(turns, old, new, reason, at_s):
            numbers = tuple(int(turn.removeprefix("T")) for turn in turns)
            return RevisionRecord(numbers, number(old), number(new), reason, frame_at(at_s))
        case Speaker(id, state, name, confidence, into, at_s):
            return SpeakerRecord(int(id.removeprefix("S")), frame_at(at_s), state, name, confidence, number(into))
        case Activity(start_s, end_s, speech, overlap):
            return ActivityRecord(frame_at(start_s), frame_at(end_s), speech, overlap)
    raise AssertionError(f"no record for {event}")


@EXAMPLES
@given(frame=FRAMES)
def test_a_frame_is_found_again_from_its_time(frame: int) -> None:
    assert frame_at(frame_seconds(frame)) == frame
    assert frame_seconds(frame) < frame_seconds(frame + 1)


@EXAMPLES
@given(frame=st.integers(1, 10**8))
def test_a_frame_begins_in_the_middle_of_what_it_sees_to_the_millisecond(frame: int) -> None:
    """At 360 samples and 270 for every frame before it; what begins the stream is at 0."""
    assert abs(Fraction(str(frame_seconds(frame))) - Fraction(360 + 270 * frame, 16_000)) <= Fraction(1, 2000)
    assert frame_seconds(0) == frame_seconds(-frame) == 0.0
    assert frame_at(-1.0) == frame_at(0.0) == 0


@EXAMPLES
@given(records=RECORDS)
def test_each_record_becomes_one_event_that_says_the_same(records: list[Record | ActivityRecord]) -> None:
    assert [record_of(event) for event in Publisher().publish(records)] == records


@EXAMPLES
@given(records=NAMINGS, cuts=st.lists(st.integers(0, 12), max_size=3))
def test_turns_have_the_name_of_their_speaker_so_far(records: list[Record | ActivityRecord], cuts: list[int]) -> None:
    """However the records come in pieces; unknown speakers have none."""
    publisher, edges = Publisher(), [0, *sorted(cuts), len(records)]
    events = [e for n, end in enumerate(edges[1:]) for e in publisher.publish(records[edges[n] : max(end, edges[n])])]
    names: dict[str | None, str | None] = {}
    for event in events:
        if isinstance(event, Speaker) and event.state == "named":
            names[event.id] = event.name
        if isinstance(event, Turn):
            assert event.name == names.get(event.speaker)
            assert event.speaker is not None or event.name is None
    assert len(events) == len(records)


def test_a_name_comes_stays_and_goes() -> None:
    turn = TurnRecord(1, 2, 0, 9, 0, "provisional")
    told = [SpeakerRecord(2, 0, "named", "Anna", 0.9), turn, SpeakerRecord(2, 9, "named", "Ben"), turn]
    told += [replace(turn, speaker=1), SpeakerRecord(2, 9, "merged", into=1), turn, SpeakerRecord(2, 9, "named"), turn]
    names = [event.name for event in Publisher().publish([turn, *told]) if isinstance(event, Turn)]
    assert names == [None, "Anna", "Ben", None, "Ben", None]


@EXAMPLES
@given(before=NAMINGS, turns=FINAL_TURNS, names=NAMED_SPEAKERS, seconds=st.floats(0, 1e8))
def test_the_final_says_what_its_record_and_the_names_say(
    before: list[Record | ActivityRecord], turns: list[TurnRecord], names: Names, seconds: float
) -> None:
    """The names of the end alone: those told before do not count."""
    publisher, record = Publisher(), final_record(turns)
    publisher.publish(before)
    final = publisher.final(record, names, seconds)
    assert [record_of(turn) for turn in final.turns] == turns
    known = {f"S{speaker}": name for speaker, (name, _) in names.items()}
    assert [turn.name for turn in final.turns] == [known.get(turn.speaker or "") for turn in final.turns]
    assert (final.reason, final.statistics, final.recording) == ("stop", None, "stream")
    assert abs(final.duration_s - seconds) <= 0.0005 + seconds * 1e-15
    assert publisher.final(record, names, seconds, "idle") == replace(final, reason="idle")


def test_a_name_that_was_told_and_withdrawn_is_not_in_the_final() -> None:
    publisher, turn = Publisher(), TurnRecord(1, 2, 0, 9, 9, "final")
    publisher.publish([SpeakerRecord(2, 0, "named", "Anna", 0.9)])
    assert publisher.final(final_record([turn]), {1: ("Ben", None)}, 1.0).turns[0].name is None
    assert publisher.final(final_record([turn]), {2: ("Ben", None)}, 1.0).turns[0].name == "Ben"


@EXAMPLES
@given(turns=FINAL_TURNS, names=NAMED_SPEAKERS)
def test_the_final_says_how_long_each_speaker_talked(turns: list[TurnRecord], names: Names) -> None:
    final = Publisher().final(final_record(turns), names, 1.0)
    speakers = sorted({turn.speaker for turn in turns if turn.speaker is not None})
    assert [talk.speaker for talk in final.speakers if talk.speaker] == [f"S{speaker}" for speaker in speakers]
    assert [talk.speaker for talk in final.speakers][len(speakers) :] == [None] * any(t.speaker is None for t in turns)
    for talk in final.speakers:
        mine = [turn for turn in turns if turn.speaker == number(talk.speaker)]
        samples = FRAME_SAMPLES * sum(turn.end_frame - turn.start_frame for turn in mine)
        assert abs(Fraction(str(talk.talk_s)) - Fraction(samples, SAMPLE_RATE_HZ)) <= Fraction(1, 2000)
        assert (talk.name, talk.confidence) == names.get(number(talk.speaker) or 0, (None, None))


@EXAMPLES
@given(records=RECORDS, seq=st.integers(1, 2**53))
def test_every_event_travels_as_it_is(records: list[Record | ActivityRecord], seq: int) -> None:
    for event in Publisher().publish(records):
        assert decode_server(encode(event, seq)) == (seq, event)
        assert decode_server(to_json(event)) == (None, event)


@EXAMPLES
@given(final=FINALS, revisions=st.none() | st.integers(0, 9), recording=st.text(max_size=9))
def test_a_final_travels_as_it_is_but_for_what_the_recording_is_called(
    final: Final, revisions: int | None, recording: str
) -> None:
    numbers = None if revisions is None else Statistics(0.1, 0.2, 0.3, 0.4, 1, 2, 3, revisions, 5)
    final = replace(final, statistics=numbers)
    assert decode_server(encode(final, 7)) == (7, final)
    assert decode_server(final.to_json()) == (None, final)
    assert to_json(final) == final.to_json()
    named = replace(final, recording=recording)
    assert decode_server(encode(named)) == (None, final)


def rttm_by_hand(recording: str, turns: tuple[Turn, ...]) -> str:
    lines = []
    for turn in sorted(turns, key=lambda turn: (turn.start_s, turn.end_s, number(turn.speaker) or 0)):
        start, end = Decimal(str(turn.start_s)), Decimal(str(turn.end_s))
        label = "unknown" if turn.speaker is None else turn.speaker
        if turn.name is not None:
            label = "_".join(turn.name.split())
        if end > start:
            lines.append(f"SPEAKER {recording} 1 {start:.3f} {end - start:.3f} <NA> <NA> {label} <NA> <NA>\n")
    return "".join(lines)


@EXAMPLES
@given(final=FINALS)
def test_rttm_is_the_turns_in_order_of_time(final: Final) -> None:
    assert final.to_rttm() == rttm_by_hand("stream", final.turns)
    assert final.to_rttm("a b") == rttm_by_hand("a_b", final.turns)
    assert replace(final, recording="mine").to_rttm() == rttm_by_hand("mine", final.turns)
    assert replace(final, recording="mine").to_rttm("x") == rttm_by_hand("x", final.turns)


@EXAMPLES
@given(turns=FINAL_TURNS)
def test_rttm_of_records_is_that_of_their_events(turns: list[TurnRecord]) -> None:
    final = Publisher().final(final_record(turns), {}, 1.0)
    assert rttm_of("x", [(t.start_frame, t.end_frame, t.speaker) for t in turns]) == final.to_rttm("x")


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            TurnRecord(3, None, 10, 20, 10, "provisional"),
            '{"type":"turn","id":"T3","speaker":null,"name":null,"start":0.191,"end":0.36,"committed":0.191,'
            '"state":"provisional"}',
        ),
        (
            RevisionRecord((1, 12), None, 2, "named", 100),
            '{"type":"revision","turns":["T1","T12"],"from":null,"to":"S2","reason":"named","at":1.71}',
        ),
        (
            SpeakerRecord(2, 0),
            '{"type":"speaker","speaker":"S2","state":"appeared","name":null,"confidence":null,"into":null,"at":0.0}',
        ),
        (
            SpeakerRecord(2, 0, "named", "Zoë", 0.93),
            '{"type":"speaker","speaker":"S2","state":"named","name":"Zoë","confidence":0.93,"into":null,"at":0.0}',
        ),
        (
            SpeakerRecord(2, 0, "merged", into=1),
            '{"type":"speaker","speaker":"S2","state":"merged","name":null,"confidence":null,"into":"S1","at":0.0}',
        ),
        (
            ActivityRecord(0, 60, True, False),
            '{"type":"activity","start":0.0,"end":1.035,"speech":true,"overlap":false}',
        ),
    ],
)
def test_the_json_of_a_record(record: Record | ActivityRecord, line: str) -> None:
    assert [to_json(event) for event in Publisher().publish([record])] == [line]


def test_the_json_of_a_final() -> None:
    turns = [TurnRecord(1, 1, 0, 60, 60, "final"), TurnRecord(2, None, 50, 80, 80, "final")]
    final = Publisher().final(final_record(turns), {1: ("Zoë Ax", 0.93)}, 1.50049)
    assert final.to_json() == (
        '{"type":"final","reason":"stop","duration":1.5,"turns":['
        '{"id":"T1","speaker":"S1","name":"Zoë Ax","start":0.0,"end":1.035,"committed":1.035,"state":"final"},'
        '{"id":"T2","speaker":null,"name":null,"start":0.866,"end":1.373,"committed":1.373,"state":"final"}],'
        '"speakers":[{"speaker":"S1","name":"Zoë Ax","confidence":0.93,"talk":1.012},'
        '{"speaker":null,"name":null,"confidence":null,"talk":0.506}],"statistics":null,"rttm":"'
        "SPEAKER stream 1 0.000 1.035 <NA> <NA> Zoë_Ax <NA> <NA>\\n"
        'SPEAKER stream 1 0.866 0.507 <NA> <NA> unknown <NA> <NA>\\n"}'
    )
