"""Recordings as blocks of samples, as fast as they are taken or at the pace of the audio."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import soundfile as sf  # type: ignore[import-untyped]

from turnstream.audio.input import AudioInput
from turnstream.errors import AudioError

from .quiet import quiet_libraries
from .riff import Mended, read_wav_header

SLACK_S, SLACK_SHARE = 0.5, 0.01  # between a header and its file: MP3 headers are estimates
MOST_SAMPLES = 2**48  # more than any file holds: what libsndfile says where the header does not know the length

Floats = npt.NDArray[np.float32]


class AudioFile:
    """A recording in any format soundfile reads (WAV, FLAC, OGG, MP3, AIFF, ...), never held in memory as a whole.

    `rate_hz`, `channels` and `total_samples` (per channel; what the header says) are known once it is open.
    AudioError, one sentence, where there is no such file or it holds no audio that can be read. `warning` says, once it
    was read, where that was not what its header says.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        _check_path(self.path)
        self._header = read_wav_header(self.path)
        self._read_samples = 0
        self._begun = self._ended = False
        self._file = self._open()
        self.rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.total_samples = int(self._file.frames)
        if self.total_samples > MOST_SAMPLES:
            self.total_samples = _count(self.path)
        if self.total_samples == 0:
            self.close()
            raise AudioError(f"{self.path} holds no audio: expected 1 sample or more, got 0")
        try:
            AudioInput(self.rate_hz, self.channels)
        except AudioError as error:
            self.close()
            raise AudioError(f"{self.path}: {error}") from None

    @property
    def duration_s(self) -> float:
        return self.total_samples / self.rate_hz

    @property
    def _read_s(self) -> float:
        return self._read_samples / self.rate_hz

    def blocks(self, block_s: float = 1.0) -> Iterator[Floats]:
        """The samples from the start, in blocks of `block_s` seconds; the last one is shorter.

        Shapes: yields (N, channels) float32, full scale is 1. AudioError where the file is damaged: the blocks before
        the damage have been given then.
        """
        size = max(1, round(block_s * self.rate_hz))
        done = 0
        while True:
            try:
                if done == 0:
                    self._rewind()
                block: Floats = self._file.read(size, dtype="float32", always_2d=True)
            except (sf.SoundFileError, OSError) as error:
                raise AudioError(
                    f"{self.path} is damaged after {done / self.rate_hz:.1f} of {self.duration_s:.1f} s: "
                    f"{_reason(error)}"
                ) from None
            if len(block) == 0:
                self._ended = True
                return
            done += len(block)
            self._read_samples = max(done, self._read_samples)
            yield block

    def warning(self) -> str | None:
        """One sentence where the file is shorter or longer than its header says, as far as it was read."""
        said_s, found_s = self.duration_s, self._read_s
        if (header := self._header) and header.declared and header.declared != header.behind:
            said_s, found_s = header.declared / header.second_bytes, header.found_bytes / header.second_bytes
        if self._ended and abs(said_s - found_s) > max(SLACK_S, SLACK_SHARE * said_s):
            return (
                f"its header says {said_s:.1f} s, the file has {found_s:.1f} s, of which {self._read_s:.1f} s were read"
            )
        return None

    def close(self) -> None:
        self._closing.close()

    def _open(self) -> sf.SoundFile:
        """Standard error is silent while an MP3 is open, whose decoder writes to it."""
        with contextlib.ExitStack() as opening:
            quiet = opening.enter_context(contextlib.ExitStack())
            quiet.enter_context(quiet_libraries())
            source: bytes | Mended = os.fsencode(self.path)
            if self._header and self._header.is_wrong:
                source = opening.enter_context(Mended(self.path, self._header))
            try:
                file = opening.enter_context(sf.SoundFile(source))
            except (sf.SoundFileError, OSError, TypeError, ValueError) as error:
                raise AudioError(f"{self.path} is not audio that can be read: {_reason(error)}") from None
            if file.format != "MP3":
                quiet.close()
            self._closing = opening.pop_all()
        return file

    def _rewind(self) -> None:
        """Only where it has to be: many codecs of telephony cannot be sought in."""
        if self._begun and not self._file.seekable():
            self.close()
            self._file = self._open()
        elif self._begun:
            self._file.seek(0)
        self._begun = True

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def paced(
    blocks: Iterator[Floats],
    rate_hz: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Floats]:
    """Give each block when its last sample would have been heard, as a microphone does.

    The time is that of the samples since the first block was asked for, so that waiting never adds up to a drift;
    where the taker was slow, blocks come without waiting until it has caught up.
    """
    start_s = clock()
    done = 0
    for block in blocks:
        done += len(block)
        wait_s = start_s + done / rate_hz - clock()
        if wait_s > 0:
            sleep(wait_s)
        yield block


def _check_path(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder: expected an audio file")
        if not path.exists():
            raise AudioError(f"{path} does not exist")
        if not path.is_file():
            raise AudioError(f"{path} is not a regular file: expected an audio file")
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty: expected an audio file, got 0 bytes")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise AudioError(f"{path} cannot be read: {_reason(error)}") from None


def _count(path: Path) -> int:
    """Samples per channel of a recording whose writer did not finish the header, by reading it through."""
    samples = 0
    with contextlib.suppress(sf.SoundFileError), sf.SoundFile(os.fsencode(path)) as file:
        while read := len(file.read(4096, dtype="float32", always_2d=True)):
            samples += read
    return samples


def _reason(error: Exception) -> str:
    """The library's own words, without its prefix, as the end of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(getattr(error, "error_string", error)).strip().rstrip(".") or type(error).__name__
