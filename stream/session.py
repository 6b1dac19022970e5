"""One stream of audio: what its user can ask of it. What becomes of the audio is in `pipeline.py`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any

from .audio.input import AudioInput, Chunk
from .events import EndReason, Event, Final
from .exclusive import Exclusive
from .in_thread import finish_in_thread
from .models.activity import ActivityPath
from .people.naming import Naming
from .pipeline import Models as Models
from .pipeline import Pipeline
from .publisher import Publisher
from .result import Result
from .stitching.config import StitcherConfig
from .stitching.profile import Profile
from .timeline.timeline import Timeline
from .windows import HOP_FRAMES

Chunks = Iterable[Chunk] | AsyncIterable[Chunk]


class Session:
    """One stream of audio. How the audio is cut into chunks does not change one event.

    One thread at a time: a second one is refused, and so is going on after a call that was interrupted.

    What is kept for hours, and the final result, come from a window every two seconds. A live session takes windows
    between them for who is speaking now, and forgets them. One that is not `live` has no events before its final
    result. Audio and features that nothing can ask for any more are dropped.

    As a context manager it ends with the block that it is opened for: `close()` gives the final result afterwards.
    """

    def __init__(
        self,
        models: Models,
        audio: AudioInput,
        config: StitcherConfig,
        timeline: Timeline,
        naming: Naming | None = None,
        activity: ActivityPath | None = None,
        *,
        hop_frames: int = HOP_FRAMES,
        live: bool = True,
    ):
        self._pipeline = Pipeline(
            models, audio, config, timeline, naming or Naming(), activity, hop_frames=hop_frames, live=live
        )
        self._result: Result | None = None
        self._publisher = Publisher()
        self._alone = Exclusive("a session")

    def feed(self, samples: Chunk) -> list[Event]:
        """Takes audio of any length and gives what became known by it.

        samples: float32/float64 in [-1, 1] or integers, (N,) or (N, channels), of NumPy or anything that NumPy can read
        (tensors, lists of floats); or bytes in the session's encoding.
        Raises AudioError for anything else; audio already received is kept and the session goes on.
        """
        with self._alone:
            return self._publisher.publish(self._pipeline.feed(samples))

    def gap(self, samples: int) -> list[Event]:
        """`samples` of the input were lost (a dropped callback): silence of the same length keeps the time true."""
        with self._alone:
            return self._publisher.publish(self._pipeline.gap(samples))

    def flush(self) -> list[Event]:
        """Ends the audio: what becomes known by the last samples. Empty when the audio has ended before."""
        with self._alone:
            return self._publisher.publish(self._pipeline.finish_audio())

    def close(self, reason: EndReason = "stop") -> Final:
        """The final result, over every sample received. Calling it again gives the same, with the names of now."""
        with self._alone:
            if self._result is None:
                self._pipeline.finish_audio()
                record = self._pipeline.decide()
                self._result = Result(self._pipeline.roster, self._publisher, record, self.position_s)
            return self._result.final(reason)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    async def stream(self, chunks: Chunks) -> AsyncIterator[Event]:
        """Every event of `chunks` (an iterable, asynchronous or not), the Final last; the event loop is not blocked.

        The engine computes in a thread, and an iterable that is not asynchronous waits for its audio in one; a chunk is
        taken when the one before it is done. A cancelled task ends when the chunk under way is computed; its events
        are lost, but the session can go on, or be closed for a final result that has all of it. A second cancellation
        does not wait.
        """
        async for chunk in _each(chunks):
            for event in await finish_in_thread(self.feed, chunk):
                yield event
        for event in await finish_in_thread(self.flush):
            yield event
        yield await finish_in_thread(self.close)

    def name(self, speaker: str, name: str | None, *, take: bool = False) -> list[Event]:
        """The user says who `speaker` (such as "S1") is, None for nobody known; returns the events of that.

        No later evidence overrules it. After `close()` the final result has the name too. Raises TurnstreamError for a
        speaker this stream does not have and for a name that cannot be used; CorrectionError, which says who that is,
        where another speaker has the name: `merge` the two, or `take` it from the other one.
        """
        return self._publisher.publish(self._pipeline.roster.name(speaker, name, self._pipeline.named_frame, take=take))

    def merge(self, speaker: str, into: str) -> list[Event]:
        """The user says that two speakers are one person: all of `speaker` is `into`'s, now and later.

        Returns what listeners have to know. Nothing that is heard later separates them again; `into` takes over the
        name that the user gave the other one, unless they have one. After `close()` the final result changes as well.
        Raises CorrectionError for a speaker this stream does not have, and for the same one twice.
        """
        with self._alone:
            if self._result:
                return self._result.merge(speaker, into, self._pipeline.named_frame)
            return self._publisher.publish(self._pipeline.roster.merge(speaker, into, self._pipeline.named_frame))

    def assign(self, turn: str, speaker: str) -> list[Event]:
        """The user says whose a turn (such as "T5") is: a speaker's, or "new" for somebody not known so far.

        Returns what listeners have to know. The turn is theirs for good, and still is when it grows; until `close()`
        the engine also learns from it, so that other speech of the voice may follow. Raises CorrectionError for a turn
        or a speaker that this stream does not have.
        """
        with self._alone:
            if self._result:
                return self._result.assign(turn, speaker)
            return self._publisher.publish(self._pipeline.roster.assign(turn, speaker, self._pipeline.named_frame))

    def undo(self) -> list[Event]:
        """Takes back the last `merge` or `assign` that stands; returns what listeners have to know.

        Raises CorrectionError where there is none.
        """
        with self._alone:
            if self._result:
                return self._result.undo(self._pipeline.named_frame, self._pipeline.decide)
            return self._publisher.publish(self._pipeline.roster.undo(self._pipeline.named_frame))

    def profile(self, speaker: str) -> Profile:
        """The voice of a speaker of this stream as it is known now.

        Raises TurnstreamError for a speaker this stream does not have, and for one who has said too little.
        """
        return self._pipeline.roster.profile(speaker)

    @property
    def hop_s(self) -> float:
        """Seconds of audio between two windows; the longest possible one that is not longer than what it is set to.

        It may change at any time. Raises TurnstreamError where it is out of range.
        """
        return self._pipeline.hop_s

    @hop_s.setter
    def hop_s(self, hop_s: float) -> None:
        self._pipeline.change_hop(hop_s)

    @property
    def names(self) -> dict[str, str]:
        """The names of the speakers who have one now: {"S1": "Anna"}."""
        return {f"S{speaker}": name for speaker, (name, _) in self._pipeline.roster.naming.names.items()}

    @property
    def voices(self) -> dict[str, Profile]:
        """The voices of all speakers who have said enough to have one: {"S1": ...}."""
        return {f"S{speaker}": voice for speaker, voice in self._pipeline.roster.voices().items()}

    def live_rttm(self, recording: str) -> str:
        """RTTM of everything committed so far, as it was first committed: what a listener learned in time."""
        return self.timeline.live_rttm(recording)

    @property
    def position_s(self) -> float:
        """Seconds of audio received, without the silence behind the end."""
        return self._pipeline.position_s

    @property
    def next_due_s(self) -> float:
        """Seconds of audio with which the next window or chunk is complete: until then nothing becomes known."""
        return self._pipeline.next_due_s

    @property
    def audio(self) -> AudioInput:
        """What takes the samples, and counts them."""
        return self._pipeline.audio

    @property
    def timeline(self) -> Timeline:
        """The turns, and what was said of them."""
        return self._pipeline.timeline

    def __getstate__(self) -> dict[str, Any]:
        """As snapshots hold it: the pipeline's state and its own in one."""
        return vars(self._pipeline) | {name: value for name, value in vars(self).items() if name != "_pipeline"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        own: dict[str, Any] = {name: state.pop(name) for name in ("_result", "_publisher", "_alone") if name in state}
        self._pipeline = object.__new__(Pipeline)
        vars(self._pipeline).update(state)
        vars(self).update(own)


async def _each(chunks: Chunks) -> AsyncIterator[Chunk]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        iterator = iter(chunks)
        while taken := await asyncio.to_thread(list, itertools.islice(iterator, 1)):
            yield taken[0]
