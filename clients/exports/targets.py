"""The files that results are written to, checked before the first sample is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from turnstream.errors import TurnstreamError
from turnstream.events import Final
from turnstream.rttm import rttm_name

from .document import Document
from .formats import Format, format_of, rttm

NAME = "{name}"  # in a path: the recording's name
TRIAL = Document("trial", Final("stop", 1.0, (), ()))


class Target:
    """One file for all recordings, or one for each where the path has {name} in it; its folder is made then.

    Several recordings fit into one file only as RTTM (`appends`), which names them. Raises TurnstreamError, before
    anything is written, where that cannot be.
    """

    def __init__(self, path: str, recordings: Sequence[Path], *, appends: bool):
        self._path = path
        self._begun: set[Path] = set()
        if Path(path).is_dir() or path.endswith("/"):
            raise TurnstreamError(f"{path} is a folder: expected a file, such as {Path(path, NAME)}.rttm")
        if len(recordings) > 1 and NAME not in path and not appends:
            example = Path(path).with_stem(NAME)
            raise TurnstreamError(f"{path} is one file for {len(recordings)} recordings: expected {NAME}, as {example}")
        check_names(recordings)
        for target in {self.of(recording) for recording in recordings}:
            if any(_same_file(target, recording) for recording in recordings):
                raise TurnstreamError(f"{target} is a recording: expected another path for the results")
            with _explained(target):
                if NAME in path:
                    target.parent.mkdir(parents=True, exist_ok=True)
                _try_to_write(target)

    def of(self, recording: Path) -> Path:
        """The file of this recording."""
        return Path(self._path.replace(NAME, recording.stem))

    def write(self, recording: Path, data: bytes) -> None:
        """Add what is known of one recording; the first one replaces what the file held before this run."""
        target = self.of(recording)
        with _explained(target), target.open("ab" if target in self._begun else "wb") as file:
            file.write(data)
        self._begun.add(target)


class Exports:
    """All files of one run, each in the format of its ending. Raises TurnstreamError for two that are one."""

    def __init__(self, paths: Sequence[tuple[str, dict[str, Format]]], recordings: Sequence[Path]):
        self._targets: list[tuple[Callable[[Document], bytes], Target]] = []
        for path, formats in paths:
            written = format_of(path, formats)
            written(TRIAL)  # what it needs is installed
            self._targets.append((written, Target(path, recordings, appends=written is rttm)))
        check_different([path for path, _ in paths])

    def __bool__(self) -> bool:
        return bool(self._targets)

    def write(self, recording: Path, document: Document) -> None:
        """Raises TurnstreamError where a file cannot be written."""
        for written, target in self._targets:
            target.write(recording, written(document))


def check_different(paths: Sequence[str]) -> None:
    """Raises TurnstreamError where two paths are one file."""
    seen: set[Path] = set()
    for path in paths:
        if (resolved := Path(path).resolve()) in seen:
            raise TurnstreamError(f"two results would be written to {path}: expected different files")
        seen.add(resolved)


def check_names(recordings: Sequence[Path]) -> None:
    """Results name recordings by their file names. Raises TurnstreamError where two have one."""
    names: dict[str, Path] = {}
    for path in recordings:
        other = names.setdefault(rttm_name(path.stem), path)
        if other is not path:
            raise TurnstreamError(f"results would call {other} and {path} by one name: run them separately")


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
