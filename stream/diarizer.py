"""The engine: `Diarizer` holds the models and their threads, `Session` is one stream of audio.

The main path, top to bottom in this file:
samples -> audio -> ring -> windows -> segmentation -> embedding when needed -> stitcher -> timeline -> events
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .audio.input import AudioInput, Chunk
from .audio.ring import RingBuffer
from .errors import EnrollmentError, TurnstreamError
from .events import Event, Final, Speaker
from .exclusive import Exclusive
from .labels import Labels
from .models.activity import ActivityModels, ActivityPath, silence
from .models.batcher import Batcher, ModelClient
from .models.embedding import FbankStream
from .models.segmentation import activity
from .people.enrollment import sole_voice
from .people.naming import Known, Naming
from .people.person import Person, weights_id
from .stitching.config import StitcherConfig
from .stitching.profile import Profile
from .stitching.stitcher import CROP_REACH_FRAMES, Stitcher
from .timeline.timeline import Timeline
from .weights.store import embedding_weights, segmentation_weights
from .windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    WindowSchedule,
)

F32 = NDArray[np.float32]


class Diarizer:
    """Loads the weights once, warms up, and makes sessions. Use as a context manager, or call `close()`.

    segmentation, embedding: own checkpoints (`.bin`, `.pt`, `.ckpt`, `.safetensors`); by default the published
    weights, fetched on first use. Raises WeightsError when they cannot be had.
    """

    def __init__(self, segmentation: Path | str | None = None, embedding: Path | str | None = None):
        voices = embedding_weights(embedding)
        self.voice_model = weights_id(voices)  # profiles made with other weights cannot be compared
        self.models = Batcher(segmentation_weights(segmentation), voices)

    def session(
        self,
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        channels: int = 1,
        channel: int | None = None,
        encoding: str = "pcm_s16le",
        latency_s: float = 1.0,
        revision_interval_s: float = 1.0,
        revision_reach_s: float = math.inf,
        stitcher: StitcherConfig | None = None,
        known: Sequence[Person] = (),
        activity: bool = False,
        models: ModelClient | None = None,
    ) -> Session:
        """A new stream; many can be open at once, in as many threads.

        What the numbers mean: `AudioInput`, `Timeline`, `StitcherConfig`. Speakers who sound like somebody in `known`
        get his name. Raises TurnstreamError for a number out of range and for a person enrolled with another embedding
        model.

        activity: tell as well whether anyone speaks and whether speech overlaps, every 0.1 s (`Activity` events) and
        onsets of speech within 0.3 s; and compute no window in which nobody speaks.

        models: a client of `self.models`, where the stream's requests are not always live.
        """
        audio = AudioInput(sample_rate_hz, channels, encoding, channel)
        timeline = Timeline(latency_s, revision_interval_s=revision_interval_s, revision_reach_s=revision_reach_s)
        naming = Naming([Known(person.name, person.profile_for(self.voice_model)) for person in known])
        path = ActivityPath(models or self.models) if activity else None
        return Session(models or self.models, audio, Stitcher(stitcher), timeline, naming, path)

    def enroll(self, samples: Chunk, *, sample_rate_hz: int = SAMPLE_RATE_HZ, channels: int = 1) -> Profile:
        """The voice of the one person who talks in these samples (see `Session.feed`); save it with a PeopleStore.

        Raises EnrollmentError where several people talk, or nobody for long enough.
        """
        session = self.session(sample_rate_hz=sample_rate_hz, channels=channels)
        session.feed(samples)
        return sole_voice(session)

    def close(self) -> None:
        """Ends the model threads; sessions still open cannot go on."""
        self.models.close()

    def __enter__(self) -> Diarizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Models(ActivityModels, Protocol):
    """What a session needs of the models; NumPy in, NumPy out. Of ActivityModels nothing without an activity path."""

    def initial_state(self) -> Any:
        """What the segmentation keeps of one stream from window to window."""

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """Log-probabilities (589, 7) of the stream's next window (160000,), and the state after it."""

    def embed(self, crops: list[F32]) -> F32:
        """Unit-norm speaker embeddings (len(crops), 192) of fbank crops, each (rows, 80)."""


class Session:
    """One stream of audio. How the audio is cut into chunks does not change one event.

    One thread at a time: a second one is refused, and so is going on after a call that was interrupted.

    Memory is bounded: audio and fbank rows older than any window or embedding can ask for are dropped. A session that
    is not `live` has no events before its final result (see `turnstream.offline`).
    """

    def __init__(
        self,
        models: Models,
        audio: AudioInput,
        stitcher: Stitcher,
        timeline: Timeline,
        naming: Naming | None = None,
        activity: ActivityPath | None = None,
        *,
        live: bool = True,
    ):
        self.audio = audio
        self._live = live
        self.timeline = timeline
        self._models = models
        self._activity = activity
        self._stitcher = stitcher
        self._naming = naming or Naming()
        self._schedule = WindowSchedule()
        self._ring = RingBuffer(WINDOW_SAMPLES + HOP_SAMPLES)
        self._fbank = FbankStream()
        self._state = models.initial_state()
        self._end_sample: int | None = None  # length of the stream, once it has ended
        self._named_frame = 0  # newest frame decided
        self._final: Final | None = None
        self._alone = Exclusive("a session")

    def feed(self, samples: Chunk) -> list[Event]:
        """Takes audio of any length and gives what became known by it.

        samples: float32/float64 in [-1, 1] or integers, (N,) or (N, channels); or bytes in the session's encoding.
        Raises AudioError for anything else; audio already received is kept and the session goes on.
        """
        with self._alone:
            self._check_open()
            return self._take(self.audio.feed(samples))

    def gap(self, samples: int) -> list[Event]:
        """`samples` of the input were lost (a dropped callback): silence of the same length keeps the time true."""
        with self._alone:
            self._check_open()
            return self._take(self.audio.gap(samples))

    def flush(self) -> list[Event]:
        """Ends the audio: what becomes known by the last samples. Empty when the audio has ended before."""
        with self._alone:
            return self._flush()

    def close(self) -> Final:
        """The final result, over every sample received. Calling it again gives the same result."""
        with self._alone:
            return self._final or self._finish()

    def name(self, speaker: int, name: str | None) -> list[Event]:
        """The user says who a speaker is (None: nobody known): the events of that. Nothing overrules it afterwards.

        Another speaker who had the name loses it. After `close()` the final result has the name too. Raises
        TurnstreamError for a speaker this stream does not have and for a name that cannot be used.
        """
        self._check_speaker(speaker)
        events = self._naming.tell(speaker, name, self._named_frame)
        if self._final is not None:
            self._final = replace(self._final, names=self.names)
        return list(events)

    def profile(self, speaker: int) -> Profile:
        """The voice of a speaker of this stream as it is known now.

        Raises TurnstreamError for a speaker this stream does not have, and where he has said too little.
        """
        self._check_speaker(speaker)
        if (voice := self.voices.get(speaker)) is None:
            raise EnrollmentError(f"expected clean speech of S{speaker}, got none that is long enough for a voice")
        return voice

    @property
    def names(self) -> tuple[tuple[int, str, float], ...]:
        """(speaker, name, confidence) of the speakers who have a name now, by number."""
        return self._naming.names

    @property
    def voices(self) -> dict[int, Profile]:
        """The voices of all speakers who have said enough to have one, by number."""
        numbers = self.timeline.numbers
        return {numbers[own]: voice for own, voice in self._stitcher.profiles().items() if own in numbers}

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

    def _flush(self) -> list[Event]:
        if self._end_sample is not None:
            return []
        events = self._take(self.audio.flush())
        self._end_sample = end = self._ring.end
        while self._schedule.frames_end < end:  # silence follows, until the frames of a window cover every sample
            events += self._take(np.zeros(self._schedule.next_end - self._ring.end, np.float32))
        while self._activity and self._activity.behind(self._horizon(end)):
            events += self._take(np.zeros(self._activity.next_end - self._ring.end, np.float32))
        return events

    def _finish(self) -> Final:
        self._flush()
        labels = self._stitcher.finish()
        end_frame = self._horizon(labels.end_frame)
        final = self.timeline.finish(labels, end_frame)
        for old, into in self.timeline.heirs.items():
            self._naming.merge(old, into, end_frame)
        self._naming.finish(self.voices, end_frame)
        self._final = replace(final, names=self.names)
        return self._final

    def _check_speaker(self, speaker: int) -> None:
        numbers = sorted({*self.timeline.speakers, *self.timeline.numbers.values()})
        if speaker not in numbers:
            found = f"one of {', '.join(f'S{n}' for n in numbers)}" if numbers else "a stream that has speakers"
            raise TurnstreamError(f"expected {found}, got S{speaker}")

    def _horizon(self, end_frame: int) -> int:
        """`end_frame`, but not before the stream, nor so late that a turn could outlast the audio."""
        if self._end_sample is not None:
            end_frame = min(end_frame, (self._end_sample - FRAME_OFFSET_SAMPLES) // FRAME_SAMPLES)
        return max(0, end_frame)

    def _check_open(self) -> None:
        if self._end_sample is not None:
            raise TurnstreamError(f"the stream ended at {self.position_s:.3f} s: open a new session for more audio")

    def _take(self, samples: F32) -> list[Event]:
        events: list[Event] = []
        while len(samples):
            piece, samples = np.split(samples, [self._next_end - self._ring.end])
            self._append(piece)
            if self._activity and self._ring.end == self._activity.next_end:
                events += self._listen(self._activity)
            if self._ring.end == self._schedule.next_end:
                start = self._schedule.take()
                if self._activity is None or self._activity.gate.lets_through(start):
                    events += self._window(start)
        return events

    def _listen(self, path: ActivityPath) -> list[Event]:
        """What the activity path hears in the newest chunk, an onset, and the window that waited for it."""
        known = self._horizon(path.next_end // FRAME_SAMPLES)
        events: list[Event] = list(path.hear(self._ring, known))
        onset = path.onset(self.timeline.horizon_frame)
        if onset and self._live and self._end_sample is None:  # at the end no window would come to take it over
            events += self.timeline.onset(*onset)
        if (verdict := path.gate.decided()) is not None:
            start, speech = verdict
            events += self._window(start) if speech else self._skip(start)
        return events

    def _skip(self, start_sample: int) -> list[Event]:
        """Nobody speaks in this window: its labels are known without it."""
        end_frame = start_sample // FRAME_SAMPLES + WINDOW_FRAMES
        self._drop(end_frame)
        return self._tell(silence(start_sample), end_frame) if self._live else []

    def _append(self, samples: F32) -> None:
        self._ring.append(samples)
        self._fbank.append(samples)

    def _window(self, start_sample: int) -> list[Event]:
        window = self._ring.read(start_sample, start_sample + WINDOW_SAMPLES)
        first_frame = start_sample // FRAME_SAMPLES
        end_frame = first_frame + WINDOW_FRAMES
        logp, self._state = self._models.segment(window, start_sample, self._state)
        active = activity(logp)
        if self._activity:
            self._activity.gate.seen(first_frame, active)
        crops = self._stitcher.observe(first_frame, active)
        vectors = self._models.embed([self._fbank.rows_of_frames(crop) for crop in crops])
        self._drop(end_frame)
        if self._live:
            return self._tell(self._stitcher.assign(vectors), end_frame)
        self._stitcher.remember(vectors)
        return []

    def _tell(self, labels: Labels, end_frame: int) -> list[Event]:
        """The events of the newest window's labels."""
        self._named_frame = self._horizon(end_frame)
        events = self.timeline.update(labels, self._named_frame)
        for event in [event for event in events if isinstance(event, Speaker)]:
            if event.into is not None:
                events += self._naming.merge(event.id, event.into, self._named_frame)
        if self._naming.listens:
            events += self._naming.update(self.voices, self._named_frame)
        return events

    def _drop(self, end_frame: int) -> None:
        """Forget what lies before anything that a window or an embedding can still ask for."""
        self._ring.drop_before(self._schedule.next_start)
        self._fbank.drop_before(end_frame - CROP_REACH_FRAMES)
