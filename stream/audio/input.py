"""AudioInput: converts a client's audio, in any supported encoding, rate and channel count, to 16 kHz mono float32.

Sample n of the input stays at its time n / rate_hz in the output, even for hours: the resampler's delay is compensated,
and after `flush` the output has exactly round(received * 16000 / rate_hz) samples. The output is bit-identical however
the input is split into chunks. At 16 kHz samples pass through unchanged and immediately. At other rates they wait for a
10 ms block and the resampler's own blocks: a median of 30 ms and at most 50 ms at 44.1 and 48 kHz, 70 and 125 ms at
8 kHz.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import AudioError
from ..limits import MAX_CHANNELS, MAX_GAP_S, MAX_RATE_HZ, MIN_RATE_HZ, SAMPLE_BYTES
from ..windows import SAMPLE_RATE_HZ
from .mix import Mixer
from .resampler import Resampler

FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31, "float32": 1.0, "float64": 1.0}

Floats = npt.NDArray[np.float32]


class HasArray(Protocol):
    """What NumPy can look at: arrays and tensors of other libraries."""

    def __array__(self) -> npt.NDArray[Any]: ...


Chunk = bytes | bytearray | memoryview | npt.NDArray[Any] | HasArray | Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True)
class AudioCounts:
    """What was received so far; samples are counted per channel at the input rate, values over all channels in use."""

    received_samples: int = 0  # gaps included
    gap_samples: int = 0
    repaired_values: int = 0  # NaN and infinities, replaced by silence
    clipped_values: int = 0  # floats outside -1..1, clipped to that range
    dropped_bytes: int = 0  # of a sample that was cut off by a gap or by the end of the stream
    peak: float = 0.0  # largest absolute value before clipping; 1.0 is full scale
    cancelled_samples: int = 0  # where the channels cancelled each other out and the loudest was used

    def warning(self) -> str | None:
        """One sentence if the input is clearly not what the sender intended, else None."""
        if self.peak > 16 and self.clipped_values > self.received_samples / 100:
            return (
                f"expected float samples from -1 to 1, got values up to {self.peak:.6g} which are limited to 1: "
                "send integers as integers or divide by their full scale"
            )
        if self.cancelled_samples > self.received_samples / 100:
            percent = 100 * self.cancelled_samples / self.received_samples
            return (
                f"the mean of the channels was almost silent in {percent:.0f} % of the audio, where the loudest one "
                "was used: are they in antiphase?"
            )
        return None


class AudioInput:
    """Decoding, repair, mix-down and resampling of one stream.

    A stream is bytes in `encoding` (interleaved channels, split anywhere) or arrays of int16, int32, float32 or
    float64, or what NumPy makes them of; integers are scaled by their full scale. Channels are averaged
    (stream/audio/mix.py), or only `channel` (counted from 0) is used. NaN and infinities become silence, floats outside
    -1..1 are clipped; both are counted.
    Resampling may overshoot full scale slightly. Every error is an AudioError and changes nothing: the stream continues
    with the next chunk.
    """

    def __init__(
        self,
        rate_hz: int = SAMPLE_RATE_HZ,
        channels: int = 1,
        encoding: str = "pcm_s16le",
        channel: int | None = None,
    ):
        self.rate_hz = _whole_number(rate_hz, "a rate in Hz", MIN_RATE_HZ, MAX_RATE_HZ)
        self.channels = _whole_number(channels, "a channel count", 1, MAX_CHANNELS)
        if encoding not in SAMPLE_BYTES:
            raise AudioError(f"expected one of the encodings {', '.join(SAMPLE_BYTES)}, got {encoding!r}")
        self.encoding = encoding
        self.channel = None if channel is None else _whole_number(channel, "a channel", 0, channels - 1)
        self.counts = AudioCounts()
        self._mixer = Mixer(self.channels, self.rate_hz) if self.channels > 1 and self.channel is None else None
        self._cut_off = b""  # the beginning of a frame whose other bytes have not arrived yet
        self._resampler = None if self.rate_hz == SAMPLE_RATE_HZ else Resampler(self.rate_hz)
        self._flushed = False

    def feed(self, chunk: Chunk, rate_hz: int | None = None) -> Floats:
        """Take a chunk; returns the 16 kHz samples that are ready.

        Shapes: chunk bytes of any length, or (N,) for one channel, or (N, channels) -> (M,) float32, M may be 0.
        `rate_hz`, if the sender states it with each chunk, must equal the stream's.
        """
        self._check_open()
        if rate_hz is not None and rate_hz != self.rate_hz:
            raise AudioError(f"expected {self.rate_hz} Hz, got {rate_hz}")
        return self._take(self._mix(self._decode(chunk)))

    def gap(self, samples: int) -> Floats:
        """Insert silence for `samples` lost input samples (up to 10 minutes), so that timestamps stay correct.

        Shapes: -> (M,) float32.
        """
        self._check_open()
        samples = _whole_number(samples, "a gap in samples", 0, MAX_GAP_S * self.rate_hz)
        self._drop_cut_off()
        self.counts = replace(self.counts, gap_samples=self.counts.gap_samples + samples)
        seconds, rest = divmod(samples, self.rate_hz)
        second = np.zeros(self.rate_hz, np.float32)
        return np.concatenate([*(self._take(second) for _ in range(seconds)), self._take(second[:rest])])

    def flush(self) -> Floats:
        """End the stream; returns its last samples, (M,) float32, or none if it was flushed before."""
        if self._flushed:
            return np.zeros(0, np.float32)
        self._flushed = True
        self._drop_cut_off()
        return self._resampler.flush() if self._resampler else np.zeros(0, np.float32)

    def _take(self, mono: Floats) -> Floats:
        self.counts = replace(self.counts, received_samples=self.counts.received_samples + len(mono))
        return self._resampler.push(mono) if self._resampler else mono

    def _decode(self, chunk: Chunk) -> npt.NDArray[Any]:
        """The chunk's whole frames. -> (N, channels), values where 1.0 is full scale except for integers."""
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            return self._check_array(_as_array(chunk))
        data = self._cut_off + bytes(chunk)
        whole = len(data) - len(data) % (SAMPLE_BYTES[self.encoding] * self.channels)
        self._cut_off = data[whole:]
        return pcm_samples(data[:whole], self.encoding).reshape(-1, self.channels)

    def _check_array(self, chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if chunk.dtype.name not in FULL_SCALE:
            raise AudioError(f"expected samples of {', '.join(FULL_SCALE)}, got {chunk.dtype}")
        frames = np.asarray(chunk)
        if frames.ndim == 1 and self.channels == 1:
            frames = frames[:, None]
        if frames.ndim != 2 or frames.shape[1] != self.channels:
            raise AudioError(f"expected an array of shape (N, {self.channels}), got {chunk.shape}")
        if self._cut_off:
            raise AudioError(
                f"expected the rest of a frame of {SAMPLE_BYTES[self.encoding] * self.channels} bytes, "
                f"of which {len(self._cut_off)} have arrived, got an array"
            )
        return frames

    def _mix(self, frames: npt.NDArray[Any]) -> Floats:
        """One channel, or the mean of all. (N, channels) -> (N,) float32."""
        if self._mixer is None:
            return self._repair(frames[:, self.channel or 0]).astype(np.float32)
        values = np.empty((self.channels, len(frames)))
        for channel in range(self.channels):
            values[channel] = self._repair(frames[:, channel])
        mixed = self._mixer.mix(values).astype(np.float32)
        self.counts = replace(self.counts, cancelled_samples=self._mixer.chosen_samples)
        return mixed

    def _repair(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Integers scaled to -1..1; floats with non-finite values silenced and values outside -1..1 clipped."""
        if values.dtype.kind == "i":
            return values / FULL_SCALE[values.dtype.name]
        finite = np.isfinite(values)  # before any arithmetic: a signaling NaN would warn there
        scaled = np.where(finite, values, 0).astype(np.float64)
        size = np.abs(scaled)
        self.counts = replace(
            self.counts,
            repaired_values=self.counts.repaired_values + int(np.count_nonzero(~finite)),
            clipped_values=self.counts.clipped_values + int(np.count_nonzero(size > 1)),
            peak=max(self.counts.peak, float(size.max(initial=0.0))),
        )
        return np.clip(scaled, -1.0, 1.0)

    def _drop_cut_off(self) -> None:
        self.counts = replace(self.counts, dropped_bytes=self.counts.dropped_bytes + len(self._cut_off))
        self._cut_off = b""

    def _check_open(self) -> None:
        if self._flushed:
            raise AudioError("expected no more audio after the end of the stream")


def _as_array(chunk: HasArray | Sequence[float] | Sequence[Sequence[float]]) -> npt.NDArray[Any]:
    """NumPy's view of an array or a tensor of any library, or of a list of floats. Raises AudioError."""
    kind = type(chunk).__name__
    if not (isinstance(chunk, list | tuple) or hasattr(chunk, "__array__")):
        raise AudioError(f"expected bytes, an array, a tensor or a list of floats, got {kind}")
    try:
        return np.asarray(chunk)
    except (TypeError, ValueError, RuntimeError) as error:  # on a GPU, asks for a gradient, rows of several lengths
        raise AudioError(f"expected samples that NumPy can read, got {kind}: {str(error).splitlines()[0]}") from None


def pcm_samples(data: bytes, encoding: str) -> npt.NDArray[Any]:
    """Values of complete little-endian samples, (N,); 24 bits become the upper bytes of an int32."""
    if encoding == "pcm_s24le":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.reshape(-1).view("<i4")
    return np.frombuffer(data, {"pcm_s16le": "<i2", "pcm_s32le": "<i4", "pcm_f32le": "<f4"}[encoding])


def _whole_number(value: int, what: str, low: int, high: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise AudioError(f"expected {what}, a whole number of {low} to {high}, got {value!r}") from None
    if isinstance(value, bool) or not low <= number <= high:
        raise AudioError(f"expected {what} of {low} to {high}, got {value}")
    return number
