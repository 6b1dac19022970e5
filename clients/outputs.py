"""Where the results of a run go: RTTM files, JSON lines on stdout; checked before the first sample is read."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from turnstream.errors import TurnstreamError, printable
from turnstream.events import Event, Final, to_json
from turnstream.rttm import rttm_name

from .options import OutputOptions

FILE_NAMES = "surrogateescape"  # a name that is no text is written as the bytes that it is


class Readable(Protocol):
    """A recording, or another source, that was heard."""

    path: Path

    def warning(self) -> str | None:
        """One sentence, if anything was odd."""


def complain(message: str, code: int = 1) -> int:
    """One sentence on stderr; the exit code, for the caller to return."""
    print(f"turnstream: {printable(message)}", file=sys.stderr)
    return code


def warn(message: str) -> None:
    """One sentence on stderr about what does not stop the run."""
    print(f"turnstream: warning: {printable(message)}", file=sys.stderr)


def say(line: str) -> None:
    """One line on stdout; what names of files, devices and people hold does nothing to the terminal."""
    print(printable(line), flush=True)


def report(source: Readable) -> None:
    """What was odd about the source, on stderr."""
    if warning := source.warning():
        warn(f"{source.path}: {warning}")


def swallow(stream: TextIO) -> None:
    """Let what is still written to a broken pipe go nowhere; Python would complain about it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Stdout:
    """Standard output that survives its reader: once it cannot be written to, it swallows everything.

    `broken` is set then, and `check` says why, unless the reader has just seen enough.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.broken = False
        self._problem = ""

    def write(self, text: str) -> int:
        """As a text file's; errors are noted instead of raised."""
        if not self.broken:
            try:
                self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """As a text file's; errors are noted instead of raised."""
        if not self.broken:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def check(self) -> None:
        """Raises TurnstreamError where something could not be written, though there was a reader."""
        if self._problem:
            raise TurnstreamError(f"cannot write to standard output: {self._problem}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        self.broken = True
        self._problem = "" if isinstance(error, BrokenPipeError) else error.strerror or str(error)
        swallow(self._stream)


class RttmOutput:
    """RTTM of several recordings: one file each where the path is a folder, else one file that holds them all.

    Raises TurnstreamError, before anything is written, if that cannot be written or is one of the recordings.
    """

    def __init__(self, path: str, recordings: Sequence[Path]) -> None:
        self._folder = path.endswith(os.sep) or os.path.isdir(path)
        self._path = Path(path)
        self._begun: set[Path] = set()
        targets = {self.target(recording) for recording in recordings}
        for target in targets:
            if any(_same_file(target, recording) for recording in recordings):
                raise TurnstreamError(f"{target} is a recording: expected another path for the RTTM")
        if self._folder:
            with _explained(self._path):
                self._path.mkdir(parents=True, exist_ok=True)
        for target in targets:
            with _explained(target):
                _try_to_write(target)

    def target(self, recording: Path) -> Path:
        """The file that the turns of this recording go to."""
        return self._path / f"{recording.stem}.rttm" if self._folder else self._path

    def write(self, recording: Path, rttm: str) -> None:
        """Add the turns of one recording; the first one replaces what the file held before this run."""
        target = self.target(recording)
        mode = "a" if target in self._begun else "w"
        with _explained(target), target.open(mode, encoding="utf-8", errors=FILE_NAMES) as file:
            file.write(rttm)
        self._begun.add(target)


class Outputs:
    """All results of one run of the command that do not go to the screen."""

    def __init__(self, stdout: Stdout, options: OutputOptions, recordings: Sequence[Path]) -> None:
        rttm, live_rttm = options.rttm, options.live_rttm
        if rttm is not None or live_rttm is not None:
            _check_names(recordings)
        if rttm is not None and live_rttm is not None and Path(rttm).resolve() == Path(live_rttm).resolve():
            raise TurnstreamError(f"--rttm and --live-rttm are both {rttm}: expected two paths")
        self._stdout = stdout if options.json else None
        self._rttm = RttmOutput(rttm, recordings) if rttm is not None else None
        self._live_rttm = RttmOutput(live_rttm, recordings) if live_rttm is not None else None

    def begin(self, recording: Path, **facts: Any) -> None:
        """A recording starts: with JSON lines, one line that names it."""
        self._line(json.dumps({"type": "recording", "path": str(recording), **facts}, separators=(",", ":")))

    def events(self, events: Iterable[Event]) -> None:
        """What became known: with JSON lines, one line an event."""
        for event in events:
            self._line(to_json(event))

    def live(self, recording: Path, live_rttm: str) -> None:
        """The turns as they were committed; also called when a run was interrupted."""
        if self._live_rttm:
            self._live_rttm.write(recording, live_rttm)

    def final(self, recording: Path, final: Final) -> None:
        """The final result."""
        self.events([final])
        if self._rttm:
            self._rttm.write(recording, final.to_rttm(recording.stem))

    @property
    def unread(self) -> bool:
        """True once nobody is left to read any result."""
        return self._stdout is not None and self._stdout.broken and not self._rttm and not self._live_rttm

    def _line(self, text: str) -> None:
        if self._stdout:
            self._stdout.write(text + "\n")
            self._stdout.flush()  # whoever reads it wants to know now


def _check_names(recordings: Sequence[Path]) -> None:
    """RTTM names recordings by their file names."""
    names: dict[str, Path] = {}
    for path in recordings:
        other = names.setdefault(rttm_name(path.stem), path)
        if other is not path:
            raise TurnstreamError(f"RTTM would call {other} and {path} by one name: run them separately")


def _same_file(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve() or (first.exists() and second.exists() and first.samefile(second))


def _try_to_write(path: Path) -> None:
    existed = path.exists()
    path.open("a").close()
    if not existed:
        path.unlink()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TurnstreamError(f"cannot write {path}: {error.strerror or error}") from error
