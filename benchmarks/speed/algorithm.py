"""What the algorithm waits for by design: a formula from its constants, and whether the engine keeps to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Figure
from turnstream.audio.input import AudioInput
from turnstream.events import Event, Turn
from turnstream.models.batcher import Batcher
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_FRAMES,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    WindowSchedule,
)

FIRST_END = WindowSchedule().next_end  # sample with which the first window is complete
FIRST_FRAMES = (FIRST_END - WINDOW_SAMPLES) // FRAME_SAMPLES + WINDOW_FRAMES  # frames of the stream that it tells
MIDDLE_SAMPLES = FRAME_OFFSET_SAMPLES + FRAME_SAMPLES // 2  # of a frame, from 270 times its number
Ints = NDArray[np.int64]


def told_sample(frame: int | Ints, behind_frames: int = 0) -> int | Ints:
    """Samples that must have come before anything is told of a frame, or committed where that is `behind_frames` later.

    Window k is complete with sample E_k = FIRST_END + k HOP and tells the frames before F_k = FIRST_FRAMES + k
    HOP_FRAMES; what lies before F_k - behind is committed then. So it is E_k of the least k >= 0 with F_k - behind > t.
    """
    return FIRST_END + np.maximum(0, -(-(frame + 1 + behind_frames - FIRST_FRAMES) // HOP_FRAMES)) * HOP_SAMPLES


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds from the middle of a frame to `told_sample`: at best, in the mean of the window's phase, at worst."""

    least_s: float
    mean_s: float
    most_s: float


def wait(behind_frames: int = 0) -> Wait:
    """What every frame after the first window waits."""
    frames = np.arange(FIRST_FRAMES, FIRST_FRAMES + HOP_FRAMES)
    waits = (told_sample(frames, behind_frames) - frames * FRAME_SAMPLES - MIDDLE_SAMPLES) / SAMPLE_RATE_HZ
    return Wait(float(waits.min()), float(waits.mean()), float(waits.max()))


def behind_frames(latency_s: float) -> int:
    """How far behind the newest frame turns are committed, as the timeline rounds it."""
    return Timeline(latency_s).latency_frames


class Told:
    """The first sample after which each frame was told, and committed; 0 where it never was."""

    def __init__(self, frames: int):
        self.told = np.zeros(frames, np.int64)
        self.committed = np.zeros(frames, np.int64)

    def hear(self, events: Sequence[Event], heard_samples: int) -> None:
        """What the engine said when so many samples had come."""
        for turn in events:
            if isinstance(turn, Turn) and turn.state != "retracted":
                _note(self.told[turn.start_frame : turn.end_frame], heard_samples)
                _note(self.committed[turn.start_frame : turn.committed_frame], heard_samples)


def _note(places: Ints, sample: int) -> None:
    places[places == 0] = sample


@dataclass(frozen=True, slots=True)
class Kept:
    """Share of the frames told, and of those committed, that were so at the very sample of the formula."""

    told: float
    committed: float


def check(models: Batcher, samples: NDArray[np.float32], latency_s: float) -> Kept:
    """Feed a recording so that every window's last sample comes by itself, and hold each event to the formula.

    Raises AssertionError where an event comes without a window's last sample, or a frame is told before its time.
    """
    session = Session(models, AudioInput(), StitcherConfig(), Timeline(latency_s))
    told, behind = Told(len(samples) // FRAME_SAMPLES + WINDOW_FRAMES), behind_frames(latency_s)
    heard = 0
    for end in range(FIRST_END, len(samples) + 1, HOP_SAMPLES):
        early = session.feed(samples[heard : end - 1])
        assert not early, f"expected no event before sample {end}, got {early[0]}"
        told.hear(session.feed(samples[end - 1 : end]), end)
        heard = end
    shares = []
    for which, found, late in (("told", told.told, 0), ("committed", told.committed, behind)):
        frames = np.flatnonzero(found)
        assert len(frames), "expected speech in the recording, got none"
        due = told_sample(frames, late)
        before = frames[found[frames] < due]
        assert not len(before), f"frame {before[0]} was {which} at sample {found[before[0]]}, before its time"
        shares.append(float(np.mean(found[frames] == due)))
    return Kept(*shares)


def figures(latencies_s: Sequence[float], kept: Kept) -> dict[str, Figure]:
    """`algorithm.provisional.*` and `algorithm.committed_L.*` in ms, and how often the engine is as early as that."""
    found = {}
    waits = {"provisional": wait(), **{f"committed_{L:g}s": wait(behind_frames(L)) for L in latencies_s}}
    for name, each in waits.items():
        for part, seconds in (("least", each.least_s), ("mean", each.mean_s), ("most", each.most_s)):
            found[f"algorithm.{name}.{part}"] = Figure(1e3 * seconds, "ms", "count")
    found["algorithm.first_window"] = Figure(1e3 * FIRST_END / SAMPLE_RATE_HZ, "ms", "count")
    found["algorithm.earliest_share.told"] = Figure(kept.told, "share", "error", "higher")
    found["algorithm.earliest_share.committed"] = Figure(kept.committed, "share", "error", "higher")
    return found
