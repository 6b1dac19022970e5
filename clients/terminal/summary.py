"""The final result as a table of turns and of talk time, for a terminal or a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from turnstream.events import Final, Talk, Turn

from ..exports.document import Document
from ..words.spoken import Line
from .screen import clock, color, count, span, speaker_tag

BAR_COLUMNS = 24


def print_summary(
    console: Console, title: str, duration_s: float, document: Document, processing_s: float | None = None
) -> None:
    """Every turn, or who said what, then who talked how much; `processing_s` where the run was as fast as possible."""
    final = document.final
    speakers = sum(talk.speaker is not None for talk in final.speakers)
    facts = [clock(duration_s), count(speakers, "speaker"), count(len(final.turns), "turn")]
    if processing_s is not None:
        facts.append(f"{processing_s:.1f} s to process, {duration_s / max(processing_s, 1e-3):.1f} times real time")
    _line(console, Text(title, style="bold").append(": " + ", ".join(facts), style="not bold"))
    if not final.turns:
        _line(console, Text("no speech was found"))
        return
    _line(console, Text("" if document.lines else f"\n{'start':>8}   {'end':<8} length  speaker", style="dim"))
    for line in document.lines:
        _line(console, _said(line))
    for turn in () if document.lines else sorted(final.turns, key=lambda turn: (turn.start_s, turn.end_s)):
        _line(console, _turn(turn))
    _talk_times(console, final, duration_s)


def _turn(turn: Turn) -> Text:
    return Text(span(turn) + "  ").append(turn.name or speaker_tag(turn.speaker), style=f"bold {color(turn.speaker)}")


def _said(line: Line) -> Text:
    label = Text(line.label or "?", style=f"bold {color(line.speaker)}")
    return Text(f"{clock(line.start_s):>8}  ").append_text(label).append(f": {line.text}", style="not bold default")


def _talk_times(console: Console, final: Final, duration_s: float) -> None:
    """Shares are of the recording: with overlap they may add up to more than 100 %."""
    _line(console, Text("\nspeaker  talk time  of recording", style="dim"))
    for talk in final.speakers:
        share = min(talk.talk_s / duration_s, 1.0) if duration_s else 0.0
        line = Text(f"{speaker_tag(talk.speaker):<7}", style=f"bold {color(talk.speaker)}")
        line.append(f"{talk.talk_s:9.1f} s  {share:5.0%} ", style="not bold default")
        line.append("▇" * round(share * BAR_COLUMNS), style="not bold")
        _line(console, line.append_text(_name(talk)))


def _name(talk: Talk) -> Text:
    if talk.name is None:
        return Text()
    sure = "" if talk.confidence is None else f" (confidence {talk.confidence:.2f})"
    return Text(f"  {talk.name}", style="bold").append(sure, style="not bold dim")


def _line(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True, highlight=False)
