"""The engine: `Diarizer` holds the weights and the one thread that owns MLX, `Session` is one stream of audio.

The main path, top to bottom in this file:
samples -> audio -> ring -> windows -> segmentation -> embedding when needed -> stitcher -> timeline -> events
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioInput, Chunk
from stream.batcher import Batcher
from stream.embedding import FbankStream
from stream.errors import TurnstreamError
from stream.events import Event, Final
from stream.ring import RingBuffer
from stream.segmentation import activity
from stream.stitcher import CROP_REACH_FRAMES, Stitcher
from stream.stitcher_config import StitcherConfig
from stream.timeline import Timeline
from stream.weights import embedding_weights, segmentation_weights
from stream.windows import (
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
        self.models = Batcher(segmentation_weights(segmentation), embedding_weights(embedding))

    def session(
        self,
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        channels: int = 1,
        channel: int | None = None,
        encoding: str = "pcm_s16le",
        latency_s: float = 1.0,
        stitcher: StitcherConfig | None = None,
        models: Models | None = None,
    ) -> Session:
        """A new stream; many can be open at once, in as many threads. Raises TurnstreamError for a number out of range.

        models: a lane of `self.models`, where the stream's requests are not always live.
        """
        audio = AudioInput(sample_rate_hz, channels, encoding, channel)
        return Session(models or self.models, audio, Stitcher(stitcher or StitcherConfig()), Timeline(latency_s))

    def close(self) -> None:
        """Ends the model thread; sessions still open cannot go on."""
        self.models.close()

    def __enter__(self) -> Diarizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Models(Protocol):
    """What a session needs of the models; NumPy in, NumPy out."""

    def initial_state(self) -> Any:
        """What the segmentation keeps of one stream from window to window."""

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """Log-probabilities (589, 7) of the stream's next window (160000,), and the state after it."""

    def embed(self, crops: list[F32]) -> F32:
        """Unit-norm speaker embeddings (len(crops), 192) of fbank crops, each (rows, 80)."""


class Session:
    """One stream of audio. How the audio is cut into chunks does not change one event.

    Memory is bounded: audio and fbank rows older than any window or embedding can ask for are dropped.
    """

    def __init__(self, models: Models, audio: AudioInput, stitcher: Stitcher, timeline: Timeline):
        self.audio = audio
        self.timeline = timeline
        self._models = models
        self._stitcher = stitcher
        self._schedule = WindowSchedule()
        self._ring = RingBuffer(WINDOW_SAMPLES + HOP_SAMPLES)
        self._fbank = FbankStream()
        self._state = models.initial_state()
        self._end_sample: int | None = None  # length of the stream, once it has ended
        self._final: Final | None = None

    def feed(self, samples: Chunk) -> list[Event]:
        """Takes audio of any length and gives what became known by it.

        samples: float32/float64 in [-1, 1] or integers, (N,) or (N, channels); or bytes in the session's encoding.
        Raises AudioError for anything else; audio already received is kept and the session goes on.
        """
        self._check_open()
        return self._take(self.audio.feed(samples))

    def gap(self, samples: int) -> list[Event]:
        """`samples` of the input were lost (a dropped callback): silence of the same length keeps the time true."""
        self._check_open()
        return self._take(self.audio.gap(samples))

    def flush(self) -> list[Event]:
        """Ends the audio: what becomes known by the last samples. Empty when the audio has ended before."""
        if self._end_sample is not None:
            return []
        events = self._take(self.audio.flush())
        self._end_sample = end = self._ring.end
        while self._schedule.frames_end < end:  # silence follows, until the frames of a window cover every sample
            self._append(np.zeros(self._schedule.next_end - self._ring.end, np.float32))
            events += self._window(self._schedule.take())
        return events

    def close(self) -> Final:
        """The final result, over every sample received. Calling it again gives the same result."""
        if self._final is None:
            self.flush()
            labels = self._stitcher.finish()
            self._final = self.timeline.finish(labels, self._horizon(labels.end_frame))
        return self._final

    @property
    def position_s(self) -> float:
        """Seconds of audio received, without the silence behind the end."""
        return (self._ring.end if self._end_sample is None else self._end_sample) / SAMPLE_RATE_HZ

    @property
    def next_window_s(self) -> float:
        """Seconds of audio with which the next window is complete: until then nothing becomes known."""
        return self._schedule.next_end / SAMPLE_RATE_HZ

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
            piece, samples = np.split(samples, [self._schedule.next_end - self._ring.end])
            self._append(piece)
            if self._ring.end == self._schedule.next_end:
                events += self._window(self._schedule.take())
        return events

    def _append(self, samples: F32) -> None:
        self._ring.append(samples)
        self._fbank.append(samples)

    def _window(self, start_sample: int) -> list[Event]:
        window = self._ring.read(start_sample, start_sample + WINDOW_SAMPLES)
        first_frame = start_sample // FRAME_SAMPLES
        end_frame = first_frame + WINDOW_FRAMES
        logp, self._state = self._models.segment(window, start_sample, self._state)
        crops = self._stitcher.observe(first_frame, activity(logp))
        vectors = self._models.embed([self._fbank.rows_of_frames(crop) for crop in crops])
        labels = self._stitcher.assign(vectors)
        self._ring.drop_before(self._schedule.next_start)
        self._fbank.drop_before(end_frame - CROP_REACH_FRAMES)
        return self.timeline.update(labels, self._horizon(end_frame))
