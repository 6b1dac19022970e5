"""What one client learns of a session: committed turns only, where it wants no provisional ones; and the counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..audio.input import AudioCounts
from ..events import Event, Revision, Speaker, Statistics, Turn
from ..wire import ProtocolError


class ClientView:
    """One for each session: filters its events and remembers which speakers have appeared."""

    def __init__(self, provisional: bool):
        self._provisional = provisional
        self._speakers: dict[str, None] = {}
        self._committed_s: dict[str, float] = {}  # turn id -> up to where its committed part was sent
        self.revisions = 0
        self._last_request = 0

    def is_new(self, request: int | None) -> bool:
        """Whether a request of this number was not taken before, which it is now."""
        if request is None:
            return True
        is_new = request > self._last_request
        self._last_request = max(self._last_request, request)
        return is_new

    def select(self, events: Iterable[Event]) -> list[Event]:
        """The events for this client, in order."""
        return [chosen for event in events if (chosen := self._select(event)) is not None]

    def check_speaker(self, speaker: str) -> None:
        """Raises ProtocolError for a speaker that has not appeared."""
        if speaker not in self._speakers:
            known = ", ".join(self._speakers) or "none, for nobody has appeared"
            raise ProtocolError(f"a speaker of this session ({known})", speaker, "speaker")

    def _select(self, event: Event) -> Event | None:
        match event:
            case Turn() if not self._provisional:
                return self._committed(event)
            case Speaker():
                self._speakers[event.id] = None
            case Revision():
                self.revisions += 1
        return event

    def _committed(self, turn: Turn) -> Turn | None:
        """The committed part of a turn, where more of it is committed than before."""
        if turn.committed_s <= self._committed_s.get(turn.id, turn.start_s):
            return None
        self._committed_s[turn.id] = turn.committed_s
        return replace(turn, end_s=turn.committed_s, state="committed")


def statistics(
    counts: AudioCounts, rate_hz: int, processing_s: float, silent_s: float, revisions: int, resumes: int
) -> Statistics:
    """Counts of a session whose audio is over."""
    audio_s = counts.received_samples / rate_hz
    return Statistics(
        round(processing_s, 3),
        round(processing_s / audio_s, 4) if audio_s else 0.0,
        round(silent_s, 3),
        round(counts.gap_samples / rate_hz, 3),
        counts.repaired_values,
        counts.clipped_values,
        counts.dropped_bytes,
        revisions,
        resumes,
    )
