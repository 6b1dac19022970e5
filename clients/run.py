"""One run: a source is heard by a session, here or on a server; what becomes known is shown and written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TextIO, cast

from rich.console import Console

from turnstream.audio.input import AudioCounts
from turnstream.errors import TurnstreamError
from turnstream.events import Event, Final

from .batch import Place
from .exports.document import Document
from .options import OutputOptions
from .outputs import Outputs, Stdout, report, warn
from .sources.source import Source, Step
from .terminal.displays import Display, LiveDisplay, NoDisplay, PlainDisplay, ProgressDisplay
from .terminal.summary import print_summary


class Heard(Protocol):
    """What went into a stream."""

    @property
    def rate_hz(self) -> int: ...

    @property
    def counts(self) -> AudioCounts: ...


class Stream(Protocol):
    """One stream of audio that is diarized, here or on a server."""

    @property
    def audio(self) -> Heard: ...

    @property
    def position_s(self) -> float:
        """Seconds of audio received."""

    def steps(self, source: Source, /) -> Iterator[Step]:
        """Hear the source; what becomes known, and where the run stands. Raises TurnstreamError."""

    def flush(self) -> list[Event]:
        """Ends the audio; what becomes known by its last samples."""

    def close(self) -> Final:
        """The final result."""

    def live_rttm(self, recording: str, /) -> str:
        """The turns as they were first committed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final result, what cut the audio short, if anything did, and how long the run took."""

    final: Final
    document: Document
    duration_s: float
    processing_s: float
    error: TurnstreamError | None


def run(source: Source, stream: Stream, outputs: Outputs, display: Display) -> Outcome:
    """Hear all of the source, end the stream and hand out its final result.

    Where the audio breaks off in the middle (a TurnstreamError), what came before is finished like a whole recording.
    What was committed is written however the run ends. Raises what the source raises before any audio came.
    """
    begun_s, error = time.monotonic(), None
    try:
        error = _hear(source, stream, outputs, display)
        outputs.events(stream.flush())
        final = replace(stream.close(), recording=source.path.stem)
    finally:
        display.close()
        outputs.live(source.path, stream.live_rttm(source.path.stem))
    document = outputs.final(source.path, final)
    _report_repairs(stream, source.path)
    report(source)
    return Outcome(final, document, stream.position_s, time.monotonic() - begun_s, error)


def choose_display(
    source: Source, options: OutputOptions, latency_s: float, stdout: Stdout, place: Place | None = None
) -> Display:
    """What suits the source and where the output goes; `place` is the source's among those of the command."""
    console = console_on(stdout)
    if source.live and not options.json:
        return LiveDisplay(console, source.title, latency_s) if console.is_terminal else PlainDisplay(console)
    if source.live and source.total_s is None:
        return NoDisplay()
    if place is None:
        return ProgressDisplay(Console(stderr=True), source.title, source.total_s)
    return ProgressDisplay(Console(stderr=True), place.title(source.title), place.all_s, place.before_s)


def conclude(outcome: Outcome, source: Source, options: OutputOptions, stdout: Stdout, timed: bool) -> None:
    """The table, unless standard output belongs to the JSON lines; then what cut the audio short, if anything did."""
    if not options.json:
        processing_s = outcome.processing_s if timed else None
        print_summary(console_on(stdout), source.title, outcome.duration_s, outcome.document, processing_s)
    stdout.flush()
    if outcome.error:
        raise outcome.error
    stdout.check()
    stdout.check()


def console_on(stdout: Stdout) -> Console:
    """A rich console on standard output; no colors or control codes where that is no terminal."""
    return Console(file=cast(TextIO, stdout))


def standard_output() -> Stdout:
    """This process's standard output, which survives its reader."""
    return Stdout(sys.stdout)


def _hear(source: Source, stream: Stream, outputs: Outputs, display: Display) -> TurnstreamError | None:
    """Everything up to the end of the audio; the error that broke it off, once there was some."""
    try:
        for events, status in stream.steps(source):
            outputs.events(events)
            display.update(events, status)
            if outputs.unread:
                break
    except TurnstreamError as error:
        if stream.position_s == 0:
            raise
        return error
    return None


def _report_repairs(stream: Stream, path: Path) -> None:
    """Say on stderr what was done to the input, where anything was."""
    counts = stream.audio.counts
    if counts.repaired_values:
        warn(f"{path}: {counts.repaired_values} values that were no finite numbers became silence")
    if counts.gap_samples:
        warn(f"{path}: {counts.gap_samples / stream.audio.rate_hz:.2f} s were lost and became silence")
    if warning := counts.warning():
        warn(f"{path}: {warning}")
