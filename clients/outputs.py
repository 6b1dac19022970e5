"""Where the results of a run go: files, JSON lines on stdout; checked before the first sample is read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from turnstream.errors import TurnstreamError, printable
from turnstream.events import Event, Final, to_json

from .exports.document import Document
from .exports.formats import FILE_NAMES, FORMATS, PICTURES
from .exports.targets import NAME, Exports, Target, check_different, check_names
from .options import OutputOptions
from .results import make_folder
from .words.transcript import Transcript, read_transcript


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


class Outputs:
    """All results of one run of the command that do not go to the screen."""

    def __init__(self, stdout: Stdout, options: OutputOptions, recordings: Sequence[Path]) -> None:
        paths = [*((path, FORMATS) for path in options.out), *((path, PICTURES) for path in options.picture)]
        live = [options.live_rttm] if options.live_rttm is not None else []
        check_different([*(path for path, _ in paths), *live])
        self._transcripts = _transcripts(options.words, recordings)
        self._exports = Exports(paths, recordings)
        self._live_rttm = Target(live[0], recordings, appends=True) if live else None
        self._stdout = stdout if options.json else None
        self._renumber = options.renumber
        if options.keep:
            check_names(recordings)
            make_folder(options.keep)

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
            self._live_rttm.write(recording, live_rttm.encode("utf-8", FILE_NAMES))

    def final(self, recording: Path, final: Final) -> Document:
        """The final result, with the words of the transcript where there is one."""
        self.events([final])
        words = self._transcripts.get(recording)
        written = final.renumbered() if self._renumber else final
        self._exports.write(recording, Document.of(recording.stem, written, words))
        return Document.of(recording.stem, final, words)

    @property
    def unread(self) -> bool:
        """True once nobody is left to read any result."""
        return self._stdout is not None and self._stdout.broken and not self._exports and not self._live_rttm

    def _line(self, text: str) -> None:
        if self._stdout:
            self._stdout.write(text + "\n")
            self._stdout.flush()  # whoever reads it wants to know now


def _transcripts(path: str | None, recordings: Sequence[Path]) -> dict[Path, Transcript]:
    """Of each recording, where there are any. Raises TurnstreamError."""
    if path is None:
        return {}
    if len(recordings) > 1 and NAME not in path:
        raise TurnstreamError(
            f"--words {path} is one transcript of {len(recordings)} recordings: expected {NAME} in it"
        )
    return {recording: read_transcript(Path(path.replace(NAME, recording.stem))) for recording in recordings}
