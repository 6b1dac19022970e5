"""A recording or a microphone as the source of a run: it feeds a session and says where it stands."""

from __future__ import annotations

import contextlib
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from turnstream.errors import AudioError, printable
from turnstream.events import Event

from ..options import MicrophoneOptions
from ..terminal.screen import RunStatus
from .devices import MicrophoneError, choose_device
from .file import AudioFile, paced
from .microphone import SILENCE_DBFS, Gap, Microphone
from .quiet import quiet_libraries
from .reader import Floats

PACED_BLOCK_S, FAST_BLOCK_S = 0.1, 1.0
METER_FALL_DB_PER_S = 20.0
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Step = tuple[list[Event], RunStatus]


class Feed(Protocol):
    """What takes the audio: a session of the engine, here or on a server."""

    def feed(self, samples: Floats, /) -> list[Event]:
        """Samples (N, C) float32; what became known."""

    def gap(self, samples: int, /) -> list[Event]:
        """Samples per channel that were lost; what became known."""


class Source(ABC):
    """Open while used as a context manager; its rate and channels are known before.

    path: names it in results. title: names it on a screen, safe to print. channel: the only one to use, from 0; None
    mixes all. live: at the pace of the audio. total_s: None is open-ended.
    facts: what the line that begins its results says of it.
    """

    path: Path
    title: str
    rate_hz: int
    channels: int
    channel: int | None
    live: bool
    total_s: float | None
    facts: dict[str, Any]

    @abstractmethod
    def steps(self, session: Feed) -> Iterator[Step]:
        """Feed all of it; after each block, what became known and where it stands. Raises TurnstreamError."""

    @property
    def stopped(self) -> bool:
        """Whether the user ended it: what was to follow is not wanted either."""
        return False

    def warning(self) -> str | None:
        """One sentence, if anything about the source was odd."""
        return None

    @abstractmethod
    def __enter__(self) -> Source: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Stoppable(Protocol):
    """What can be ended before its end."""

    def stop(self) -> None: ...


class Stop:
    """Remembers that it was asked for."""

    asked = False

    def stop(self) -> None:
        """Ask for it."""
        self.asked = True


class RecordingSource(Source):
    """A recording; closed by its context manager. `channel` counts from 1. Raises AudioError.

    At the pace of the audio (`realtime`), Ctrl-C ends it with the result so far.
    """

    def __init__(self, path: Path, channel: int | None, realtime: bool):
        self._file = AudioFile(path)
        self.path, self.title, self.live = path, printable(path.name), realtime
        self.rate_hz, self.channels, self.total_s = self._file.rate_hz, self._file.channels, self._file.duration_s
        self.facts = {"duration": round(self._file.duration_s, 3)}
        self._stop, self._open = Stop(), ExitStack()
        try:
            self.channel = engine_channel(channel, self.channels, str(path))
        except AudioError:
            self._file.close()
            raise

    def steps(self, session: Feed) -> Iterator[Step]:
        """See `Source`."""
        blocks = self._file.blocks(PACED_BLOCK_S if self.live else FAST_BLOCK_S)
        samples, begun_s = 0, time.monotonic()
        for block in paced(blocks, self.rate_hz) if self.live else blocks:
            if self.stopped:
                return
            events = session.feed(block)
            samples += len(block)
            position_s = samples / self.rate_hz
            backlog_s = max(time.monotonic() - begun_s - position_s, 0.0) if self.live else 0.0
            yield events, RunStatus(position_s, self.total_s, backlog_s)

    def warning(self) -> str | None:
        """See `Source`."""
        return self._file.warning()

    @property
    def stopped(self) -> bool:
        """See `Source`."""
        return self._stop.asked

    def __enter__(self) -> RecordingSource:
        self._open.callback(self._file.close)
        if self.live:
            self._open.enter_context(ctrl_c_stops(self._stop))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


class MicrophoneSource(Source):
    """A microphone, opened by its context manager, until Ctrl-C, its seconds are over, or it is gone."""

    def __init__(self, options: MicrophoneOptions, channel: int | None):
        device = choose_device(options.device)
        self.channel = engine_channel(channel, device.channels, device.name)
        self._microphone = Microphone(device.number, channel or 1, options.record)
        self.path = options.record or Path("microphone")
        self.title, self.live, self.total_s = printable(device.name), True, options.seconds
        self.facts = {"device": device.name}
        self.rate_hz, self.channels = self._microphone.rate_hz, self._microphone.channels
        self._open = ExitStack()

    def steps(self, session: Feed) -> Iterator[Step]:
        """See `Source`."""
        samples, level_db, begun_s = 0, SILENCE_DBFS, None
        for heard in self._microphone:
            begun_s = begun_s or time.monotonic()
            if isinstance(heard, Gap):
                events, length = session.gap(heard.samples), heard.samples
            else:
                events, length = session.feed(heard.samples), len(heard.samples)
                level_db = max(heard.level.peak_dbfs, level_db - METER_FALL_DB_PER_S * length / self.rate_hz)
            samples += length
            position_s = samples / self.rate_hz
            backlog_s = max(time.monotonic() - begun_s - position_s, 0.0)
            problem = self._microphone.recording_problem or ""
            yield events, RunStatus(position_s, self.total_s, backlog_s, level_db, problem)
            if self.total_s is not None and position_s >= self.total_s:
                return
        if self._microphone.ended:
            raise MicrophoneError(self._microphone.ended)

    def __enter__(self) -> MicrophoneSource:
        with ExitStack() as stack:
            stack.enter_context(quiet_libraries())
            stack.enter_context(self._microphone)
            stack.enter_context(ctrl_c_stops(self._microphone))
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def engine_channel(number: int | None, channels: int, source: str) -> int | None:
    """The engine's channel, counted from 0, for the user's, counted from 1. Raises AudioError."""
    if number is not None and number > channels:
        raise AudioError(f"expected a channel of {source} from 1 to {channels}, got {number}")
    return None if number is None else number - 1


@contextlib.contextmanager
def ctrl_c_stops(source: Stoppable) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the audio, and the final result comes; the second one does not wait."""

    def stop(number: int, frame: object) -> None:
        source.stop()
        signal.signal(number, before[number])

    heeded = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
    before: dict[int, Any] = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
