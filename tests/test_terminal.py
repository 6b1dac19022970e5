"""The live display: what it shows is a function of the events, fits the terminal, and leaves pipes clean."""

from __future__ import annotations

import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from turnstream.clients.exports.document import Document
from turnstream.clients.terminal.displays import LiveDisplay, PlainDisplay
from turnstream.clients.terminal.screen import RunStatus, clock, color, render
from turnstream.clients.terminal.summary import print_summary
from turnstream.clients.terminal.transcript import Cell, Transcript
from turnstream.clients.words.spoken import Word, lines_of
from turnstream.events import Activity, Event, Final, Revision, Speaker, Talk, Turn
from turnstream.labels import Labels
from turnstream.publisher import Publisher
from turnstream.timeline.timeline import Timeline

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
HEARD: list[Event] = [
    Speaker("S1", "appeared", None, None, None, 1.5),
    Turn("T1", "S1", None, 1.7, 3.4, 3.4, "committed"),
    Speaker("S2", "appeared", None, None, None, 3.2),
    Turn("T2", "S2", None, 3.4, 5.1, 5.1, "committed"),
    Turn("T3", "S1", None, 5.4, 7.1, 6.1, "provisional"),
    Revision(("T2",), "S2", "S1", "reassigned", 7.1),
    Turn("T4", None, None, 6.8, 7.1, 6.8, "provisional"),
]


@st.composite
def conversations(draw: st.DrawFn) -> list[list[Event]]:
    """What a real timeline says, hop by hop, of labels that change their mind."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    hops, people = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    truth = np.repeat(rng.random((hops * 3, people)) < 0.5, 10, axis=0)
    timeline, publisher = Timeline(draw(st.sampled_from([0.5, 1.0, 5.0]))), Publisher()
    said: list[list[Event]] = []
    for end in range(30, len(truth) + 1, 30):
        first = max(0, end - 400)
        swapped = truth[first:end][:, rng.permutation(people)] if rng.random() < 0.2 else truth[first:end]
        said.append(publisher.publish(timeline.update(Labels(first, swapped, tuple(range(people))), end)))
    final = timeline.finish(Labels(0, truth, tuple(range(people))))
    return [*said, [publisher.final(final, {}, len(truth) * 0.016875)]]


def told(events: list[Event]) -> Transcript:
    transcript = Transcript()
    transcript.apply(events)
    return transcript


def screen(transcript: Transcript, status: RunStatus, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, record=True, color_system="truecolor")
    console.print(render(transcript, status, "talk.wav", 1.0, width, height))
    return console.export_text().rstrip("\n").split("\n")


@given(conversations())
@settings(max_examples=30, deadline=None)
def test_transcript_holds_the_newest_version_of_every_turn(said: list[list[Event]]):
    transcript, newest = Transcript(), dict[str, Turn]()
    for event in itertools.chain(*said[:-1]):
        transcript.apply([event])
        if isinstance(event, Turn):
            newest[event.id] = event
            if event.state == "retracted":
                del newest[event.id]
        if isinstance(event, Revision):
            for i in event.turns:
                assert transcript.rows[i].turn.speaker == event.new
                assert transcript.rows[i].was[-1] == event.old
        assert transcript.rows.keys() == newest.keys()
    for row in transcript.rows.values():
        turn = newest[row.turn.id]
        assert (row.turn.start_s, row.turn.end_s) == (turn.start_s, turn.end_s)
    for speaker in {row.turn.speaker for row in transcript.rows.values()}:
        talk_s = sum(r.turn.end_s - r.turn.start_s for r in transcript.rows.values() if r.turn.speaker == speaker)
        assert transcript.talk_s(speaker) == pytest.approx(talk_s)


@given(conversations(), st.integers(40, 200), st.integers(8, 60), st.booleans())
@settings(max_examples=50, deadline=None)
def test_screen_never_leaves_the_terminal(said: list[list[Event]], width: int, height: int, microphone: bool):
    status = RunStatus(len(said) * 0.5, None if microphone else 60.0, 0.0, -20.0 if microphone else None)
    lines = screen(told([*itertools.chain(*said)]), status, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_screen_shows_state_speaker_and_revision_of_each_turn():
    lines = screen(told(HEARD), RunStatus(7.1, 30.0))
    assert lines[0].split() == ["talk.wav", "0:07.1", "of", "0:30.0"]
    assert "1 speaker · 4 turns · 1 revision" in lines[1]  # all that S2 had is S1's now
    turns = [line.split() for line in lines if re.search(r"\d - \d", line)]
    assert [(t[0], t[6], t[7:]) for t in turns] == [
        ("●", "S1", []),
        ("●", "S1", ["↺", "was", "S2"]),
        ("◐", "S1", []),
        ("○", "?", []),
    ]


def test_speaker_who_got_a_turn_back_is_not_named_as_a_former_one():
    back = [*HEARD, Revision(("T2",), "S1", "S2", "reassigned", 7.3)]
    assert "was" in "".join(screen(told(HEARD), RunStatus(7.1)))
    assert "↺ was S1" in "".join(screen(told(back), RunStatus(7.1)))
    assert "was S2" not in "".join(screen(told(back), RunStatus(7.1)))


def test_a_speaker_who_becomes_known_corrects_nobody():
    known = [*HEARD, Revision(("T4",), None, "S2", "named", 7.3)]
    lines = screen(told(known), RunStatus(7.1))
    assert "1 revision" in lines[1]
    assert sum("was" in line for line in lines) == 1  # the turn that was S2's


def test_backlog_and_notice_are_said():
    assert "2.5 s behind" in screen(told(HEARD), RunStatus(7.1, backlog_s=2.5))[1]
    assert "keeping up" in screen(told(HEARD), RunStatus(7.1, backlog_s=0.3))[1]
    assert "microphone is gone" in screen(told(HEARD), RunStatus(7.1, notice="the microphone is gone"))[1]


def test_talk_light_follows_the_newest_activity():
    def lit(*said: tuple[bool, bool]) -> str:
        events: list[Event] = [Activity(0.1 * n, 0.1 * n + 0.1, *both) for n, both in enumerate(said)]
        return screen(told(events), RunStatus(1.0))[1].partition(" · ")[0].strip()

    assert lit() == "latency 1 s"
    assert lit((True, False)) == "● speech"
    assert lit((True, False), (True, True)) == "● overlap"
    assert lit((True, True), (False, False)) == "○ silence"


def test_level_meter_follows_the_level():
    def filled(level_db: float) -> int:
        return "".join(screen(told([]), RunStatus(1.0, level_db=level_db))).count("█")

    assert filled(-90.0) == 0 < filled(-40.0) < filled(-20.0) < filled(0.0) == filled(6.0)


def test_lane_marks_provisional_and_committed_speech():
    lane = told([Turn("T1", "S1", None, 1.0, 5.0, 3.0, "provisional")]).lane("S1", 0.0, 6.0, 6)
    assert lane == [Cell.SILENT, Cell.COMMITTED, Cell.COMMITTED, Cell.PROVISIONAL, Cell.PROVISIONAL, Cell.SILENT]


def test_shortest_turn_is_seen_and_others_lanes_stay_empty():
    transcript = told([Turn("T1", "S2", None, 31.0, 33.0, 33.0, "committed")])
    assert transcript.lane("S2", 0.0, 1000.0, 10).count(Cell.COMMITTED) == 1
    assert set(transcript.lane("S1", 0.0, 1000.0, 10)) == {Cell.SILENT}


def test_speakers_keep_their_colors_and_neighbours_differ():
    assert [color(f"S{n}") for n in range(1, 20)] == [color(f"S{n}") for n in range(1, 20)]
    assert all(len({color(f"S{n}") for n in range(first, first + 6)}) == 6 for first in range(1, 20))


def test_plain_display_prints_committed_turns_and_revisions_without_control_codes():
    out = io.StringIO()
    display = PlainDisplay(Console(file=out))
    for event in [*HEARD, HEARD[1]]:
        display.update([event], RunStatus(7.0))
    lines = out.getvalue().splitlines()
    assert [line.split()[5:] for line in lines] == [["S1"], ["S2"], ["S2", "->", "S1", "revised", "(reassigned)"]]
    assert not CONTROL.search(out.getvalue())


def test_live_display_gives_the_cursor_back_and_leaves_nothing():
    out = io.StringIO()
    display = LiveDisplay(Console(file=out, force_terminal=True, width=80, height=24), "talk.wav", 1.0)
    display.update(HEARD, RunStatus(7.0))
    assert "talk.wav" in out.getvalue()
    display.close()
    assert out.getvalue().rfind("\x1b[?25h") > out.getvalue().rfind("\x1b[?25l")


def test_summary_lists_all_turns_and_talk_times():
    turns = (Turn("T1", "S1", None, 1.7, 3.4, 3.4, "final"), Turn("T2", "S2", None, 2.5, 5.0, 5.0, "final"))
    talk = (Talk("S1", None, None, 1.7), Talk("S2", None, None, 2.5))
    out = io.StringIO()
    print_summary(
        Console(file=out), "talk.wav", 10.0, Document("talk", Final("stop", 10.0, turns, talk)), processing_s=0.5
    )
    text = out.getvalue()
    assert text.startswith("talk.wav: 0:10.0, 2 speakers, 2 turns, 0.5 s to process, 20.0 times real time")
    assert [line.split()[-1] for line in text.splitlines() if " - " in line] == ["S1", "S2"]
    assert re.search(r"S1 +1.7 s +17%", text)
    assert re.search(r"S2 +2.5 s +25%", text)
    assert not CONTROL.search(text)


def test_summary_with_words_tells_who_said_what():
    out = io.StringIO()
    turns = (Turn("T1", "S1", "Anna", 0.0, 2.0, 2.0, "final"), Turn("T2", "S2", None, 2.0, 4.0, 4.0, "final"))
    final = Final("stop", 10.0, turns, (Talk("S1", "Anna", None, 2.0), Talk("S2", None, None, 2.0)))
    words = [Word(0.1, 0.5, "Hello"), Word(0.5, 1.0, "Ben."), Word(2.5, 3.0, "Hi."), Word(8.0, 9.0, "(noise)")]
    lines = lines_of(words, final, pause_s=None)
    print_summary(Console(file=out), "talk.wav", 10.0, Document("talk", final, lines))
    told = [line.strip() for line in out.getvalue().splitlines()]
    assert told[2:5] == ["0:00.1  Anna: Hello Ben.", "0:02.5  S2: Hi.", "0:08.0  ?: (noise)"]
    assert not any("length" in line for line in told)
    assert any("talk time" in line for line in told)


def test_summary_of_silence_says_so():
    out = io.StringIO()
    print_summary(Console(file=out), "quiet.wav", 3.0, Document("quiet", Final("stop", 3.0, (), ())))
    assert "no speech was found" in out.getvalue()


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0, "0:00.0"), (6.69, "0:06.7"), (59.96, "1:00.0"), (3599.99, "1:00:00.0"), (3723.4, "1:02:03.4")],
)
def test_clock(time_s: float, text: str):
    assert clock(time_s) == text


NAMED = [
    *HEARD,
    Speaker("S1", "named", "Anna Maria of a very long name", 0.93, None, 6.8),
    Speaker("S2", "named", "李雷", 0.9, None, 6.9),
]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_names_are_on_the_screen_and_fit(width: int):
    lines = screen(told(NAMED), RunStatus(7.0), width)
    assert all(cell_len(line) <= width for line in lines)
    lanes = [line for line in lines if "▇" in line and "level" not in line]
    assert lanes[0].startswith(" Anna Maria of a… ")
    assert width < 80 or any("Anna Maria of a" in line for line in lines if "●" in line)
    assert not any(re.search(r"\bS[12]\b", line) for line in lines)


def test_a_name_taken_back_is_gone():
    transcript = told([*NAMED, Speaker("S1", "named", None, None, None, 7.1)])
    assert transcript.names == {"S2": "李雷"}
    transcript.apply([Final("stop", 7.1, (), (Talk("S2", "Ben", None, 1.0),))])
    assert transcript.names == {"S2": "Ben"}


def test_plain_lines_and_the_summary_tell_names():
    console = Console(file=io.StringIO(), width=100, record=True)
    display = PlainDisplay(console)
    named = Speaker("S1", "named", "Anna", 0.93, None, 1.6)
    taken = Speaker("S1", "named", None, None, None, 5.1)
    display.update([HEARD[0], named, HEARD[1], taken], RunStatus(7.0))
    turn = Turn("T1", "S1", "Anna", 1.7, 3.4, 3.4, "final")
    final = Final("stop", 7.0, (turn,), (Talk("S1", "Anna", 0.97, 1.7),))
    print_summary(console, "x", 7.0, Document("x", final))
    text = console.export_text()
    assert "S1 is Anna (confidence 0.93)\n" in text
    assert "S1 is nobody known\n" in text
    assert re.search(r"1\.7 s  Anna\n", text)
    assert re.search(r"^S1 .* Anna \(confidence 0\.97\)$", text, re.MULTILINE)
