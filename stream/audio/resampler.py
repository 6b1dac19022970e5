"""Resampler: mono samples at any rate to 16 kHz, the same to the bit however the input is cut.

soxr's own state cannot be written down. So the stream is made of pieces, at fixed places of the input, each by a new
soxr stream that begins to hear one second before its piece: by then nothing is left of its beginning (differences under
1e-6). The state is then a few seconds of input, from which the newest pieces are computed again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import soxr  # type: ignore[import-untyped]

from ..windows import SAMPLE_RATE_HZ

PIECE_S, OVERLAP_S = 4, 1  # whole seconds: only there do samples of both rates coincide, whatever the rate
MOST_HEARD_S = PIECE_S + OVERLAP_S + 2  # kept of the input; soxr's delay is an eighth of a second

Floats = npt.NDArray[np.float32]


class Resampler:
    """Sample n of the output is at the time of n; `flush` ends at round(received * 16000 / rate_hz) samples."""

    def __init__(self, rate_hz: int):
        self._rate_hz = rate_hz
        self._heard = np.empty(MOST_HEARD_S * rate_hz, np.float32)
        self._begin(0)

    def push(self, mono: Floats) -> Floats:
        """(N,) at the input rate -> (M,) at 16 kHz."""
        parts = []
        while len(mono):
            part, mono = np.split(mono, [min(self._rate_hz, self._next_start - self._received)])
            parts.append(self._hear(part))
        return _joined(parts)

    def flush(self) -> Floats:
        """The rest, cut or padded by a sample if rounding requires it."""
        tail = self._now.flush()[: self._end - self._given]
        if self._next:
            tail = _joined([tail, *self._early, self._next.flush()])
        missing = resampled_length(self._received, self._rate_hz) - self._given - len(tail)
        tail = _joined([tail[: len(tail) + min(missing, 0)], np.zeros(max(missing, 0), np.float32)])
        self._given += len(tail)
        return tail

    def __getstate__(self) -> dict[str, Any]:
        heard = self._heard[: self._received - self._start(self._number)].copy()
        return {"rate_hz": self._rate_hz, "number": self._number, "heard": heard, "given": self._given}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Computes the newest pieces again. Raises ValueError for a state that never was."""
        rate_hz, number, heard = state["rate_hz"], state["number"], state["heard"]
        if number < 0 or not len(heard) <= MOST_HEARD_S * rate_hz:
            raise ValueError(f"expected up to {MOST_HEARD_S} s of audio to resample, got {len(heard)} samples")
        self._rate_hz = rate_hz
        self._heard = np.empty(MOST_HEARD_S * rate_hz, np.float32)
        self._begin(number)
        self.push(heard)
        if (self._number, self._given) != (number, state["given"]):
            raise ValueError(f"expected {self._given} samples that were resampled, got {state['given']}")

    @property
    def _end(self) -> int:
        """Sample of the output at which this piece ends."""
        return (self._number + 1) * PIECE_S * SAMPLE_RATE_HZ

    @property
    def _next_start(self) -> int:
        """Sample of the input at which the next soxr stream begins to hear."""
        return self._start(self._number + (2 if self._next else 1))

    def _start(self, number: int) -> int:
        return max(0, number * PIECE_S - OVERLAP_S) * self._rate_hz

    def _begin(self, number: int) -> None:
        """At the first sample that piece `number` hears."""
        self._number, self._received = number, self._start(number)
        self._now, self._next = self._piece(number), None
        self._given = number * PIECE_S * SAMPLE_RATE_HZ
        self._early: list[Floats] = []  # what the next piece gave before its turn

    def _piece(self, number: int) -> _Piece:
        return _Piece(self._rate_hz, OVERLAP_S * SAMPLE_RATE_HZ if number else 0)

    _next: _Piece | None

    def _hear(self, part: Floats) -> Floats:
        """At most one second, and not beyond the start of the next stream."""
        at = self._received - self._start(self._number)
        self._heard[at : at + len(part)] = part
        self._received += len(part)
        given = self._now.push(part)[: self._end - self._given]
        self._given += len(given)
        if self._next:
            self._early.append(self._next.push(part))
        elif self._received == self._next_start:
            self._next = self._piece(self._number + 1)
        return self._move_on(given) if self._given == self._end else given

    def _move_on(self, given: Floats) -> Floats:
        """To the next piece."""
        assert self._next is not None
        used = self._start(self._number + 1) - self._start(self._number)
        kept = self._received - self._start(self._number + 1)
        self._heard[:kept] = self._heard[used : used + kept].copy()
        early, self._early = _joined(self._early), []
        self._now, self._next, self._number = self._next, None, self._number + 1
        self._given += len(early)
        return _joined([given, early])


class _Piece:
    """One soxr stream (HQ), fed in blocks of 10 ms however its input was cut; gives nothing of its first `skip`."""

    def __init__(self, rate_hz: int, skip: int):
        self._soxr = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
        self._pending = np.zeros(rate_hz // 100, np.float32)
        self._pending_samples = 0
        self._skip = skip

    def push(self, mono: Floats) -> Floats:
        parts = []
        while len(mono):
            part, mono = np.split(mono, [len(self._pending) - self._pending_samples])
            self._pending[self._pending_samples : self._pending_samples + len(part)] = part
            self._pending_samples += len(part)
            if self._pending_samples == len(self._pending):
                parts.append(self._soxr.resample_chunk(self._pending))
                self._pending_samples = 0
        return self._give(_joined(parts))

    def flush(self) -> Floats:
        return self._give(self._soxr.resample_chunk(self._pending[: self._pending_samples], last=True))

    def _give(self, out: Floats) -> Floats:
        given = out[self._skip :]
        self._skip -= len(out) - len(given)
        return given


def resampled_length(samples: int, rate_hz: int) -> int:
    """Samples at 16 kHz that last as long as `samples` at `rate_hz`: round(samples * 16000 / rate_hz), half up."""
    return (2 * samples * SAMPLE_RATE_HZ + rate_hz) // (2 * rate_hz)


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate([np.zeros(0, np.float32), *parts])
