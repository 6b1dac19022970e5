"""The screen of a live run as a pure function of the transcript and the status: no clock, no terminal, no state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from turnstream.errors import printable
from turnstream.events import Activity, Turn, speaker_number

from .transcript import Cell, Row, Transcript

# Okabe and Ito's color-blind-safe palette, without the darkest blue, which is unreadable on black.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#F0E442")
SPAN_S, SHORTEST_SPAN_S = 60.0, 10.0
MAX_LANES, MAX_TURNS = 8, 24
LONGEST_TAG = 16  # columns for a name next to its lane
ROOMY_LINES = 16  # terminals with fewer lines get no blank lines and no legend
LANE_TURNS = 100  # lanes are shown for the speakers of the newest turns
BEHIND_S = 0.5  # a backlog under one hop is the normal wait for the next window
FRESH_S = 4.0  # how long a revision is highlighted
QUIETEST_DB = -60.0
CELLS = {Cell.SILENT: "·", Cell.PROVISIONAL: "▒", Cell.COMMITTED: "▇"}


@dataclass(frozen=True)
class RunStatus:
    """Progress of a run: position, total length (None: open-ended), audio waiting to be processed, input level."""

    position_s: float
    total_s: float | None = None
    backlog_s: float = 0.0
    level_db: float | None = None
    notice: str = ""


def render(
    transcript: Transcript, status: RunStatus, title: str, latency_s: float, width: int, height: int
) -> RenderableType:
    """The whole screen; never taller than `height` lines."""
    top: list[RenderableType] = [_header(title, status), _state_line(transcript, status, latency_s)]
    if status.level_db is not None:
        top.append(_level(status.level_db, width))
    lanes = _lanes(transcript, _lanes_shown(transcript, min(MAX_LANES, height // 3)), status, width)
    gap, foot = ([Text()], [Text(), _legend()]) if height >= ROOMY_LINES else ([], [])
    rest = height - len(top) - len(lanes) - 2 * len(gap) - len(foot)
    newest = transcript.newest(min(rest, MAX_TURNS))
    turns = [_turn_line(row, status.position_s, transcript.names) for row in newest]
    turns = turns or [Text(" no speech yet", style="dim")]
    return Group(*top, *gap, *lanes, *gap, *turns, *foot)


def speaker_tag(speaker: str | None, names: Mapping[str, str] | None = None) -> str:
    """The speaker's name if they have one, else `S1`; `?` for speech whose speaker is not known yet."""
    return "?" if speaker is None else (names or {}).get(speaker, speaker)


def color(speaker: str | None) -> str:
    """The color of a speaker, stable for the whole stream."""
    number = speaker_number(speaker or "")
    return "default" if number is None else PALETTE[(number - 1) % len(PALETTE)]


def clock(time_s: float) -> str:
    """`0:06.7`, and with hours `1:02:03.4` from one hour on."""
    tenths = round(time_s * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def span(turn: Turn) -> str:
    """Start, end and length of a turn in aligned columns."""
    return f"{clock(turn.start_s):>8} - {clock(turn.end_s):<8}{turn.end_s - turn.start_s:6.1f} s"


def _header(title: str, status: RunStatus) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(no_wrap=True, justify="right")
    total = f" of {clock(status.total_s)}" if status.total_s is not None else ""
    line.add_row(Text(title, style="bold"), Text(clock(status.position_s) + total, style="bold"))
    return line


def _state_line(transcript: Transcript, status: RunStatus, latency_s: float) -> Text:
    parts = [
        f"latency {latency_s:g} s",
        f"{status.backlog_s:.1f} s behind" if status.backlog_s > BEHIND_S else "keeping up",
        count(len(transcript.talkers), "speaker"),
        count(len(transcript.rows), "turn"),
        count(transcript.revisions, "revision"),
    ]
    if status.notice:
        return Text(printable(status.notice), style="bold red", no_wrap=True, overflow="ellipsis")
    text = _talk_light(transcript.activity)
    return text.append(" · ".join(parts), style="dim")


def _talk_light(activity: Activity | None) -> Text:
    """Shows silence, speech or overlap; empty if the session does not report activity."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if activity is None:
        return text
    lights = {
        (False, False): ("○ silence", "dim"),
        (True, False): ("● speech ", "green"),
        (True, True): ("● overlap", "yellow"),
    }
    text.append(*lights[activity.speech, activity.overlap])
    return text.append(" · ", style="dim")


def count(number: int, noun: str) -> str:
    """`1 turn`, `2 turns`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _level(level_db: float, width: int) -> Text:
    columns = max(min(40, width - 20), 1)
    filled = round(columns * min(max(1 - level_db / QUIETEST_DB, 0.0), 1.0))
    bar = Text("level ", style="dim", no_wrap=True)
    bar.append("█" * filled, style="bold red" if level_db > -1 else "green")
    bar.append("·" * (columns - filled), style="dim")
    return bar.append(f" {level_db:4.0f} dB" if level_db > QUIETEST_DB else "   silent", style="dim")


def _lanes_shown(transcript: Transcript, most: int) -> list[str | None]:
    newest = [row.turn.speaker for row in reversed(transcript.newest(LANE_TURNS))]
    active = list(dict.fromkeys([*newest, *reversed(transcript.talkers)]))[:most]
    return sorted(active, key=lambda speaker: (speaker is None, speaker_number(speaker or "")))


def _lanes(transcript: Transcript, speakers: Sequence[str | None], status: RunStatus, width: int) -> list[Text]:
    tags = {speaker: Text(speaker_tag(speaker, transcript.names)) for speaker in speakers}
    room = min(max([4, *(tag.cell_len for tag in tags.values())]), LONGEST_TAG)
    for tag in tags.values():
        tag.truncate(room, overflow="ellipsis", pad=True)
    columns = max(width - room - 14, 10)
    span_s = min(max(status.total_s or SPAN_S, SHORTEST_SPAN_S), SPAN_S)
    step_s = span_s / columns
    now = math.ceil(status.position_s / step_s)
    first = max(now - columns, 0)  # lanes move by whole columns, so that they do not flicker
    start_s, end_s = first * step_s, (first + columns) * step_s
    lines = [Text(" " * (room - 4), no_wrap=True).append_text(_ruler(start_s, end_s, columns))]
    for speaker in speakers:
        line = Text(f" {tags[speaker].plain} ", style=f"bold {color(speaker)}", no_wrap=True)
        cells = transcript.lane(speaker, start_s, end_s, columns)
        for cell, run in groupby(cells[: now - first]):
            style = {Cell.SILENT: "bright_black", Cell.PROVISIONAL: f"not bold {color(speaker)}"}.get(cell, "")
            line.append(CELLS[cell] * len(list(run)), style=style)
        line.append(" " * (columns - (now - first)))
        lines.append(line.append(f" {transcript.talk_s(speaker):8.1f} s", style="not bold"))
    return lines


def _ruler(start_s: float, end_s: float, columns: int) -> Text:
    marks = [" "] * (columns + 8)
    per_s = columns / (end_s - start_s)
    step_s = next((step for step in (10, 20) if step * per_s >= 8), 30)
    for mark_s in range(-(-int(start_s) // step_s) * step_s, int(end_s) + 1, step_s):
        column = round((mark_s - start_s) * per_s)
        label = f"{mark_s // 60}:{mark_s % 60:02d}"
        if 0 <= column <= columns - len(label):
            marks[column : column + len(label)] = label
    return Text(" " * 6 + "".join(marks).rstrip(), style="dim", no_wrap=True)


def _turn_line(row: Row, now_s: float, names: Mapping[str, str]) -> Text:
    turn = row.turn
    done = turn.state in ("committed", "final")
    started = turn.committed_s > turn.start_s
    line = Text(no_wrap=True, overflow="ellipsis", style="" if started or done else "dim")
    line.append(" ● " if done else " ◐ " if started else " ○ ", style=color(turn.speaker))
    line.append(span(turn) + "  ")
    line.append(
        f"{speaker_tag(turn.speaker, names):<4}",
        style=f"{'bold ' if started or done else 'italic '}{color(turn.speaker)}",
    )
    if others := [speaker_tag(was, names) for was in dict.fromkeys(row.was) if was not in (None, turn.speaker)]:
        fresh = now_s - row.revised_s < FRESH_S
        line.append("  ↺ was " + ", ".join(others), style="bold reverse" if fresh else "dim")
    return line


def _legend() -> Text:
    return Text(" ○ provisional  ◐ partly committed  ● committed  ↺ revised", style="dim", no_wrap=True)
