"""The engine's side of a session on the server: audio and requests taken in order, in the thread pool."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from ..events import EndReason, Event
from ..limits import SAMPLE_BYTES
from ..protocol.messages import Answer, Assign, Config, Merge, Name, Request, Undo
from ..session import Session
from .client_view import ClientView, statistics
from .journal import Journal
from .requests import answer_request
from .saved import Saved


@dataclass(frozen=True, slots=True)
class Lost:
    """Samples that were lost."""

    samples: int


@dataclass(frozen=True, slots=True)
class End:
    """No more audio, and why."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class Hop:
    """From now on another hop."""

    seconds: float


Item = bytes | Lost | Request | Hop | End
News = Event | Answer


class Worker:
    """Gives items to the engine and hands on the events for the client; called by one thread at a time."""

    def __init__(self, config: Config, engine: Session, view: ClientView):
        self.engine, self.view = engine, view
        self.processing_s = 0.0
        self.silent_s = 0.0
        self.resumes = 0
        self._config = config

    @classmethod
    def of(cls, config: Config, engine: Session, saved: Saved | None) -> Worker:
        """A new one, or one that goes on where it was written down."""
        worker = cls(config, engine, saved.view if saved else ClientView(config.provisional))
        if saved:
            worker.processing_s, worker.silent_s, worker.resumes = saved.processing_s, saved.silent_s, saved.resumes
        return worker

    def saved(self, tenant: str, journal: Journal, position: int) -> Saved:
        """To be written down, with the messages that came of the audio up to sample `position`."""
        times = self.processing_s, self.silent_s, self.resumes
        return Saved(tenant, self._config, self.engine, self.view, journal, position, *times)

    def take(self, items: list[Item]) -> list[News]:
        """What becomes known by these items."""
        begun_s = time.perf_counter()
        events = [event for item in items for event in self._take(item)]
        self.processing_s += time.perf_counter() - begun_s
        return events

    def _take(self, item: Item) -> Sequence[News]:
        match item:
            case bytes():
                if not item.strip(b"\0"):
                    frame_bytes = SAMPLE_BYTES[self._config.encoding] * self._config.channels
                    self.silent_s += len(item) / frame_bytes / self._config.sample_rate_hz
                return self.view.select(self.engine.feed(item))
            case Lost():
                return self.view.select(self.engine.gap(item.samples))
            case Name() | Merge() | Assign() | Undo():
                return answer_request(item, self.engine, self.view)
            case Hop():
                self.engine.hop_s = item.seconds
                return []
            case End():
                return self._end(item.reason)

    def _end(self, reason: EndReason) -> list[Event]:
        begun_s = time.perf_counter()
        rest = self.view.select(self.engine.flush())
        final = self.engine.close(reason)
        processing_s = self.processing_s + time.perf_counter() - begun_s
        counts, rate_hz = self.engine.audio.counts, self._config.sample_rate_hz
        numbers = statistics(counts, rate_hz, processing_s, self.silent_s, self.view.revisions, self.resumes)
        return [*rest, replace(final, statistics=numbers)]


def samples_of(item: Item, frame_bytes: int) -> int:
    """Samples per channel that the item stands for."""
    return len(item) // frame_bytes if isinstance(item, bytes) else item.samples if isinstance(item, Lost) else 0


def joined(items: list[Item]) -> list[Item]:
    """The items with neighboring pieces of audio as one."""
    whole: list[Item] = []
    for is_audio, run in itertools.groupby(items, lambda item: isinstance(item, bytes)):
        if is_audio:
            whole.append(b"".join(cast(Iterator[bytes], run)))
        else:
            whole.extend(run)
    return whole


def cut(item: Item, samples: int, frame_bytes: int) -> tuple[Item, Item]:
    """The first `samples` of audio or of a gap, and the rest of it."""
    if isinstance(item, bytes):
        return item[: samples * frame_bytes], item[samples * frame_bytes :]
    assert isinstance(item, Lost)
    return Lost(samples), Lost(item.samples - samples)
