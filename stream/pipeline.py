"""The path of one stream's audio, top to bottom in this file:

samples -> audio -> ring -> windows -> segmentation -> embedding if needed -> stitchers -> timeline -> records
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .ahead import F32, BlockModels, WindowsAhead
from .audio.fbank import FbankStream
from .audio.input import AudioInput, Chunk
from .audio.ring import RingBuffer
from .errors import TurnstreamError
from .labels import Labels
from .models.activity import ActivityModels, ActivityPath, ActivityRecord, Gate, silence
from .models.segmentation import activity
from .people.naming import Naming
from .roster import Roster
from .stitching.config import StitcherConfig
from .stitching.stitcher import CROP_REACH_FRAMES, Ints
from .stitching.stitchers import Stitchers, is_kept
from .timeline.records import FinalRecord, Record
from .timeline.timeline import Timeline
from .windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    RECORD_FRAMES,
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    WindowSchedule,
    hop_at_most,
    hop_seconds,
)

Records = list[Record | ActivityRecord]


class Models(ActivityModels, BlockModels, Protocol):
    """What a session needs of the models; NumPy in, NumPy out. Of ActivityModels nothing without an activity path, of
    BlockModels nothing where the session is live."""

    def initial_state(self) -> Any:
        """What the segmentation keeps of one stream from window to window."""

    def segment(self, window: F32, start_sample: int, state: Any) -> tuple[F32, Any]:
        """Log-probabilities (589, 7) of the stream's next window (160000,), and the state after it."""

    def embed(self, crops: list[F32]) -> F32:
        """Unit-norm speaker embeddings (len(crops), 192) of fbank crops, each (rows, 80)."""


class Pipeline:
    """What a `Session` does with its audio. How that is cut into chunks does not change one record.

    A pipeline that is not `live` takes the windows of the record only.
    """

    def __init__(
        self,
        models: Models,
        audio: AudioInput,
        config: StitcherConfig,
        timeline: Timeline,
        naming: Naming,
        activity: ActivityPath | None,
        *,
        hop_frames: int,
        live: bool,
    ):
        # Snapshots hold these attributes by name and in this order.
        self.audio = audio
        self.timeline = timeline
        self._models = models
        self._activity = activity
        self._schedule = WindowSchedule(hop_frames if live else RECORD_FRAMES)
        self._ring = RingBuffer(WINDOW_SAMPLES + RECORD_FRAMES * FRAME_SAMPLES)
        self._fbank = FbankStream()
        self._live = live
        self._stitchers = Stitchers(config)
        self._roster = Roster(timeline, self._stitchers, naming)
        seen = activity.record_gate.seen if activity else None
        self._ahead = None if live else WindowsAhead(models, self._stitchers.record, self._fbank, seen)
        self._state = models.initial_state() if live else None
        self._end_sample: int | None = None  # length of the stream, once it has ended
        self._named_frame = 0  # the newest one decided

    @property
    def roster(self) -> Roster:
        """Who is who in the stream."""
        return self._roster

    @property
    def named_frame(self) -> int:
        """The newest frame decided."""
        return self._named_frame

    @property
    def hop_s(self) -> float:
        """Seconds of audio between two windows."""
        return hop_seconds(self._schedule.hop_samples // FRAME_SAMPLES)

    def change_hop(self, hop_s: float) -> None:
        """From now on the longest possible hop that is not longer. Raises TurnstreamError where it is out of range."""
        frames = hop_at_most(hop_s)
        if self._live:
            self._schedule.change_hop(frames, self._ring.end)

    @property
    def position_s(self) -> float:
        """Seconds of audio received, without the silence behind the end."""
        return (self._ring.end if self._end_sample is None else self._end_sample) / SAMPLE_RATE_HZ

    @property
    def next_due_s(self) -> float:
        """Seconds of audio with which the next window or chunk is complete: until then nothing becomes known."""
        return self._next_end / SAMPLE_RATE_HZ

    def feed(self, samples: Chunk) -> Records:
        """What becomes known by more audio; see `Session.feed`. Raises TurnstreamError where the audio has ended."""
        self._check_open()
        return self._take(self.audio.feed(samples))

    def gap(self, samples: int) -> Records:
        """What becomes known by silence in place of `samples` that were lost. Raises TurnstreamError as `feed` does."""
        self._check_open()
        return self._take(self.audio.gap(samples))

    def finish_audio(self) -> Records:
        """Ends the audio: what becomes known by the last samples. Empty where it has ended before."""
        if self._end_sample is not None:
            return []
        records = self._take(self.audio.flush())
        self._end_sample = end = self._ring.end
        while self._schedule.kept_end < end:  # silence follows, until the frames of a kept window cover every sample
            records += self._take(np.zeros(self._schedule.next_end - self._ring.end, np.float32))
        while self._activity and self._activity.behind(self._horizon(end)):
            records += self._take(np.zeros(self._activity.next_end - self._ring.end, np.float32))
        return records

    def decide(self) -> FinalRecord:
        """The final result of all that was heard; again after a correction less."""
        if self._ahead:
            self._ahead.finish()
        labels = self._stitchers.finish(self._embed)
        return self._roster.finish(labels, self._horizon(labels.end_frame))

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
