"""Frame geometry and the window schedule: everything that turns samples into frames and back.

All positions are integers. A *sample* is one 16 kHz sample counted from the start of the stream; a *frame* is one
output step of the segmentation model, counted on one grid for the whole stream: windows start on multiples of the hop,
a whole number of frames, so that overlapping windows share their frames and nothing is ever rounded.

Windows that are kept start on multiples of `RECORD_FRAMES`. A live stream takes others between them, as its hop says.
"""

from __future__ import annotations

from turnstream.kernels.sizes import CONV_TAPS, POOL, SINC_STRIDE, SINC_TAPS

from .errors import TurnstreamError
from .limits import MAX_HOP_S, MIN_HOP_S

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 160_000

# (kernel, stride) of every layer of PyanNet that touches time, in order: sinc filterbank, pool, conv, pool, conv, pool.
LAYERS = ((SINC_TAPS, SINC_STRIDE), (POOL, POOL), (CONV_TAPS, 1), (POOL, POOL), (CONV_TAPS, 1), (POOL, POOL))


def frame_count(samples: int) -> int:
    """Frames the model gives for `samples` samples; 0 if they are fewer than one receptive field."""
    n = samples
    for kernel, stride in LAYERS:
        n = (n - kernel) // stride + 1 if n >= kernel else 0
    return n


def _frame_step() -> int:
    step = 1
    for _, stride in LAYERS:
        step *= stride
    return step


def _receptive_field() -> int:
    field, step = 1, 1
    for kernel, stride in LAYERS:
        field += (kernel - 1) * step
        step *= stride
    return field


FRAME_SAMPLES = _frame_step()  # 270: 16.875 ms
RECEPTIVE_FIELD_SAMPLES = _receptive_field()  # 991
WINDOW_FRAMES = frame_count(WINDOW_SAMPLES)  # 589
# A frame is reported at the middle of its receptive field: 0.6 points of DER less than at its left edge.
FRAME_OFFSET_SAMPLES = (RECEPTIVE_FIELD_SAMPLES - FRAME_SAMPLES) // 2  # 360: 22.5 ms
# Of the windows that are kept, 2.025 s. Found with 60, 120, 150 and 180 frames: docs/experiments.md.
RECORD_FRAMES = 120
# Hops of a live stream: divisors of RECORD_FRAMES, each long enough for a window to be decided before the next is due.
HOPS_FRAMES = (20, 24, 30, 40, 60, 120)
HOP_FRAMES = 30  # by default
HOP_SAMPLES = HOP_FRAMES * FRAME_SAMPLES  # 8,100: a multiple of the frame step and of the sinc stride


def frame_seconds(frame: int) -> float:
    """Time at which `frame` begins, in seconds from the start of the stream, to the millisecond."""
    return round((FRAME_SAMPLES * frame + FRAME_OFFSET_SAMPLES) / SAMPLE_RATE_HZ, 3) if frame > 0 else 0.0


def frame_at(time_s: float) -> int:
    """The frame that begins nearest to this time: the inverse of `frame_seconds`."""
    return max(0, round((time_s * SAMPLE_RATE_HZ - FRAME_OFFSET_SAMPLES) / FRAME_SAMPLES))


def hop_seconds(hop_frames: int) -> float:
    """The length of a hop, in seconds to the millisecond."""
    return round(hop_frames * FRAME_SAMPLES / SAMPLE_RATE_HZ, 3)


def hop_at_most(hop_s: float) -> int:
    """Frames of the longest possible hop that is not longer than `hop_s`, give or take 2 %.

    Raises TurnstreamError where it is out of range.
    """
    if not MIN_HOP_S <= hop_s <= MAX_HOP_S:
        raise TurnstreamError(f"hop must be {MIN_HOP_S:g} to {MAX_HOP_S:g} s, got {hop_s}")
    return [frames for frames in HOPS_FRAMES if hop_seconds(frames) <= 1.02 * hop_s][-1]


class WindowSchedule:
    """Which windows of a stream are due: starts are multiples of the hop, what lies before the stream is silence.

    The first window is the earliest one that ends after sample 0, so the first labels need 0.4 s of audio, not 10 s.
    """

    def __init__(self, hop_frames: int = HOP_FRAMES):
        if not 1 <= hop_frames <= WINDOW_FRAMES:
            raise ValueError(f"hop must be 1 to {WINDOW_FRAMES} frames, got {hop_frames}")
        self.hop_samples = hop_frames * FRAME_SAMPLES
        self.next_start = -((WINDOW_SAMPLES - 1) // self.hop_samples) * self.hop_samples

    @property
    def next_end(self) -> int:
        """Sample at which the next window is complete."""
        return self.next_start + WINDOW_SAMPLES

    @property
    def frames_end(self) -> int:
        """Sample at which the frames of the windows taken so far end."""
        return self.next_start - self.hop_samples + WINDOW_FRAMES * FRAME_SAMPLES

    @property
    def kept_end(self) -> int:
        """Sample at which the frames of those of them end that are kept."""
        record_samples = RECORD_FRAMES * FRAME_SAMPLES
        newest = self.next_start - self.hop_samples
        return newest // record_samples * record_samples + WINDOW_FRAMES * FRAME_SAMPLES

    def take(self) -> int:
        """Start sample of the next window (negative while it reaches before the stream); moves on by one hop."""
        start = self.next_start
        self.next_start += self.hop_samples
        return start

    def change_hop(self, hop_frames: int, now_sample: int) -> None:
        """From now on another hop; the next window ends after `now_sample`."""
        self.hop_samples = hop_frames * FRAME_SAMPLES
        self.next_start = ((now_sample - WINDOW_SAMPLES) // self.hop_samples + 1) * self.hop_samples
