"""A recording or a microphone as steps of a run: what the engine tells after each block, and where the run stands."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any, Protocol

from turnstream.errors import AudioError
from turnstream.events import Event

from .sources.devices import MicrophoneError
from .sources.file import AudioFile, Floats, paced
from .sources.microphone import SILENCE_DBFS, Gap, Microphone
from .terminal.screen import Status

PACED_BLOCK_S, FAST_BLOCK_S = 0.1, 1.0
METER_FALL_DB_PER_S = 20.0
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Feed(Protocol):
    """What takes the audio: a session of the engine here or on a server."""

    def feed(self, samples: Floats, /) -> list[Event]:
        """Samples (N, C) float32; what became known."""

    def gap(self, samples: int, /) -> list[Event]:
        """Samples per channel that were lost; what became known."""


def recording_steps(session: Feed, recording: AudioFile, realtime: bool) -> Iterator[tuple[list[Event], Status]]:
    blocks = recording.blocks(PACED_BLOCK_S if realtime else FAST_BLOCK_S)
    samples, begun_s = 0, time.monotonic()
    for block in paced(blocks, recording.rate_hz) if realtime else blocks:
        events = session.feed(block)
        samples += len(block)
        position_s = samples / recording.rate_hz
        backlog_s = max(time.monotonic() - begun_s - position_s, 0.0) if realtime else 0.0
        yield events, Status(position_s, recording.duration_s, backlog_s)


def microphone_steps(
    session: Feed, microphone: Microphone, limit_s: float | None
) -> Iterator[tuple[list[Event], Status]]:
    samples, level_db, begun_s = 0, SILENCE_DBFS, None
    for heard in microphone:
        begun_s = begun_s or time.monotonic()
        if isinstance(heard, Gap):
            events, length = session.gap(heard.samples), heard.samples
        else:
            events, length = session.feed(heard.samples), len(heard.samples)
            level_db = max(heard.level.peak_dbfs, level_db - METER_FALL_DB_PER_S * length / microphone.rate_hz)
        samples += length
        position_s = samples / microphone.rate_hz
        backlog_s = max(time.monotonic() - begun_s - position_s, 0.0)
        yield events, Status(position_s, limit_s, backlog_s, level_db, microphone.recording_problem or "")
        if limit_s is not None and position_s >= limit_s:
            return
    if microphone.ended:
        raise MicrophoneError(microphone.ended)


@contextlib.contextmanager
def ctrl_c_stops(microphone: Microphone) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the audio, and the final result comes; the second one does not wait."""

    def stop(number: int, frame: object) -> None:
        microphone.stop()
        signal.signal(number, before[number])

    heeded = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
    before: dict[int, Any] = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def engine_channel(number: int | None, channels: int, source: str) -> int | None:
    """The engine's channel, counted from 0, for the user's, counted from 1."""
    if number is not None and number > channels:
        raise AudioError(f"expected a channel of {source} from 1 to {channels}, got {number}")
    return None if number is None else number - 1
