"""Kaldi filterbank features: from audio in pieces of any size to numbered rows of 80 log mel energies.

Row `i` covers samples [160 i, 160 i + 400) of the stream (25 ms every 10 ms), however the audio was cut. The features
are Kaldi's `compute-fbank-feats` with a povey window, no dither and samples in int16 range, which CAM++ was trained on.
"""

from __future__ import annotations

from typing import Any

import kaldi_native_fbank  # type: ignore[import-untyped]
import numpy as np

from ..windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ

MEL_BINS = 80
ROW_STEP_SAMPLES = 160
ROW_SAMPLES = 400
INT16_SCALE = 32768.0
FIRST_CENTER_SAMPLES = ROW_SAMPLES // 2 - FRAME_OFFSET_SAMPLES  # center of row 0, counted from the start of frame 0


def row_count(samples: int) -> int:
    """Whole feature rows in `samples` samples."""
    return max(0, (samples - ROW_SAMPLES) // ROW_STEP_SAMPLES + 1)


def rows_of_frames(frames: np.ndarray) -> np.ndarray:
    """Numbers of the feature rows whose center lies in one of the model frames; ascending, unique, none below 0.

    Shapes:
        frames: (F,) integers, absolute model frames; frame f stands for samples [270 f + 360, 270 f + 630).
        returns: (R,) int64; row i has its center at sample 160 i + 200.
    """
    frames = np.unique(np.asarray(frames, dtype=np.int64))
    if not frames.size:
        return frames
    first = -(-(frames * FRAME_SAMPLES - FIRST_CENTER_SAMPLES) // ROW_STEP_SAMPLES)
    candidates = (first[:, None] + np.arange(-(-FRAME_SAMPLES // ROW_STEP_SAMPLES))).ravel()
    frame_of = (candidates * ROW_STEP_SAMPLES + FIRST_CENTER_SAMPLES) // FRAME_SAMPLES
    inside = frame_of == np.repeat(frames, candidates.size // frames.size)
    rows: np.ndarray = candidates[inside & (candidates >= 0)]
    return rows


def fbank(samples: np.ndarray) -> np.ndarray:
    """Features of one whole piece of audio.

    Shapes:
        samples: (N,) float32, 16 kHz, in [-1, 1].
        returns: (row_count(N), 80) float32, natural logarithm of mel energies.
    """
    stream = FbankStream()
    stream.append(samples)
    return stream.rows(np.arange(stream.end_row))


class FbankStream:
    """The feature rows of one stream, addressed by number; rows are dropped on request."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []
        self.first_row = 0
        self._tail = np.zeros(0, np.float32)  # the samples, scaled, from the next row on
        self._begin()

    def _begin(self) -> None:
        """At the next row, whose first samples are `_tail`: no row depends on samples before it."""
        options = kaldi_native_fbank.FbankOptions()
        options.frame_opts.samp_freq = SAMPLE_RATE_HZ
        options.frame_opts.dither = 0.0
        options.frame_opts.window_type = "povey"
        options.frame_opts.snip_edges = True
        options.mel_opts.num_bins = MEL_BINS
        self._online = kaldi_native_fbank.OnlineFbank(options)
        self._online_row = self.end_row  # the row that it counts as its first
        if self._tail.size:
            self._online.accept_waveform(SAMPLE_RATE_HZ, self._tail)

    def __getstate__(self) -> dict[str, Any]:
        rows = np.stack(self._rows) if self._rows else np.zeros((0, MEL_BINS), np.float32)
        return {"rows": rows, "first_row": self.first_row, "tail": self._tail}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises ValueError for a state that never was."""
        rows, self._tail = state["rows"], state["tail"]
        if rows.shape[1:] != (MEL_BINS,) or len(self._tail) >= ROW_SAMPLES:
            raise ValueError(f"expected rows of {MEL_BINS} and a tail of less than one, got {rows.shape}")
        self._rows, self.first_row = [row.copy() for row in rows], state["first_row"]
        self._begin()

    @property
    def end_row(self) -> int:
        """One past the newest row."""
        return self.first_row + len(self._rows)

    def append(self, samples: np.ndarray) -> None:
        """Take the next samples, (N,) float32 at 16 kHz in [-1, 1]; any N, including 0."""
        scaled = np.asarray(samples, dtype=np.float32) * np.float32(INT16_SCALE)
        if not scaled.size:
            return
        self._online.accept_waveform(SAMPLE_RATE_HZ, scaled)
        fresh = range(self.end_row - self._online_row, self._online.num_frames_ready)
        self._rows.extend(self._online.get_frame(i).copy() for i in fresh)
        self._online.pop(len(fresh))
        self._tail = np.concatenate([self._tail, scaled])[len(fresh) * ROW_STEP_SAMPLES :]

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The rows with these numbers, (R, 80) float32, in the requested order.

        Raises IndexError for a row that does not exist yet or was dropped.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        if not numbers.size:
            return np.zeros((0, MEL_BINS), np.float32)
        if numbers.min() < self.first_row or numbers.max() >= self.end_row:
            kept = f"rows {self.first_row} to {self.end_row - 1} are kept"
            raise IndexError(f"{kept}, got {numbers.min()} to {numbers.max()}")
        return np.stack([self._rows[i - self.first_row] for i in numbers.tolist()])

    def rows_of_frames(self, frames: np.ndarray) -> np.ndarray:
        """The rows whose center lies in one of these absolute model frames, (R, 80) float32, ascending in time."""
        return self.rows(rows_of_frames(frames))

    def drop_before(self, frame: int) -> None:
        """Drop the rows of all model frames before `frame`; reading them raises an error from now on."""
        first = max(0, -(-(frame * FRAME_SAMPLES - FIRST_CENTER_SAMPLES) // ROW_STEP_SAMPLES))
        gone = min(first - self.first_row, len(self._rows))
        if gone > 0:
            del self._rows[:gone]
            self.first_row += gone
