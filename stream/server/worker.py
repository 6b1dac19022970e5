"""The engine's side of a session on the server: audio and requests taken in order, in the thread pool."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from ..diarizer import Session
from ..events import speaker_number
from ..limits import SAMPLE_BYTES
from ..protocol.messages import Config, Name, ServerMessage
from .messages import Teller, statistics


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that were lost."""

    samples: int


@dataclass(frozen=True, slots=True)
class End:
    """No more audio, and why."""

    reason: str


Item = bytes | Gap | Name | End


class Worker:
    """Gives items to the engine and makes messages of what it says; called by one thread at a time."""

    def __init__(self, file_id: str, config: Config, engine: Session, teller: Teller):
        self.engine, self.teller = engine, teller
        self.processing_s = 0.0
        self.silent_s = 0.0
        self.resumes = 0
        self._file_id, self._config = file_id, config

    def take(self, items: list[Item]) -> list[ServerMessage]:
        """What becomes known by these items."""
        begun_s = time.perf_counter()
        messages = [message for item in items for message in self._take(item)]
        self.processing_s += time.perf_counter() - begun_s
        return messages

    def _take(self, item: Item) -> list[ServerMessage]:
        match item:
            case bytes():
                if not item.strip(b"\0"):
                    frame_bytes = SAMPLE_BYTES[self._config.encoding] * self._config.channels
                    self.silent_s += len(item) / frame_bytes / self._config.sample_rate_hz
                return self.teller.tell(self.engine.feed(item))
            case Gap():
                return self.teller.tell(self.engine.gap(item.samples))
            case Name():
                speaker = speaker_number(item.speaker)
                assert speaker is not None
                return self.teller.tell(self.engine.name(speaker, item.name))
            case End():
                return self._end(item.reason)

    def _end(self, reason: str) -> list[ServerMessage]:
        begun_s = time.perf_counter()
        rest = self.teller.tell(self.engine.flush())
        final = self.engine.close()
        processing_s = self.processing_s + time.perf_counter() - begun_s
        counts, rate_hz = self.engine.audio.counts, self._config.sample_rate_hz
        numbers = statistics(counts, rate_hz, processing_s, self.silent_s, self.teller.revisions, self.resumes)
        return [*rest, self.teller.final(final, reason, self.engine.position_s, self._file_id, numbers)]


def samples_of(item: Item, frame_bytes: int) -> int:
    """Samples per channel that the item stands for."""
    return len(item) // frame_bytes if isinstance(item, bytes) else item.samples if isinstance(item, Gap) else 0


def joined(items: list[Item]) -> list[Item]:
    """The items with neighbouring pieces of audio as one."""
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
    assert isinstance(item, Gap)
    return Gap(samples), Gap(item.samples - samples)
