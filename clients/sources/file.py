"""Recordings as blocks of samples, as fast as they are taken or at the pace of the audio."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from turnstream.audio.input import AudioInput
from turnstream.errors import AudioError

from .reader import Floats, UnreadableError, open_reader, reason_of
from .riff import read_wav_header

SLACK_S, SLACK_SHARE = 0.5, 0.01  # between a header and its file: MP3 headers are estimates


class AudioFile:
    """A recording in any format that soundfile, PyAV or ffmpeg reads, never held in memory as a whole.

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
        try:
            self._file = open_reader(self.path)
        except UnreadableError as error:
            raise AudioError(f"{self.path} is not audio that can be read: {error}") from None
        self.rate_hz, self.channels = self._file.rate_hz, self._file.channels
        self.total_samples = self._file.total_samples
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
                block = self._file.read(size)
            except UnreadableError as error:
                place = f"{done / self.rate_hz:.1f} of {self.duration_s:.1f} s"
                raise AudioError(f"{self.path} is damaged after {place}: {error}") from None
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
        self._file.close()

    def _rewind(self) -> None:
        if self._begun:
            self._file.rewind()
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
        raise AudioError(f"{path} cannot be read: {reason_of(error)}") from None
