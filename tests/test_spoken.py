"""Words get speakers: the stated rule, and that the lines at the end are those of the words and the final result."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream import Event, Final, Line, Revision, Speaker, SpokenLines, Talk, Turn, Word
from turnstream.clients.words import spoken
from turnstream.clients.words.spoken import REACH_S, Turns, lines_of


def turn(n: int, speaker: str | None, start_s: float, end_s: float, name: str | None = None) -> Turn:
    return Turn(f"T{n}", speaker, name, start_s, end_s, end_s, "final")


def final(*turns: Turn, **names: str) -> Final:
    speakers = {each.speaker for each in turns}
    talks = tuple(Talk(speaker, names.get(speaker or ""), None, 1.0) for speaker in sorted(speakers, key=str))
    return Final("stop", 100.0, turns, talks)


def said(*lines: Line) -> list[tuple[str | None, str]]:
    return [(line.label, line.text) for line in lines]


# The rule


@pytest.mark.parametrize(
    ("start_s", "end_s", "speaker"),
    [
        (1.0, 2.0, "S1"),
        (3.5, 4.2, "S1"),  # 0.5 s of S1, 0.2 s of S2
        (3.9, 4.5, "S2"),
        (6.0, 6.5, "S2"),  # S3 talks as well, but began later
        (7.8, 8.6, "S3"),  # S2 stops in the middle
        (10.2, 10.4, "S3"),  # behind S3's turn
        (10.2 + REACH_S, 10.4 + REACH_S, None),
        (14.3, 14.9, "S1"),  # before S1's turn
        (21.0, 21.5, None),
        (1.5, 1.5, "S1"),
        (12.0, 12.0, None),
    ],
)
def test_a_word_is_theirs_who_talk_for_most_of_it(start_s: float, end_s: float, speaker: str | None) -> None:
    turns = [
        turn(1, "S1", 0.0, 4.0),
        turn(2, "S2", 4.0, 8.0),
        turn(3, "S3", 5.0, 10.0),
        turn(4, "S1", 15.0, 20.0),
        turn(5, None, 20.0, 23.0),
    ]
    assert Turns(turns).speaker_of(Word(start_s, end_s, "so")) == speaker


def test_the_unknown_get_a_word_only_where_nobody_else_talks() -> None:
    turns = [turn(1, None, 0.0, 4.0), turn(2, "S1", 1.0, 2.0)]
    assert [Turns(turns).speaker_of(Word(at, at + 0.5, "so")) for at in (0.1, 1.2)] == [None, "S1"]


def test_a_line_ends_with_the_speaker_the_segment_and_a_pause() -> None:
    words = [Word(float(n), n + 0.9, f"w{n}", segment=int(n > 6)) for n in range(9)] + [Word(20.0, 21.0, "late", 1)]
    told = final(turn(1, "S1", 0.0, 4.0), turn(2, "S2", 4.0, 30.0), S2="Ben")
    parted, whole = lines_of(words, told), lines_of(words, told, pause_s=None)
    assert said(*parted) == [("S1", "w0 w1 w2 w3"), ("Ben", "w4 w5 w6"), ("Ben", "w7 w8"), ("Ben", "late")]
    assert said(*whole) == [("S1", "w0 w1 w2 w3"), ("Ben", "w4 w5 w6"), ("Ben", "w7 w8 late")]
    assert (parted[1].speaker, parted[1].start_s, parted[1].end_s) == ("S2", 4.0, 6.9)


def test_a_revision_and_a_name_change_lines_that_were_given() -> None:
    lines = SpokenLines()
    words = [Word(0.0, 0.5, "who"), Word(2.0, 2.5, "me")]
    assert lines.update([turn(1, "S1", 0.0, 1.0), turn(2, "S2", 1.9, 3.0)], words).lines == lines.lines  # type: ignore[union-attr]
    assert said(*lines.lines) == [("S1", "who"), ("S2", "me")]
    change = lines.update([Speaker("S2", "named", "Ben", None, None, 3.0)])
    assert (change.at, said(*change.lines)) == (1, [("Ben", "me")])  # type: ignore[union-attr]
    lines.update([Revision(("T2",), "S2", "S1", "merged", 3.0)])
    assert said(*lines.lines) == [("S1", "who me")]
    assert lines.update([Revision(("T9",), "S2", "S1", "merged", 3.0)]) is None
    lines.update([replace(turn(1, "S1", 0.0, 1.0), state="retracted"), replace(turn(2, "S1", 2, 3), state="retracted")])
    assert said(*lines.lines) == [(None, "who me")]


# Properties

SPEAKERS = st.sampled_from([None, "S1", "S2", "S3"])
NAMES = st.sampled_from([None, "Anna", "Ben"])
TIMES = st.integers(0, 120).map(lambda tenths: tenths / 10)
LENGTHS = st.integers(0, 30).map(lambda tenths: tenths / 10)
IDS = st.integers(1, 6).map(lambda n: f"T{n}")
WORDS = st.builds(
    lambda start_s, length_s, text, segment, place: Word(start_s, start_s + length_s, text, segment, place),
    TIMES,
    LENGTHS,
    st.sampled_from(["yes", "no", "so"]),
    st.integers(0, 2),
    st.integers(0, 2),
)
TURNS = st.builds(
    lambda id, speaker, name, start_s, length_s, state: Turn(
        id, speaker, name, start_s, start_s + length_s + 0.1, start_s, state
    ),
    IDS,
    SPEAKERS,
    NAMES,
    TIMES,
    LENGTHS,
    st.sampled_from(["provisional", "committed", "retracted"]),
)
REVISIONS = st.builds(
    lambda turns, old, new: Revision(tuple(turns), old, new, "reassigned", 0.0),
    st.lists(IDS, max_size=3),
    SPEAKERS,
    SPEAKERS,
)
NAMED = st.builds(
    lambda speaker, name: Speaker(speaker, "named", name, None, None, 0.0), st.sampled_from(["S1", "S2", "S3"]), NAMES
)
EVENTS = st.lists(st.one_of(TURNS, TURNS, REVISIONS, NAMED), max_size=12)
FINALS = st.lists(TURNS, max_size=6, unique_by=lambda turn: turn.id).map(
    lambda turns: final(*(replace(turn, state="final") for turn in turns), S1="Anna")
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Event], list[Word], list[tuple[list[Event], list[Word]]]]:
    """Events in order and words in any, and both cut into steps."""
    events, words = draw(EVENTS), draw(st.lists(WORDS, max_size=12))
    order = draw(st.permutations(range(len(words))))
    kinds = draw(st.permutations([True] * len(events) + [False] * len(words)))
    left, waiting = iter(events), iter([words[n] for n in order])
    items: list[Event | Word] = [next(left) if is_event else next(waiting) for is_event in kinds]
    cuts = sorted(draw(st.lists(st.integers(0, len(items)), max_size=5)))
    parts = [items[a:b] for a, b in zip([0, *cuts], [*cuts, len(items)], strict=True)]
    steps = [([i for i in part if not isinstance(i, Word)], [i for i in part if isinstance(i, Word)]) for part in parts]
    return events, words, steps


@settings(max_examples=300, deadline=None)
@given(stream=streams(), told=FINALS, late=st.lists(WORDS, max_size=3))
def test_the_end_is_that_of_the_words_and_the_final_result(stream, told: Final, late: list[Word]) -> None:
    """However they came, and whatever was believed before; words may come behind the final result."""
    _, words, steps = stream
    lines = SpokenLines()
    for events, heard in [*steps, ([told], []), ([], late)]:
        lines.update(events, heard)
    assert lines.lines == lines_of([*words, *late], told)


@settings(max_examples=300, deadline=None)
@given(stream=streams())
def test_any_steps_give_the_same_lines_and_changes_lead_to_them(stream) -> None:
    events, words, steps = stream
    stepwise, shown = SpokenLines(), list[Line]()
    for some_events, some_words in steps:
        if change := stepwise.update(some_events, some_words):
            shown[change.at :] = change.lines
        assert tuple(shown) == stepwise.lines
    at_once = SpokenLines()
    at_once.update(events, words)
    assert stepwise.lines == at_once.lines
    assert sorted(w.order for line in stepwise.lines for w in line.words) == sorted(word.order for word in words)


@settings(max_examples=300, deadline=None)
@given(turns=st.lists(TURNS, max_size=8, unique_by=lambda turn: turn.id), word=WORDS)
def test_turns_are_found_as_by_looking_at_each(turns: list[Turn], word: Word) -> None:
    end_s = max(word.end_s, word.start_s + spoken.LEAST_S)
    overlaps = [min(turn.end_s, end_s) - max(turn.start_s, word.start_s) for turn in turns]
    talking = {turn.speaker for turn, overlap_s in zip(turns, overlaps, strict=True) if overlap_s > 0}
    found = Turns(turns).speaker_of(word)
    if talking:
        share_s = {
            speaker: sum(o for t, o in zip(turns, overlaps, strict=True) if t.speaker == speaker and o > 0)
            for speaker in talking
        }
        assert share_s[found] > max(share_s.values()) - spoken.LEAST_S - 1e-9
    else:
        near = [-overlap_s for overlap_s in overlaps if -overlap_s < REACH_S - 1e-9]
        nearest = {t.speaker for t, o in zip(turns, overlaps, strict=True) if near and -o < min(near) + 1e-9}
        assert found in nearest if near else (found is None or max(overlaps) > -REACH_S - 1e-9)
