"""How a run shows what it hears: a live screen, plain lines for pipes and logs, or a progress bar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from turnstream.events import Event, Revision, Speaker, Turn

from .screen import RunStatus, clock, render, span, speaker_tag
from .transcript import Transcript

REFRESH_S = 0.1


class Display(Protocol):
    """What a run shows its events to."""

    def update(self, events: Sequence[Event], status: RunStatus) -> None:
        """Show what these events changed."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class NoDisplay:
    """Shows nothing: standard output belongs to the JSON lines."""

    def update(self, events: Sequence[Event], status: RunStatus) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to put back."""


class PlainDisplay:
    """One line per committed turn, per revision and per name, without control codes: for pipes, logs and tests."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.transcript = Transcript()
        self._printed: set[str] = set()

    def update(self, events: Sequence[Event], status: RunStatus) -> None:
        """Print the lines that these events make."""
        for event in events:
            self.transcript.apply([event])
            if isinstance(event, Revision):
                for turn in [self.transcript.rows[i].turn for i in event.turns if i in self._printed]:
                    was, now = self._tag(event.old), self._tag(event.new)
                    self._line(f"{span(turn)}  {was} -> {now}  revised ({event.reason})")
            elif isinstance(event, Turn) and event.state == "committed" and event.id not in self._printed:
                self._printed.add(event.id)
                self._line(f"{span(event)}  {self._tag(event.speaker)}")
            elif isinstance(event, Speaker) and event.state == "named":
                sure = "" if event.confidence is None else f" (confidence {event.confidence:.2f})"
                self._line(f"{event.id} is {event.name or 'nobody known'}{sure}")

    def close(self) -> None:
        """Nothing to put back."""

    def _tag(self, speaker: str | None) -> str:
        return speaker_tag(speaker, self.transcript.names)

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveDisplay:
    """The screen of `turnstream demo` and `turnstream mic`; drawn by its caller's thread, at most every 0.1 s."""

    def __init__(self, console: Console, title: str, latency_s: float) -> None:
        self.transcript = Transcript()
        self.title, self.latency_s = title, latency_s
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._live.start()
        self._drawn_s = float("-inf")

    def update(self, events: Sequence[Event], status: RunStatus) -> None:
        """Take the events; redraw unless that was done a moment ago."""
        self.transcript.apply(events)
        if time.monotonic() - self._drawn_s >= REFRESH_S:
            size = self._live.console.size
            screen = render(self.transcript, status, self.title, self.latency_s, size.width, size.height)
            self._live.update(screen, refresh=True)
            self._drawn_s = time.monotonic()

    def close(self) -> None:
        """Take the screen away; what stays on the terminal is the caller's summary."""
        self._live.update(Text(), refresh=True)
        self._live.stop()


class ProgressDisplay:
    """A bar with the position, the speed and the time left; nothing where `console` is no terminal.

    total_s: of all that is to be heard, None where that is open. before_s: of it, what was heard before.
    """

    def __init__(self, console: Console, title: str, total_s: float | None, before_s: float = 0.0) -> None:
        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[position]}{task.fields[end]}, {task.fields[speed]:.1f} times real time"),
        ]
        if total_s is not None:
            columns += [TimeRemainingColumn(compact=True), TextColumn("left")]
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._begun_s = time.monotonic()
        end = "" if total_s is None else f" of {clock(total_s)}"
        self._before_s = before_s
        self._task = self._progress.add_task(title, total=total_s, position=clock(before_s), end=end, speed=0.0)
        self._progress.update(self._task, completed=before_s)
        self._progress.start()

    def update(self, events: Sequence[Event], status: RunStatus) -> None:
        """Move the bar."""
        speed = status.position_s / max(time.monotonic() - self._begun_s, 1e-3)
        position_s = self._before_s + status.position_s
        self._progress.update(self._task, completed=position_s, position=clock(position_s), speed=speed)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()
