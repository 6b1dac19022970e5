"""One stream of audio. The main path, top to bottom in this file:

samples -> audio -> ring -> windows -> segmentation -> embedding if needed -> stitchers -> timeline -> publisher
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from .ahead import F32, BlockModels, WindowsAhead
from .audio.fbank import FbankStream
from .audio.input import AudioInput, Chunk
from .audio.ring import RingBuffer
from .errors import TurnstreamError
from .events import EndReason, Event, Final
from .exclusive import Exclusive
from .in_thread import finish_in_thread
from .labels import Labels
from .models.activity import ActivityModels, ActivityPath, ActivityRecord, Gate, silence
from .models.segmentation import activity
from .people.naming import Naming
from .publisher import Publisher
from .result import Result
from .roster import Roster
from .stitching.config import StitcherConfig
from .stitching.profile import Profile
from .stitching.stitcher import CROP_REACH_FRAMES, Ints
from .stitching.stitchers import Stitchers, is_kept
from .timeline.records import FinalRecord, Record
from .timeline.timeline import Timeline
from .windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_FRAMES,
    RECORD_FRAMES,
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    WindowSchedule,
    hop_at_most,
    hop_seconds,
)

Records = list[Record | ActivityRecord]
Chunks = Iterable[Chunk] | AsyncIterable[Chunk]


class Models(ActivityModels, BlockModels, Protocol):
    """What a session needs of the models; NumPy in, NumPy out. Of ActivityModels nothing without an activity path, of
    BlockModels nothing where the session is live."""

    def initial_state(self) -> Any:
        """What the segmentation keeps of one stream from window to window."""

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """Log-probabilities (589, 7) of the stream's next window (160000,), and the state after it."""

    def embed(self, crops: list[F32]) -> F32:
        """Unit-norm speaker embeddings (len(crops), 192) of fbank crops, each (rows, 80)."""


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
        self.audio = audio
        self.timeline = timeline
        self._models = models
        self._activity = activity
        self._schedule = WindowSchedule(hop_frames if live else RECORD_FRAMES)
        self._ring = RingBuffer(WINDOW_SAMPLES + RECORD_FRAMES * FRAME_SAMPLES)
        self._fbank = FbankStream()
        self._live = live
        self._stitchers = Stitchers(config)
        self._roster = Roster(timeline, self._stitchers, naming or Naming())
        seen = activity.record_gate.seen if activity else None
        self._ahead = None if live else WindowsAhead(models, self._stitchers.record, self._fbank, seen)
        self._state = models.initial_state()
        self._end_sample: int | None = None  # length of the stream, once it has ended
        self._named_frame = 0  # newest frame decided
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
            self._check_open()
            return self._publisher.publish(self._take(self.audio.feed(samples)))

    def gap(self, samples: int) -> list[Event]:
        """`samples` of the input were lost (a dropped callback): silence of the same length keeps the time true."""
        with self._alone:
            self._check_open()
            return self._publisher.publish(self._take(self.audio.gap(samples)))

    def flush(self) -> list[Event]:
        """Ends the audio: what becomes known by the last samples. Empty when the audio has ended before."""
        with self._alone:
            return self._publisher.publish(self._finish_audio())

    def close(self, reason: EndReason = "stop") -> Final:
        """The final result, over every sample received. Calling it again gives the same, with the names of now."""
        with self._alone:
            if self._result is None:
                self._finish_audio()
                self._result = Result(self._roster, self._publisher, self._decide(), self.position_s)
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
        return self._publisher.publish(self._roster.name(speaker, name, self._named_frame, take=take))

    def merge(self, speaker: str, into: str) -> list[Event]:
        """The user says that two speakers are one person: all of `speaker` is `into`'s, now and later.

        Returns what listeners have to know. Nothing that is heard later separates them again; `into` takes over the
        name that the user gave the other one, unless they have one. After `close()` the final result changes as well.
        Raises CorrectionError for a speaker this stream does not have, and for the same one twice.
        """
        with self._alone:
            if self._result:
                return self._result.merge(speaker, into, self._named_frame)
            return self._publisher.publish(self._roster.merge(speaker, into, self._named_frame))

    def assign(self, turn: str, speaker: str) -> list[Event]:
        """The user says whose a turn (such as "T5") is: a speaker's, or "new" for somebody not known so far.

        Returns what listeners have to know. The turn is theirs for good, and still is when it grows; until `close()`
        the engine also learns from it, so that other speech of the voice may follow. Raises CorrectionError for a turn
        or a speaker that this stream does not have.
        """
        with self._alone:
            if self._result:
                return self._result.assign(turn, speaker)
            return self._publisher.publish(self._roster.assign(turn, speaker, self._named_frame))

    def undo(self) -> list[Event]:
        """Takes back the last `merge` or `assign` that stands; returns what listeners have to know.

        Raises CorrectionError where there is none.
        """
        with self._alone:
            if self._result:
                return self._result.undo(self._named_frame, self._decide)
            return self._publisher.publish(self._roster.undo(self._named_frame))

    def profile(self, speaker: str) -> Profile:
        """The voice of a speaker of this stream as it is known now.

        Raises TurnstreamError for a speaker this stream does not have, and for one who has said too little.
        """
        return self._roster.profile(speaker)

    @property
    def hop_s(self) -> float:
        """Seconds of audio between two windows; the longest possible one that is not longer than what it is set to.

        It may change at any time. Raises TurnstreamError where it is out of range.
        """
        return hop_seconds(self._schedule.hop_samples // FRAME_SAMPLES)

    @hop_s.setter
    def hop_s(self, hop_s: float) -> None:
        frames = hop_at_most(hop_s)
        if self._live:
            self._schedule.change_hop(frames, self._ring.end)

    @property
    def names(self) -> dict[str, str]:
        """The names of the speakers who have one now: {"S1": "Anna"}."""
        return {f"S{speaker}": name for speaker, (name, _) in self._roster.naming.names.items()}

    @property
    def voices(self) -> dict[str, Profile]:
        """The voices of all speakers who have said enough to have one: {"S1": ...}."""
        return {f"S{speaker}": voice for speaker, voice in self._roster.voices().items()}

    def live_rttm(self, recording: str) -> str:
        """RTTM of everything committed so far, as it was first committed: what a listener learned in time."""
        return self.timeline.live_rttm(recording)

    @property
    def position_s(self) -> float:
        """Seconds of audio received, without the silence behind the end."""
        return (self._ring.end if self._end_sample is None else self._end_sample) / SAMPLE_RATE_HZ

    @property
    def next_due_s(self) -> float:
        """Seconds of audio with which the next window or chunk is complete: until then nothing becomes known."""
        return self._next_end / SAMPLE_RATE_HZ

    @property
    def _next_end(self) -> int:
        """Sample at which the next window is complete or, before it, the activity path's next chunk."""
        window_end = self._schedule.next_end
        return min(window_end, self._activity.next_end) if self._activity else window_end

    def _horizon(self, end_frame: int) -> int:
        """`end_frame`, but not before the stream, nor so late that a turn could outlast the audio."""
        if self._end_sample is not None:
            end_frame = min(end_frame, (self._end_sample - FRAME_OFFSET_SAMPLES) // FRAME_SAMPLES)
        return max(0, end_frame)

    def _check_open(self) -> None:
        if self._end_sample is not None:
            raise TurnstreamError(f"the stream ended at {self.position_s:.3f} s: open a new session for more audio")

    def _decide(self) -> FinalRecord:
        """The final result of all that was heard."""
        if self._ahead:
            self._ahead.finish()
        labels = self._stitchers.finish(self._embed)
        return self._roster.finish(labels, self._horizon(labels.end_frame))

    def _finish_audio(self) -> Records:
        if self._end_sample is not None:
            return []
        records = self._take(self.audio.flush())
        self._end_sample = end = self._ring.end
        while self._schedule.kept_end < end:  # silence follows, until the frames of a kept window cover every sample
            records += self._take(np.zeros(self._schedule.next_end - self._ring.end, np.float32))
        while self._activity and self._activity.behind(self._horizon(end)):
            records += self._take(np.zeros(self._activity.next_end - self._ring.end, np.float32))
        return records

    def _take(self, samples: F32) -> Records:
        records: Records = []
        while len(samples):
            piece, samples = np.split(samples, [self._next_end - self._ring.end])
            self._ring.append(piece)
            self._fbank.append(piece)
            if self._activity and self._ring.end == self._activity.next_end:
                records += self._listen(self._activity)
            if self._ring.end == self._schedule.next_end:
                start = self._schedule.take()
                gate = self._gate(start)
                if gate is None or gate.lets_through(start):
                    records += self._window(start)
        return records

    def _gate(self, start_sample: int) -> Gate | None:
        """Windows that are kept have one of their own: whether they are computed must not depend on the others."""
        if self._activity is None:
            return None
        return self._activity.record_gate if is_kept(start_sample // FRAME_SAMPLES) else self._activity.gate

    def _listen(self, path: ActivityPath) -> Records:
        """What the activity path hears in the newest chunk, an onset, and the window that waited for it."""
        known = self._horizon(path.next_end // FRAME_SAMPLES)
        records: Records = list(path.hear(self._ring, known))
        onset = path.onset(self.timeline.horizon_frame)
        if onset and self._live and self._end_sample is None:  # at the end no window would come to take it over
            records += self.timeline.onset(*onset)
        for verdict in filter(None, (path.gate.decided(), path.record_gate.decided())):
            start, speech = verdict
            records += self._window(start) if speech else self._skip(start)
        return records

    def _skip(self, start_sample: int) -> Records:
        """Nobody speaks in this window: its labels are known without it."""
        end_frame = start_sample // FRAME_SAMPLES + WINDOW_FRAMES
        self._drop(end_frame)
        heard = self._activity and self._activity.gate.hears(start_sample)  # in a window that is not kept
        return self._update(silence(start_sample), end_frame) if self._live and not heard else []

    def _window(self, start_sample: int) -> Records:
        window = self._ring.read(start_sample, start_sample + WINDOW_SAMPLES)
        if self._ahead:
            self._ahead.add(window, start_sample)
            return []
        logp, self._state = self._models.segment(window, start_sample, self._state)
        first_frame, active = start_sample // FRAME_SAMPLES, activity(logp)
        if self._activity:
            self._activity.seen(first_frame, active, is_kept(first_frame))
        vectors = self._embed(self._stitchers.observe(first_frame, active))
        self._drop(first_frame + WINDOW_FRAMES)
        return self._update(self._stitchers.assign(vectors), first_frame + WINDOW_FRAMES)

    def _embed(self, crops: list[Ints]) -> F32:
        """Where both stitchers ask for the same crop it is embedded once."""
        numbers: dict[bytes, int] = {}
        order = [numbers.setdefault(crop.tobytes(), len(numbers)) for crop in crops]
        rows = [self._fbank.rows_of_frames(np.frombuffer(key, np.int64)) for key in numbers]
        vectors = self._models.embed(rows)
        return vectors[order] if rows else vectors

    def _update(self, labels: Labels, end_frame: int) -> Records:
        """The records of the newest window's labels."""
        self._named_frame = self._horizon(end_frame)
        return [*self._roster.update(labels, self._named_frame)]

    def _drop(self, end_frame: int) -> None:
        """Forget what lies before anything that a window or an embedding can still ask for."""
        self._ring.drop_before(self._schedule.next_start)
        self._fbank.drop_before(end_frame - CROP_REACH_FRAMES)


async def _each(chunks: Chunks) -> AsyncIterator[Chunk]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        iterator = iter(chunks)
        while taken := await asyncio.to_thread(list, itertools.islice(iterator, 1)):
            yield taken[0]
