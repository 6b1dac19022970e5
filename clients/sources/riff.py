"""WAV files whose header is wrong about their length, because the writer died or wrote more than 32 bits can count.

They are opened behind a new header that says what the file holds, so that all of it is read.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

UNKNOWN = 0xFFFFFFFF
MOST_SAID = 0x7F000000  # writers that do not know the length say something above it
MOST_CHUNK_BYTES = 1 << 20  # before the samples


@dataclass(frozen=True)
class WavHeader:
    """`form` is the format chunk, `data_at` where the samples begin, `behind` the bytes of the file from there on.

    `declared` is what the header says of their length, 0 for unknown; `chunk_follows` that something else comes then.
    """

    form: bytes
    data_at: int
    declared: int
    behind: int
    chunk_follows: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel; of one block where the samples are compressed."""
        return max(1, int.from_bytes(self.form[20:22], "little"))

    @property
    def second_bytes(self) -> int:
        return max(1, int.from_bytes(self.form[16:20], "little"))

    @property
    def is_wrong(self) -> bool:
        """Whether the samples go on to the end of the file, past the length that the header gives."""
        if self.declared == 0:
            return self.behind > 0 and not self.chunk_follows
        return self.behind - self.declared >= 1 << 32

    @property
    def found_bytes(self) -> int:
        """Bytes of samples that are there, whether or not the header knows them."""
        return min(self.declared, self.behind) if self.chunk_follows else self.behind


def read_wav_header(path: Path) -> WavHeader | None:
    """None where the file is no WAV file, or not one that can be understood. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            return None
        form, long_bytes = b"", 0
        while len(start := file.read(8)) == 8:
            name, length = start[:4], int.from_bytes(start[4:], "little")
            if name == b"data":
                declared = long_bytes if head[:4] == b"RF64" and length == UNKNOWN else length
                return _header(file, form, declared)
            body = file.read(min(length + length % 2, MOST_CHUNK_BYTES))
            form = start + body if name == b"fmt " else form
            long_bytes = int.from_bytes(body[8:16], "little") if name == b"ds64" else long_bytes
    return None


def _header(file: BinaryIO, form: bytes, declared: int) -> WavHeader | None:
    data_at = file.tell()
    behind = file.seek(0, os.SEEK_END) - data_at
    if (MOST_SAID < declared <= UNKNOWN and declared > behind) or declared == UNKNOWN:
        declared = 0 if behind > UNKNOWN else behind
    file.seek(data_at + declared + declared % 2)
    after = file.read(8)
    chunk_bytes = 8 + int.from_bytes(after[4:], "little")
    follows = len(after) == 8 and after[:4].isascii() and after[:4].decode().isprintable()
    follows = follows and declared + chunk_bytes <= behind + 2
    return WavHeader(form, data_at, declared, behind, follows) if len(form) >= 24 else None


class Mended(io.RawIOBase):
    """The file behind a header that gives the length it has; to be read only."""

    def __init__(self, path: Path, header: WavHeader):
        self._file = path.open("rb")
        frames = header.behind // header.frame_bytes
        self._head = _rf64(header.form, frames * header.frame_bytes, frames)
        self._skipped = header.data_at - len(self._head)
        self._size = len(self._head) + frames * header.frame_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        data = self._head[self._at : end]
        if end > self._at + len(data):
            self._file.seek(self._at + len(data) + self._skipped)
            data += self._file.read(end - self._at - len(data))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _rf64(form: bytes, data_bytes: int, frames: int) -> bytes:
    """The header of a WAV file of any length (EBU Tech 3306)."""
    sizes = [36 + len(form) + 8 + data_bytes, data_bytes, frames]
    long_sizes = b"".join(size.to_bytes(8, "little") for size in sizes) + bytes(4)
    unknown = UNKNOWN.to_bytes(4, "little")
    ds64 = b"ds64" + len(long_sizes).to_bytes(4, "little") + long_sizes
    return b"RF64" + unknown + b"WAVE" + ds64 + form + b"data" + unknown
