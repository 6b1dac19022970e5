"""The journal without a socket: whatever is read when and wherever the connection breaks, the client ends up right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_kit import follow

from turnstream.events import Activity, Revision, Speaker, Turn
from turnstream.protocol.messages import Answer, Config, Error, Limits, Model, ServerMessage, Started, Status
from turnstream.server.journal import MAX_ACTIVITY, MAX_ANSWERS, MAX_RETRACTED, Journal

CONFIG = Config("pcm_s16le", 16_000, 1, 1.0, True, True, (), None, None)
STARTED = Started(1, "abc", True, 0, CONFIG, Model("", "", "", 0.5), Limits(1, 1.0, 1.0, 1.0))
STATUS = Status(1.0, 1.0, 0.0, 0.1, 0.0, 0.0, None)


def turn(number: int, end_s: float, state: str = "provisional", speaker: str | None = "S1") -> Turn:
    return Turn(f"T{number}", speaker, None, 0.0, end_s, 0.0, state)


def activity(at_s: float) -> Activity:
    return Activity(at_s, at_s + 0.1, True, False)


TURNS = st.builds(
    turn,
    st.integers(1, 3),
    st.floats(0, 100),
    st.sampled_from(["provisional", "provisional", "committed", "retracted"]),
    st.sampled_from([None, "S1", "S2"]),
)
REVISIONS = st.builds(
    Revision,
    st.lists(st.integers(1, 5).map("T{}".format), min_size=1, max_size=3).map(tuple),
    st.sampled_from([None, "S1"]),
    st.sampled_from(["S1", "S2", "S3"]),
    st.just("reassigned"),
    st.just(1.0),
)
SPEAKERS = st.builds(
    Speaker,
    st.sampled_from(["S1", "S2"]),
    st.sampled_from(["appeared", "named"]),
    st.none(),
    st.none(),
    st.none(),
    st.floats(0, 10),
)
HAPPENS = TURNS | REVISIONS | SPEAKERS | st.floats(0, 10).map(activity) | st.just(STATUS)
READ, LOST = st.just("read"), st.just("lost")
STEPS = st.lists(st.one_of(TURNS, TURNS, REVISIONS, HAPPENS, READ, READ, READ, READ, LOST), max_size=60)


@dataclass
class Client:
    """A listener that may have missed what was sent last."""

    seq: int = 0
    table: dict[str, Turn] = field(default_factory=dict)
    speakers: set[tuple[str, str]] = field(default_factory=set)
    revisions: tuple[Revision, ...] = ()
    heard: list[ServerMessage] = field(default_factory=list)

    def read(self, journal: Journal) -> bool:
        entry = journal.take()
        if entry is None:
            return False
        assert entry.seq > self.seq
        self.seq = entry.seq
        self.heard.append(entry.message)
        self.note(entry.message)
        return True

    def note(self, message: ServerMessage) -> None:
        follow(message, self.table)
        if isinstance(message, Speaker):
            self.speakers.add((message.id, message.state))
        if isinstance(message, Revision):
            self.revisions += (message,)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(steps=STEPS, missed=st.integers(0, 5))
def test_the_client_ends_up_with_what_happened(steps: list[ServerMessage | str], missed: int) -> None:
    """Read at any pace and resumed anywhere, from a number some messages back, it holds the same turns and speakers."""
    journal, client, truth = Journal(), Client(), Client()
    before: list[Client] = []
    retracted: set[str] = set()
    for step in steps:
        if step == "read":
            before.append(replace(client, table=dict(client.table), speakers=set(client.speakers)))
            client.read(journal)
        elif step == "lost":
            client = replace(before[-missed]) if 0 < missed <= len(before) else client
            before.clear()
            journal.resume(STARTED, client.seq, 0.0)
        elif not isinstance(step, str):
            if isinstance(step, Turn):
                if step.id in retracted:
                    continue  # ids are not used twice
                if step.state == "retracted":
                    retracted.add(step.id)
            journal.add(step, 0.0)
            truth.note(step)
    while client.read(journal):
        pass
    assert client.table == truth.table
    assert client.speakers == truth.speakers
    assert client.revisions == truth.revisions  # each once, in order


@given(ends=st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_what_waits_does_not_grow_with_what_happens(ends: list[float]) -> None:
    journal = Journal()
    for end_s in ends:
        journal.add(turn(1, end_s), 0.0)
        journal.add(STATUS, 0.0)
    assert len(journal) == 2
    assert journal.take().message == turn(1, ends[-1])  # type: ignore[union-attr]


def test_a_prompt_reader_is_told_every_step() -> None:
    journal, client = Journal(), Client()
    steps: list[ServerMessage] = [turn(1, 1.0), turn(1, 2.0), STATUS, turn(1, 2.0, "retracted"), activity(2.0)]
    for step in steps:
        journal.add(step, 0.0)
        assert client.read(journal)
    assert client.heard == steps
    assert client.seq == 5


def test_a_turn_that_came_and_went_unseen_is_not_told() -> None:
    journal = Journal()
    journal.add(turn(1, 1.0), 0.0)
    journal.add(turn(1, 1.0, "retracted"), 0.0)
    assert journal.take() is None


def test_only_the_newest_activity_waits() -> None:
    journal = Journal()
    for n in range(3 * MAX_ACTIVITY):
        journal.add(activity(float(n)), 0.0)
    assert len(journal) == MAX_ACTIVITY
    assert journal.take().message == activity(float(2 * MAX_ACTIVITY))  # type: ignore[union-attr]
    journal.resume(STARTED, 0, 0.0)
    assert len(journal) == 1  # the passing is not repeated
    for n in range(2 * MAX_ACTIVITY):
        journal.add(activity(float(n)), 0.0)
    assert len(journal) == MAX_ACTIVITY + 1


def test_old_retractions_are_forgotten() -> None:
    journal, client = Journal(), Client()
    for n in range(1, 2 * MAX_RETRACTED):
        for state in ("provisional", "retracted"):
            journal.add(turn(n, 1.0, state), 0.0)
            client.read(journal)
    journal.resume(STARTED, 0, 0.0)
    assert len(journal) == MAX_RETRACTED + 1


def test_answers_are_told_again_whatever_their_ids_but_not_all_for_ever() -> None:
    journal, client = Journal(), Client()
    ids = [1_700_000_000_000 + 64 * n for n in range(2 * MAX_ANSWERS)]  # as of clients that count milliseconds
    for id_ in ids[:5]:
        journal.add(Answer(id_, "merge", None, None, "S1"), 0.0)
    assert len(journal) == 5
    client.read(journal)
    journal.resume(STARTED, 0, 0.0)
    assert len(journal) == 1 + 5
    for id_ in ids[5:]:
        journal.add(Answer(id_, "merge", None, None, "S1"), 0.0)
    assert len(journal) == 1 + MAX_ANSWERS
    assert len(journal.copy()._answers) == MAX_ANSWERS


def test_an_error_is_no_message_of_a_session() -> None:
    with pytest.raises(ValueError, match="expected a message of a session, got Error"):
        Journal().add(Error("internal", "", None, 4500), 0.0)
