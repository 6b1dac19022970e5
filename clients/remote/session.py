"""A session on a server that is used like one of the engine here: without asyncio, its events in frames."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, TypeVar

from turnstream.audio.input import AudioCounts
from turnstream.events import Event, Final
from turnstream.protocol import messages as protocol

from ..sources.file import Floats
from .client import Client
from .connection import ClientError
from .told import LiveTurns, engine_events, final_of

T = TypeVar("T")

POLL_S = 0.1

ENDINGS = {
    "idle": "the server heard nothing for too long",
    "session_too_long": "the session reached the longest time that the server allows",
    "shutdown": "the server was stopped",
}


@dataclass
class RemoteAudio:
    """What went in; of what the server repaired, its final result tells."""

    rate_hz: int
    counts: AudioCounts = field(default_factory=AudioCounts)


class RemoteSession:
    """Open while used as a context manager. ClientError where the server cannot be reached or the session is lost.

    Samples travel as float32: the server hears exactly what was given here. channel: send only this one, from 0.
    """

    def __init__(
        self,
        url: str,
        *,
        sample_rate_hz: int,
        channels: int,
        channel: int | None = None,
        latency_s: float = 1.0,
        activity: bool = False,
        known: Sequence[str] = (),
        token: str | None = None,
    ) -> None:
        self.audio = RemoteAudio(sample_rate_hz)
        self.timeline = LiveTurns()
        self.status: protocol.Status | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="websocket", daemon=True)
        self._channels = slice(None) if channel is None else slice(channel, channel + 1)
        self._sent_channels = channels if channel is None else 1
        start = protocol.Start(
            encoding="pcm_f32le",
            sample_rate_hz=sample_rate_hz,
            channels=self._sent_channels,
            latency_s=latency_s,
            activity=activity,
            speakers=tuple(known),
        )
        self._client = Client(url, start, token=token)

    def __enter__(self) -> RemoteSession:
        self._thread.start()
        try:
            self._ask(self._client.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def position_s(self) -> float:
        """Seconds of audio given."""
        return self.audio.counts.received_samples / self.audio.rate_hz

    @property
    def trouble(self) -> str | None:
        """Why there is no connection just now, or None."""
        return self._client.trouble

    @property
    def ended(self) -> str | None:
        """Why the server takes no more audio, though it was not told so; None otherwise."""
        final = self._client.final
        return None if final is None else ENDINGS.get(final.reason)

    def feed(self, samples: Floats) -> list[Event]:
        """Samples (N, C) float32; what became known so far. Waits where the server is behind."""
        self._count(len(samples))
        return self._send(samples[:, self._channels].astype("<f4").tobytes())

    def gap(self, samples: int) -> list[Event]:
        """Samples per channel that were lost: the server hears silence; what became known so far."""
        self._count(samples)
        counts = self.audio.counts
        self.audio.counts = replace(counts, gap_samples=counts.gap_samples + samples)
        return self._send(bytes(4 * self._sent_channels * samples))

    def rest(self) -> Iterator[list[Event]]:
        """The audio has ended: what becomes known, as it comes, until the final result is there. Raises ClientError."""
        finished = asyncio.run_coroutine_threadsafe(self._client.finish(), self._loop)
        while not finished.done():
            wait([finished], timeout=POLL_S)
            yield self._take()
        finished.result()
        if self.ended:
            raise ClientError(self.ended)

    def flush(self) -> list[Event]:
        """The audio has ended; what became known by its rest, as far as the server could tell."""
        with contextlib.suppress(ClientError):
            self._ask(self._client.finish())
        events = self._take()
        self.timeline.end(self.position_s)
        return events

    def close(self) -> Final:
        """The final result; where the session was lost, what was known then."""
        told = self._client.final
        if told is None:
            return self.timeline.final()
        repaired, clipped = told.statistics.repaired_values, told.statistics.clipped_values
        self.audio.counts = replace(self.audio.counts, repaired_values=repaired, clipped_values=clipped)
        return final_of(told)

    def _send(self, data: bytes) -> list[Event]:
        if self.ended:
            raise ClientError(f"{self.ended}: what came later was not heard")
        self._ask(self._client.send(data))
        return self._take()

    def _take(self) -> list[Event]:
        told = self._ask(_waiting(self._client))
        self.status = next((event for event in reversed(told) if isinstance(event, protocol.Status)), self.status)
        events = engine_events(told)
        self.timeline.apply(events)
        return events

    def _count(self, samples: int) -> None:
        counts = self.audio.counts
        self.audio.counts = replace(counts, received_samples=counts.received_samples + samples)

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._ask(self._client.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _waiting(client: Client) -> list[Any]:
    return list(client.waiting())
