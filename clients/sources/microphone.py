"""The live microphone as an iterator of what was heard: samples with their level, and gaps where samples were lost.

The callback only copies and queues. Lost callbacks and a queue that was full become gaps of the same length, so that
time stays true. A recording is written where the iterator is read, gaps as silence, exactly as the taker heard it.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf  # type: ignore[import-untyped]

from .devices import MicrophoneError, choose_device, portaudio
from .lost_audio import Block, LossWatch

BLOCKS_PER_S = 50
QUEUE_S = 30
POLL_S = 0.25
FIRST_BLOCK_S = 10.0
STALLED_S = 3.0
GAP_S = 10
SILENCE_DBFS = -120.0
LONG_FORMATS = ("WAV", "RF64", "W64", "CAF", "FLAC", "OGG", "MP3")  # hold more than 4 GiB
MOST_SHORT_BYTES = 2**32 - 2**16
SFC_RF64_AUTO_DOWNGRADE = 0x1210

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """Largest and root mean square value in dB below full scale, -120 to 0 (a full-scale sine has RMS -3)."""

    peak_dbfs: float
    rms_dbfs: float

    @staticmethod
    def of(samples: Floats) -> Level:
        wide = samples.astype(np.float64)
        return Level(_dbfs(float(np.abs(wide).max(initial=0.0))), _dbfs(float(np.sqrt(np.square(wide).mean()))))


@dataclass(frozen=True, eq=False)
class Heard:
    """Samples (N, C) float32 at the microphone's rate."""

    samples: Floats
    level: Level


@dataclass(frozen=True)
class Gap:
    """Samples per channel that were lost here."""

    samples: int


class Microphone:
    """One input, open while used as a context manager; iterate over it to hear.

    `device` is a number, a name or a part of one (None: the default). The iterator ends when `stop` was called (all
    that was received before is still given) or when the device is gone; `ended` then says so in one sentence, and is
    None otherwise. `rate_hz` is the device's own rate. MicrophoneError where it cannot be opened or recorded.
    """

    def __init__(self, device: int | str | None = None, channels: int = 1, record: Path | None = None):
        self.device = choose_device(device)
        if not 1 <= channels <= self.device.channels:
            raise MicrophoneError(
                f"expected 1 to {self.device.channels} channels of '{self.device.name}', got {channels}"
            )
        self.channels = channels
        self.rate_hz = self.device.rate_hz
        self.ended: str | None = None
        self.received_samples = 0
        self._record = record
        self._recorder: Recorder | None = None
        self._queue: queue.Queue[Block] = queue.Queue(QUEUE_S * BLOCKS_PER_S)
        self._unqueued_samples = 0
        self._finished = False
        self._stopping = False
        self._stream: Any = None

    @property
    def recording_problem(self) -> str | None:
        """Why the recording stopped early, or None."""
        return None if self._recorder is None else self._recorder.problem

    def stop(self) -> None:
        """End the iteration after what was received so far; safe in a signal handler and from any thread."""
        self._stopping = True

    def __enter__(self) -> Microphone:
        sounddevice = portaudio()
        try:
            self._stream = sounddevice.InputStream(
                samplerate=self.rate_hz,
                blocksize=self.rate_hz // BLOCKS_PER_S,
                device=self.device.number,
                channels=self.channels,
                dtype="float32",
                callback=self._callback,
                finished_callback=self._on_finished,
            )
            if self._record is not None:  # only now: a device that does not open leaves an old recording alone
                self._recorder = Recorder(self._record, self.rate_hz, self.channels)
            self._stream.start()
        except MicrophoneError:
            self._close()
            raise
        except (sounddevice.PortAudioError, ValueError) as error:
            self._close()
            raise MicrophoneError(f"the microphone '{self.device.name}' cannot be opened: {error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __iter__(self) -> Iterator[Heard | Gap]:
        watch = LossWatch(self.rate_hz)
        for block in self._blocks():
            for item in watch.push(block):
                yield from self._heard(item)
        for item in watch.flush():
            yield from self._heard(item)
        yield from self._heard(self._unqueued_samples)

    def _callback(self, samples: Floats, frames: int, times: Any, status: Any) -> None:
        block = Block(
            samples.copy(), time.monotonic(), times.inputBufferAdcTime, status.input_overflow, self._unqueued_samples
        )
        try:
            self._queue.put_nowait(block)
            self._unqueued_samples = 0
        except queue.Full:
            self._unqueued_samples += frames

    def _on_finished(self) -> None:
        self._finished = True

    def _blocks(self) -> Iterator[Block]:
        """Queued blocks until `stop` or until the device is gone."""
        patience_s, last_s = FIRST_BLOCK_S, time.monotonic()
        while not self._stopping:
            try:
                yield self._queue.get(timeout=POLL_S)
                patience_s, last_s = STALLED_S, time.monotonic()
            except queue.Empty:
                if self._is_gone() or time.monotonic() - last_s > patience_s:
                    self._stopping = True
                    self.ended = self._say_gone()
        self._close_stream()
        while not self._queue.empty():
            yield self._queue.get_nowait()

    def _heard(self, item: Block | int) -> Iterator[Heard | Gap]:
        """Record and hand out; a long loss comes as several gaps, so that no taker has to hold it in memory."""
        if isinstance(item, Block):
            self.received_samples += len(item.samples)
            if self._recorder:
                self._recorder.write(item.samples)
            yield Heard(item.samples, Level.of(item.samples))
            return
        while item > 0:
            gap = Gap(min(item, GAP_S * self.rate_hz))
            if self._recorder:
                self._recorder.write(np.zeros((gap.samples, self.channels), np.float32))
            yield gap
            item -= gap.samples

    def _is_gone(self) -> bool:
        try:
            return self._finished or not self._stream.active
        except portaudio().PortAudioError:
            return True

    def _say_gone(self) -> str:
        heard_s = self.received_samples / self.rate_hz
        if heard_s == 0:
            return f"the microphone '{self.device.name}' gave no audio: is it in use, or not allowed for this program?"
        return f"the microphone '{self.device.name}' stopped after {heard_s:.1f} s of audio: was it unplugged?"

    def _close_stream(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(portaudio().PortAudioError):
                self._stream.abort()
            with contextlib.suppress(portaudio().PortAudioError):
                self._stream.close()
            self._stream = None

    def _close(self) -> None:
        self._close_stream()
        if self._recorder:
            self._recorder.close()


class Recorder:
    """A 16-bit recording in the format of its suffix (.wav, .flac, ...); complete whenever it was closed.

    A .wav file of more than 4 GiB becomes RF64, the same with a longer header; other formats that cannot hold more end
    there, and `problem` says so.
    """

    def __init__(self, path: Path, rate_hz: int, channels: int):
        self.problem: str | None = None
        self._path = path
        name = path.suffix[1:].upper()
        self._room_bytes = math.inf if name in LONG_FORMATS else MOST_SHORT_BYTES
        try:
            form = "RF64" if name == "WAV" else name
            self._file = sf.SoundFile(os.fsencode(path), "w", rate_hz, channels, "PCM_16", format=form)
            if name == "WAV":
                _write_rf64_only_if_long(self._file)
        except (sf.SoundFileError, OSError, TypeError, ValueError) as error:
            raise MicrophoneError(f"{path} cannot be recorded to: {error}") from None

    def write(self, samples: Floats) -> None:
        """Append (N, C) float32. A full disk ends the recording, not the stream: see `problem`."""
        self._room_bytes -= samples.size * 2
        if self.problem is None and self._room_bytes < 0:
            self.problem = f"the recording {self._path} ended early: its format holds 4 GiB, .wav and .flac hold more"
        if self.problem is not None:
            return
        try:
            self._file.write(samples)
        except (sf.SoundFileError, OSError, AssertionError) as error:  # soundfile asserts that all was written
            self.problem = f"the recording {self._path} ended early: {str(error) or 'the disk is full'}"

    def close(self) -> None:
        try:
            self._file.close()
        except sf.SoundFileError as error:
            self.problem = self.problem or f"the recording {self._path} may be incomplete: {error}"


def _write_rf64_only_if_long(file: sf.SoundFile) -> None:
    """soundfile has no name for this command of libsndfile; it leaves room in the header of a plain WAV file."""
    sf._snd.sf_command(file._file, SFC_RF64_AUTO_DOWNGRADE, sf._ffi.NULL, 1)


def _dbfs(value: float) -> float:
    return max(SILENCE_DBFS, 20 * float(np.log10(max(value, 1e-9))))
