"""Recordings that libsndfile does not know (m4a, mp4, webm, mkv, aac, wma, ...), by PyAV or by ffmpeg's programs.

Both give the first sound track at its own rate. Where its time stamps leave a gap, silence takes its place: times are
those that a player shows.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from .reader import Floats, Reader, UnreadableError

GAP_S, MOST_GAP_S = 0.1, 600.0  # less is rounding of time stamps; more is a clock that was set
SAMPLE_BYTES = 4
NEEDED = "m4a, mp4, webm, mkv, aac and wma need PyAV (pip install 'turnstream[media]') or ffmpeg on the path"
NO_TRACK = "it has no sound track"


def open_media(path: Path, problem: str) -> Reader:
    """`problem` is why libsndfile refused it. Raises UnreadableError."""
    if importlib.util.find_spec("av"):
        return AvReader(path)
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        return FfmpegReader(path)
    raise UnreadableError(f"{problem} ({NEEDED})")


class AvReader:
    """A recording read by PyAV."""

    def __init__(self, path: Path):
        self._path = path
        self._ready, self._waiting = list[Floats](), 0
        self._open()
        self.total_samples = round(self._header_s() * self.rate_hz) or self._count()

    def read(self, samples: int) -> Floats:
        """See `Reader`."""
        while self._waiting < samples and (block := next(self._blocks, None)) is not None:
            self._ready.append(block)
            self._waiting += len(block)
        block, rest = np.split(np.concatenate([np.zeros((0, self.channels), np.float32), *self._ready]), [samples])
        self._ready, self._waiting = [rest], len(rest)
        return block

    def rewind(self) -> None:
        """See `Reader`."""
        self.close()
        self._open()

    def close(self) -> None:
        """See `Reader`."""
        self._closing.close()

    def _open(self) -> None:
        import av

        with contextlib.ExitStack() as opening, _explained():
            file = opening.enter_context(self._path.open("rb"))  # not a name: it cannot be taken for an address
            container: Any = opening.enter_context(av.open(file, metadata_errors="ignore"))
            stream = container.streams.best("audio")
            if stream is None or not stream.codec_context.sample_rate:
                raise UnreadableError(NO_TRACK)
            self.rate_hz, self.channels = stream.codec_context.sample_rate, stream.codec_context.layout.nb_channels
            self._container, self._stream = container, stream
            self._blocks, self._closing = self._decoded(container), opening.pop_all()
        self._ready, self._waiting = list[Floats](), 0

    def _header_s(self) -> float:
        """0 where the file does not know: what has no time stamps has a length that was only estimated."""
        if self._stream.start_time is None:
            return 0.0
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return (self._container.duration or 0) / 1e6

    def _count(self) -> int:
        samples = 0
        with contextlib.suppress(UnreadableError):
            samples = sum(map(len, self._blocks))
        self.rewind()
        return samples

    def _decoded(self, container: Any) -> Iterator[Floats]:
        """The track from the beginning of the recording, in blocks."""
        from av import AudioResampler

        start_s, given = (container.start_time or 0) / 1e6, 0
        resampler: Any = None
        shape: tuple[str, str, int] | None = None
        with _explained():
            for frame in container.decode(self._stream):
                if shape != (shape := (frame.format.name, frame.layout.name, frame.sample_rate)):
                    resampler = AudioResampler("flt", frame.layout, self.rate_hz)
                silent = np.zeros((self._gap(frame, start_s, given), self.channels), np.float32)
                made = [part.to_ndarray().reshape(-1, frame.layout.nb_channels) for part in resampler.resample(frame)]
                block = np.concatenate([silent, *map(self._shaped, made)])
                given += len(block)
                yield block

    def _gap(self, frame: Any, start_s: float, given: int) -> int:
        """Samples of silence before this frame."""
        missing_s = 0.0 if frame.time is None else frame.time - start_s - given / self.rate_hz
        return round(missing_s * self.rate_hz) if GAP_S < missing_s < MOST_GAP_S else 0

    def _shaped(self, samples: Floats) -> Floats:
        """A track may change its channels in the middle: they are mixed, or one is repeated."""
        if samples.shape[1] == self.channels:
            return samples
        return np.repeat(samples.mean(axis=1, keepdims=True), self.channels, axis=1)


class FfmpegReader:
    """A recording read by the programs ffprobe and ffmpeg."""

    def __init__(self, path: Path):
        self._path = b"file:" + os.fsencode(path)
        said = self._probe()
        if not (tracks := said.get("streams")):
            raise UnreadableError(NO_TRACK)
        self.rate_hz, self.channels = int(tracks[0]["sample_rate"]), int(tracks[0]["channels"])
        header_s = float(tracks[0].get("duration") or said.get("format", {}).get("duration") or 0)
        header_s = header_s if "start_time" in tracks[0] else 0.0  # without time stamps it was only estimated
        self._start()
        self.total_samples = round(header_s * self.rate_hz) or self._count()

    def read(self, samples: int) -> Floats:
        """See `Reader`."""
        assert self._process.stdout is not None
        frame_bytes = SAMPLE_BYTES * self.channels
        data = self._process.stdout.read(samples * frame_bytes)
        if not data and self._process.wait():
            raise UnreadableError(self._complaint())
        whole = len(data) - len(data) % frame_bytes
        return np.frombuffer(data[:whole], "<f4").reshape(-1, self.channels)

    def rewind(self) -> None:
        """See `Reader`."""
        self.close()
        self._start()

    def close(self) -> None:
        """See `Reader`."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _probe(self) -> Any:
        wanted = "stream=sample_rate,channels,start_time,duration:format=duration"
        command = ["ffprobe", "-v", "error", "-protocol_whitelist", "file", "-select_streams", "a:0"]
        command += ["-show_entries", wanted, "-of", "json"]
        done = subprocess.run([*command, self._path], capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise UnreadableError(_last_line(done.stderr))
        return json.loads(done.stdout)

    def _start(self) -> None:
        command: list[str | bytes] = [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-protocol_whitelist",
            "file",
            "-i",
            self._path,
        ]
        filled = f"aresample={self.rate_hz}:async=1:min_hard_comp={GAP_S}:first_pts=0"
        command += ["-map", "0:a:0", "-af", filled, "-ac", str(self.channels), "-f", "f32le", "pipe:1"]
        self._errors = TemporaryFile()  # noqa: SIM115  # closed with the reader
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
        )

    def _count(self) -> int:
        samples = 0
        with contextlib.suppress(UnreadableError):
            while read := len(self.read(self.rate_hz)):
                samples += read
        self.rewind()
        return samples

    def _complaint(self) -> str:
        self._errors.seek(0)
        return _last_line(self._errors.read())


def _last_line(text: bytes) -> str:
    """What ffmpeg says at last, without the place in its own memory and the name of the file."""
    lines = text.decode(errors="replace").strip().splitlines() or ["ffmpeg cannot read it"]
    return lines[-1].split("] ")[-1].split(": ")[-1].rstrip(".")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    import av

    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise UnreadableError(str(error.strerror or error)) from None
