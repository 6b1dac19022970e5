"""One stream from its first block to its final result: feeds a session, shows and writes what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clients.outputs import Outputs, warn
from clients.screen import Status
from clients.terminal import Display
from stream.errors import TurnstreamError
from stream.events import Event, Final

if TYPE_CHECKING:
    from stream.diarizer import Session

Steps = Iterable[tuple[list[Event], Status]]


@dataclass(frozen=True)
class Outcome:
    """The final result, and what cut the audio short, if anything did."""

    final: Final
    duration_s: float
    error: TurnstreamError | None


def follow(session: Session, steps: Steps, display: Display, outputs: Outputs, source: Path) -> Outcome:
    """Consume `steps`, end the session and hand out its final result; `source` names it in RTTM.

    Where the audio breaks off in the middle (a TurnstreamError of `steps`), what came before is finished like a whole
    recording. What was committed is written however the run ends. Raises what `steps` raises before any audio came.
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
        final = session.close()
    finally:
        display.close()
        outputs.live(source, session.timeline.live_rttm(source.stem))
    outputs.final(source, final)
    _report_repairs(session, source)
    return Outcome(final, session.position_s, error)


def _report_repairs(session: Session, source: Path) -> None:
    """Say on stderr what was done to the input, where anything was."""
    counts = session.audio.counts
    if counts.repaired_values:
        warn(f"{source}: {counts.repaired_values} values that were no finite numbers became silence")
    if counts.gap_samples:
        warn(f"{source}: {counts.gap_samples / session.audio.rate_hz:.2f} s were lost and became silence")
    if warning := counts.warning():
        warn(f"{source}: {warning}")
