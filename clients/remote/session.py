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
from turnstream.events import Activity, Event, Final, Revision, Speaker, Turn
from turnstream.protocol import messages as protocol

from ..sources.reader import Floats
from .client import Client
from .connection import ClientError
from .live_turns import LiveTurns

T = TypeVar("T")

POLL_S = 0.1

ENDINGS = {
    "idle": "the server heard nothing for too long",
    "session_too_long": "the session reached the longest time that the server allows",
    "shutdown": "the server was stopped",
}


@dataclass
class RemoteAudio:
    """What went in; its final result says what the server repaired."""

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
        hop_s: float = 0.5,
        latency_s: float = 1.0,
        activity: bool = False,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        known: Sequence[str] = (),
        token: str | None = None,
    ) -> None:
        self.audio = RemoteAudio(sample_rate_hz)
        self._live_turns = LiveTurns()
        self.status: protocol.Status | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="websocket", daemon=True)
        self._channels = slice(None) if channel is None else slice(channel, channel + 1)
        self._sent_channels = channels if channel is None else 1
        start = protocol.Start(
            encoding="pcm_f32le",
            sample_rate_hz=sample_rate_hz,
            channels=self._sent_channels,
            hop_s=hop_s,
            latency_s=latency_s,
            activity=activity,
            min_speakers=min_speakers,
            max_speakers=max_speakers,
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
        """Why the server takes no more audio, though nobody asked it to stop; None otherwise."""
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

    def name(self, speaker: str, name: str | None, *, take: bool = False) -> list[Event]:
        """See `Client.name`; what became known so far."""
        self._ask(self._client.name(speaker, name, take=take))
        return self._take()

    def merge(self, speaker: str, into: str) -> list[Event]:
        """See `Client.merge`; what became known so far."""
        self._ask(self._client.merge(speaker, into))
        return self._take()

    def assign(self, turn: str, speaker: str) -> list[Event]:
        """See `Client.assign`; what became known so far."""
        self._ask(self._client.assign(turn, speaker))
        return self._take()

    def undo(self) -> list[Event]:
        """See `Client.undo`; what became known so far."""
        self._ask(self._client.undo())
        return self._take()

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
        """The audio has ended; what became known by its rest, as far as the server could report it."""
        with contextlib.suppress(ClientError):
            self._ask(self._client.finish())
        events = self._take()
        self._live_turns.end(self.position_s)
        return events

    def close(self) -> Final:
        """The final result; where the session was lost, what was known then."""
        final = self._client.final
        if final is None:
            return self._live_turns.final(self.position_s)
        if (statistics := final.statistics) is not None:
            repaired, clipped = statistics.repaired_values, statistics.clipped_values
            self.audio.counts = replace(self.audio.counts, repaired_values=repaired, clipped_values=clipped)
        return final

    def live_rttm(self, recording: str) -> str:
        """RTTM of everything committed so far, as it was first committed."""
        return self._live_turns.live_rttm(recording)

    def _send(self, data: bytes) -> list[Event]:
        if self.ended:
            raise ClientError(f"{self.ended}: what came later was not heard")
        self._ask(self._client.send(data))
        return self._take()

    def _take(self) -> list[Event]:
        messages = self._ask(_waiting(self._client))
        self.status = next((m for m in reversed(messages) if isinstance(m, protocol.Status)), self.status)
        events: list[Event] = [m for m in messages if isinstance(m, Turn | Revision | Speaker | Activity)]
        self._live_turns.apply(events)
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
