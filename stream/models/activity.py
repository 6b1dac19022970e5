"""The activity path: is anyone speaking, does speech overlap; every 0.1 s, 0.3 s behind the audio. Also the gate, which
uses it to skip windows in which nobody speaks.

It carries the segmentation's state from chunk to chunk (`carried_state.py`) and is independent of the windows, which
decide who speaks. Chunks are whole frames on the stream's frame grid: 6 frames are 1,620 samples, 0.10125 s. The
look-ahead of 10 frames and half of a frame's receptive field are 0.2 s of audio, so a frame is reported 3,331 to 4,681
samples (0.21 to 0.29 s) after the start of the audio it stands for.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio.ring import RingBuffer
from ..labels import Bools, Labels
from ..windows import FRAME_SAMPLES, RECEPTIVE_FIELD_SAMPLES, WINDOW_FRAMES
from .segmentation import activity

CHUNK_FRAMES = 6
AHEAD_FRAMES = 10
CHUNK_SAMPLES = CHUNK_FRAMES * FRAME_SAMPLES
FIRST_SAMPLES = (CHUNK_FRAMES + AHEAD_FRAMES - 1) * FRAME_SAMPLES + RECEPTIVE_FIELD_SAMPLES  # of the first chunk
ONSET_REACH_FRAMES = 6  # an onset that the windows have seen for longer (0.1 s) is reported by them

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ActivityRecord:
    """From `start_frame` to `end_frame` (exclusive) somebody spoke or nobody, and speech overlapped or not."""

    start_frame: int
    end_frame: int
    speech: bool
    overlap: bool


class ActivityModels(Protocol):
    """What the activity path needs from the models; NumPy in, NumPy out."""

    def initial_activity_state(self) -> Any:
        """The segmentation state of one stream before its first sample."""

    def listen(self, chunk: F32, state: Any) -> tuple[F32, Any]:
        """Log-probabilities (T, 7) of the stream's next frames, given its next samples (N,), and the new state.

        The last AHEAD_FRAMES frames of the audio are held back as look-ahead.
        """


class ActivityPath:
    """One stream's activity. The next chunk ends at sample `next_end`; frames before `end_frame` are decided."""

    def __init__(self, models: ActivityModels):
        self._models = models
        self._state = models.initial_activity_state()
        self._start_sample = 0
        self._run_start: int | None = None  # of the speech that reaches up to end_frame
        self._run_reported = False
        self.next_end = FIRST_SAMPLES
        self.end_frame = 0
        self.speech_end_frame = 0  # one past the last frame in which anybody spoke
        self.gate, self.record_gate = Gate(self), Gate(self)  # of all windows; of those that are kept, by themselves

    def behind(self, end_frame: int) -> bool:
        """Whether audio or a held window before `end_frame` is still undecided."""
        return self.end_frame < end_frame or any(gate.held is not None for gate in (self.gate, self.record_gate))

    def seen(self, first_frame: int, active: Bools, kept: bool) -> None:
        """Record the speech that a window found. Shapes: active (T, S), from `first_frame` on."""
        for gate in (self.gate, self.record_gate) if kept else (self.gate,):
            gate.seen(first_frame, active)

    def hear(self, ring: RingBuffer, end_frame: int) -> list[ActivityRecord]:
        """Process the chunk that was just completed; one record per stretch of frames with the same activity.

        Frames from `end_frame` on are not reported: they lie past the end of the audio.
        """
        logp, self._state = self._models.listen(ring.read(self._start_sample, self.next_end), self._state)
        self._start_sample, self.next_end = self.next_end, self.next_end + CHUNK_SAMPLES
        talkers = activity(logp).sum(axis=1)  # (T,)
        talkers[max(0, end_frame - self.end_frame) :] = 0
        records = self._records(talkers)
        for record in records:
            self._follow(record)
        return [
            replace(record, end_frame=min(record.end_frame, end_frame))
            for record in records
            if record.start_frame < end_frame
        ]

    def onset(self, horizon_frame: int) -> tuple[int, int] | None:
        """Frames of speech that has just begun, too late for the windows, which reach to `horizon_frame`, to show it.

        Returned once per stretch of speech.
        """
        start = self._run_start
        if start is None or self._run_reported:
            return None
        self._run_reported = True
        return (start, self.end_frame) if start >= horizon_frame - ONSET_REACH_FRAMES else None

    def _records(self, talkers: NDArray[np.int64]) -> list[ActivityRecord]:
        edges = [0, *(np.flatnonzero(np.diff(talkers)) + 1).tolist(), len(talkers)]
        first, self.end_frame = self.end_frame, self.end_frame + len(talkers)
        return [
            ActivityRecord(first + start, first + end, bool(talkers[start] > 0), bool(talkers[start] > 1))
            for start, end in itertools.pairwise(edges)
        ]

    def _follow(self, record: ActivityRecord) -> None:
        if not record.speech:
            self._run_start = None
            return
        self.speech_end_frame = record.end_frame
        if self._run_start is None:
            self._run_start, self._run_reported = record.start_frame, False


class Gate:
    """Holds a window back while neither the activity path nor an earlier window has found speech in it.

    The activity path knows the last frames of a window 0.24 s after its end. By then a held window is either let
    through or skipped. The outcome depends on the audio alone: a window is computed if there is speech after its first
    frame, according to an earlier window that was computed or to the activity path up to the end of the chunk with the
    window's last frame.
    """

    def __init__(self, path: ActivityPath):
        self._path = path
        self._seen_end_frame = 0  # one past the last frame in which a window found speech
        self.held: int | None = None  # start sample of the waiting window

    def lets_through(self, start_sample: int) -> bool:
        """Whether to compute the window now; otherwise it is held."""
        if self.hears(start_sample):
            return True
        self.held = start_sample
        return False

    def decided(self) -> tuple[int, bool] | None:
        """The held window's start sample and whether to compute it; None while undecided or if no window is held."""
        if self.held is None:
            return None
        speech = self.hears(self.held)
        if not speech and self._path.end_frame < self.held // FRAME_SAMPLES + WINDOW_FRAMES:
            return None
        start, self.held = self.held, None
        return start, speech

    def seen(self, first_frame: int, active: Bools) -> None:
        """Record the speech that a window found. Shapes: active (T, S), from `first_frame` on."""
        spoken = np.flatnonzero(active.any(axis=1))
        if len(spoken):
            self._seen_end_frame = max(self._seen_end_frame, first_frame + int(spoken[-1]) + 1)

    def hears(self, sample: int) -> bool:
        """Whether anybody speaks after this sample, as far as is known."""
        spoken_end = max(self._path.speech_end_frame, self._seen_end_frame)
        return spoken_end > max(0, sample // FRAME_SAMPLES)


def silence(start_sample: int) -> Labels:
    """The labels of a skipped window: nobody speaks."""
    first = start_sample // FRAME_SAMPLES
    return Labels(max(0, first), np.zeros((first + WINDOW_FRAMES - max(0, first), 0), bool), ())
