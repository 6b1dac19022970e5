"""One stream from its first block to its final result: feeds a session, shows and writes what it says."""

from __future__ import annotations

import gc
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from rich.console import Console

from turnstream.audio.input import AudioCounts
from turnstream.errors import TurnstreamError
from turnstream.events import Event, Final
from turnstream.people.person import Person
from turnstream.stitching.config import StitcherConfig
from turnstream.weights.artifacts import EMBEDDING, SEGMENTATION
from turnstream.weights.store import models_pull

from .outputs import Outputs, Stdout, warn
from .terminal.displays import Display, LiveDisplay, NoDisplay, PlainDisplay, ProgressDisplay
from .terminal.screen import Status
from .terminal.summary import print_summary

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer, Session

Steps = Iterable[tuple[list[Event], Status]]
Rename = Callable[[], list[Event]]


class Told(Protocol):
    """The turns of a stream as they were first committed."""

    def live_rttm(self, file_id: str, /) -> str:
        """As RTTM."""


class Heard(Protocol):
    """What went into a stream."""

    rate_hz: int
    counts: AudioCounts


class Stream(Protocol):
    """A session of the engine, here or on a server."""

    @property
    def timeline(self) -> Told: ...

    @property
    def audio(self) -> Heard: ...

    @property
    def position_s(self) -> float:
        """Seconds of audio received."""

    def flush(self) -> list[Event]:
        """Ends the audio; what becomes known by its last samples."""

    def close(self) -> Final:
        """The final result."""


@dataclass(frozen=True)
class Outcome:
    """The final result, and what cut the audio short, if anything did."""

    final: Final
    duration_s: float
    error: TurnstreamError | None


def engine(args: Namespace) -> Diarizer:
    """The models, fetched where they have to be. Raises WeightsError."""
    # Imported only here: a wrong path or device should be said at once, not after the engine is loaded.
    from turnstream.diarizer import Diarizer

    own = {SEGMENTATION.name: args.segmentation, EMBEDDING.name: args.embedding}
    if missing := [name for name, path in own.items() if path is None]:
        models_pull(missing)  # shows its own progress, where there is anything to fetch
    with Console(stderr=True).status("loading the models (the first time they are compiled, about half a minute)"):
        diarizer = Diarizer(args.segmentation, args.embedding)
    keep_loaded()
    return diarizer


def keep_loaded() -> None:
    """Spare what is loaded now the garbage collector: it lives to the end, and a full pass is a pause in live audio."""
    gc.collect()
    gc.freeze()


def open_session(
    diarizer: Diarizer, args: Namespace, rate_hz: int, channels: int, channel: int | None, known: Sequence[Person]
) -> Session:
    """A session as the options ask for it, for audio of this shape."""
    return diarizer.session(
        sample_rate_hz=rate_hz,
        channels=channels,
        channel=channel,
        latency_s=args.latency,
        revision_interval_s=args.revisions_every,
        revision_reach_s=args.revision_reach,
        stitcher=stitcher_config(args),
        known=known,
        activity=args.activity,
    )


def stitcher_config(args: Namespace) -> StitcherConfig:
    """The stitcher's constants that the options ask for. Raises TurnstreamError for a file that has none."""
    config = StitcherConfig.from_json(args.stitcher) if args.stitcher else StitcherConfig()
    return replace(config, force_speaker=True) if args.force_speaker else config


def choose_display(args: Namespace, live: bool, stdout: Stdout, title: str, total_s: float | None) -> Display:
    """What suits where the output goes; `total_s` is None where the end is open."""
    console = _console(stdout)
    if live and not args.json:
        return LiveDisplay(console, title, args.latency) if console.is_terminal else PlainDisplay(console)
    if total_s is not None:
        return ProgressDisplay(Console(stderr=True), title, total_s)
    return NoDisplay()


def follow(
    session: Stream, steps: Steps, display: Display, outputs: Outputs, source: Path, rename: Rename | None = None
) -> Outcome:
    """Consume `steps`, end the session and hand out its final result; `source` names it in RTTM.

    Where the audio breaks off in the middle (a TurnstreamError of `steps`), what came before is finished like a whole
    recording. What was committed is written however the run ends; `rename` is called at the end, to name speakers.
    Raises what `steps` raises before any audio came.
    """
    error: TurnstreamError | None = None
    try:
        try:
            for events, status in steps:
                outputs.events(events)
                display.update(events, status)
                if outputs.unread:
                    break
        except TurnstreamError as broken:
            if session.position_s == 0:
                raise
            error = broken
        outputs.events(session.flush())
        session.close()
        if rename is not None:
            outputs.events(rename())
        final = session.close()
    finally:
        display.close()
        outputs.live(source, session.timeline.live_rttm(source.stem))
    outputs.final(source, final)
    _report_repairs(session, source)
    return Outcome(final, session.position_s, error)


def _report_repairs(session: Stream, source: Path) -> None:
    """Say on stderr what was done to the input, where anything was."""
    counts = session.audio.counts
    if counts.repaired_values:
        warn(f"{source}: {counts.repaired_values} values that were no finite numbers became silence")
    if counts.gap_samples:
        warn(f"{source}: {counts.gap_samples / session.audio.rate_hz:.2f} s were lost and became silence")
    if warning := counts.warning():
        warn(f"{source}: {warning}")


def conclude(outcome: Outcome, title: str, args: Namespace, stdout: Stdout, processing_s: float | None = None) -> None:
    """The table, unless standard output belongs to the JSON lines; then what cut the audio short, if anything did."""
    if not args.json:
        print_summary(_console(stdout), title, outcome.duration_s, outcome.final, processing_s)
    stdout.flush()
    if outcome.error:
        raise outcome.error
    stdout.check()


def _console(stdout: Stdout) -> Console:
    """A rich console on standard output; no colours or control codes where that is no terminal."""
    return Console(file=cast(TextIO, stdout))
