"""What opens a recording: libsndfile where it can, else PyAV, else ffmpeg; all of them read alike."""

from __future__ import annotations

import codecs
import contextlib
import os
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soundfile as sf  # type: ignore[import-untyped]

from .quiet import quiet_libraries
from .riff import Mended, read_wav_header

MOST_SAMPLES = 2**48  # more than any file holds: what libsndfile says where the header does not know the length
TEXT_BYTES = 4096  # how much of a file is looked at

Floats = npt.NDArray[np.float32]


class UnreadableError(Exception):
    """Why a recording cannot be read, as the end of a sentence."""


class Reader(Protocol):
    """An open recording. `total_samples` is per channel, as the header says, or counted."""

    @property
    def rate_hz(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def total_samples(self) -> int: ...

    def read(self, samples: int) -> Floats:
        """The next samples, (N, channels) float32, fewer only at the end. Raises UnreadableError for damage."""

    def rewind(self) -> None:
        """Begin again."""

    def close(self) -> None: ...


def open_reader(path: Path) -> Reader:
    """Raises UnreadableError for what nothing here can read, and for what is no audio."""
    from .media import open_media

    try:
        return SoundFileReader(path)
    except UnreadableError as error:
        if is_text(path):
            raise UnreadableError("it is a text file") from None
        return open_media(path, str(error))


class SoundFileReader:
    """A format of libsndfile; standard error is silent while an MP3 is open, whose decoder writes to it."""

    def __init__(self, path: Path):
        self._path = path
        self._open()
        self.rate_hz, self.channels = int(self._file.samplerate), int(self._file.channels)
        self.total_samples = int(self._file.frames)
        if self.total_samples > MOST_SAMPLES:
            self.total_samples = _count(path)

    def read(self, samples: int) -> Floats:
        """See `Reader`."""
        try:
            block: Floats = self._file.read(samples, dtype="float32", always_2d=True)
        except (sf.SoundFileError, OSError) as error:
            raise UnreadableError(reason_of(error)) from None
        return block

    def rewind(self) -> None:
        """See `Reader`; many codecs of telephony cannot be sought in."""
        if self._file.seekable():
            self._file.seek(0)
        else:
            self.close()
            self._open()

    def close(self) -> None:
        """See `Reader`."""
        self._closing.close()

    def _open(self) -> None:
        with contextlib.ExitStack() as opening:
            quiet = opening.enter_context(contextlib.ExitStack())
            quiet.enter_context(quiet_libraries())
            try:
                source: bytes | Mended = os.fsencode(self._path)
                if (header := read_wav_header(self._path)) and header.is_wrong:
                    source = opening.enter_context(Mended(self._path, header))
                self._file = opening.enter_context(sf.SoundFile(source))
            except (sf.SoundFileError, OSError, TypeError, ValueError) as error:
                raise UnreadableError(reason_of(error)) from None
            if self._file.format != "MP3":
                quiet.close()
            self._closing = opening.pop_all()


def is_text(path: Path) -> bool:
    """Whether a file begins as a text does: UTF-8 without control characters."""
    with path.open("rb") as file:
        start = file.read(TEXT_BYTES)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # the last letter may be cut off
    except UnicodeDecodeError:
        return False
    return bool(text) and not any(letter < " " and letter not in "\t\r\n\f\x1b" for letter in text)


def reason_of(error: Exception) -> str:
    """The library's own words, without its prefix, as the end of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(getattr(error, "error_string", error)).strip().rstrip(".") or type(error).__name__


def _count(path: Path) -> int:
    """Samples per channel of a recording whose writer did not finish the header, by reading it through."""
    samples = 0
    with contextlib.suppress(sf.SoundFileError), sf.SoundFile(os.fsencode(path)) as file:
        while read := len(file.read(4096, dtype="float32", always_2d=True)):
            samples += read
    return samples
