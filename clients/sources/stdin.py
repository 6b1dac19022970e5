"""Standard input as a source: a WAV that may have no end yet, or bare samples; heard as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from turnstream.audio.input import AudioInput, pcm_samples
from turnstream.errors import AudioError
from turnstream.limits import SAMPLE_BYTES

from ..options import InputOptions
from ..terminal.screen import RunStatus
from .file import paced
from .reader import Floats
from .riff import MOST_CHUNK_BYTES, MOST_SAID, UNKNOWN
from .source import Feed, Source, Step, Stop, ctrl_c_stops, engine_channel

READ_BYTES = 1 << 16
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # what a WAV's format chunk says of its samples
ENCODINGS = {(PCM, 16): "pcm_s16le", (PCM, 24): "pcm_s24le", (PCM, 32): "pcm_s32le", (FLOAT, 32): "pcm_f32le"}
EXPECTED = "a WAV with samples of 16, 24 or 32 bits, or --raw"


class StdinSource(Source):
    """Open-ended; Ctrl-C ends it with the result so far. `channel` counts from 1. Raises AudioError."""

    def __init__(self, options: InputOptions, channel: int | None, realtime: bool, stream: BinaryIO | None = None):
        self._stream = stream or sys.stdin.buffer
        if self._stream.isatty():
            raise AudioError("standard input is a terminal: expected audio, as in `arecord -f cd | turnstream file -`")
        self._encoding = options.encoding
        self._left: int | None = None  # bytes; None: up to the end
        self.rate_hz, self.channels = options.rate_hz, options.channels
        if not options.raw:
            self._read_header()
        AudioInput(self.rate_hz, self.channels, self._encoding)
        self.channel = engine_channel(channel, self.channels, "standard input")
        self.path, self.title, self.live, self.total_s = Path("stdin"), "standard input", realtime, None
        self.facts = {"rate": self.rate_hz, "channels": self.channels}
        self._stop = Stop()

    def steps(self, session: Feed) -> Iterator[Step]:
        """See `Source`."""
        samples, begun_s = 0, time.monotonic()
        for block in paced(self._blocks(), self.rate_hz) if self.live else self._blocks():
            if self.stopped:
                return
            events = session.feed(block)
            samples += len(block)
            position_s = samples / self.rate_hz
            backlog_s = max(time.monotonic() - begun_s - position_s, 0.0) if self.live else 0.0
            yield events, RunStatus(position_s, None, backlog_s)

    @property
    def stopped(self) -> bool:
        """See `Source`."""
        return self._stop.asked

    def _blocks(self) -> Iterator[Floats]:
        """The samples as they come, (N, channels); what is left of a cut-off sample at the end is dropped."""
        frame_bytes, rest = SAMPLE_BYTES[self._encoding] * self.channels, b""
        while not self.stopped and (data := self._next_bytes()):
            rest += data
            whole = len(rest) - len(rest) % frame_bytes
            if whole:
                yield pcm_samples(rest[:whole], self._encoding).reshape(-1, self.channels)
            rest = rest[whole:]

    def _next_bytes(self) -> bytes:
        wanted = READ_BYTES if self._left is None else min(READ_BYTES, self._left)
        read = getattr(self._stream, "read1", self._stream.read)
        data: bytes = read(wanted)
        self._left = None if self._left is None else self._left - len(data)
        return data

    def _read_header(self) -> None:
        """Up to the first sample. Raises AudioError for what is no WAV that can be read."""
        head = self._stream.read(12)
        if not head:
            raise AudioError(f"standard input is empty: expected {EXPECTED}")
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            raise AudioError(f"standard input is no WAV: expected {EXPECTED} (ffmpeg -i FILE -f wav - makes one)")
        form = b""
        while len(start := self._stream.read(8)) == 8:
            length = int.from_bytes(start[4:], "little")
            if start[:4] == b"data":
                self._take_form(form)
                self._left = None if length in (0, UNKNOWN) or length > MOST_SAID else length
                return
            if length > MOST_CHUNK_BYTES:
                break
            body = self._stream.read(length + length % 2)
            form = body if start[:4] == b"fmt " else form
        raise AudioError(f"standard input is a WAV without samples: expected {EXPECTED}")

    def _take_form(self, form: bytes) -> None:
        kind, self.channels, self.rate_hz, _, _, bits = np.frombuffer(form[:16].ljust(16, b"\0"), FORM)[0].tolist()
        kind = int.from_bytes(form[24:26], "little") if kind == EXTENSIBLE else kind
        if (kind, bits) not in ENCODINGS:
            raise AudioError(f"expected {EXPECTED}, got format {kind} with {bits} bits on standard input")
        self._encoding = ENCODINGS[kind, bits]

    def __enter__(self) -> StdinSource:
        self._handler = ctrl_c_stops(self._stop)
        self._handler.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handler.__exit__(None, None, None)


FORM = np.dtype("<u2, <u2, <u4, <u4, <u2, <u2")
