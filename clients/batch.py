"""The recordings of one `turnstream file`: which of them can be opened, and where the run over all of them stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from turnstream.errors import AudioError

from .options import FileOptions
from .outputs import complain
from .sources.source import RecordingSource, Source
from .sources.stdin import StdinSource

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Place:
    """One of several recordings: `before_s` seconds of the `all_s` were heard before it. None: nobody knows."""

    path: Path
    number: int
    count: int
    before_s: float
    all_s: float | None

    def title(self, name: str) -> str:
        """The name with its place among the others."""
        return name if self.count == 1 else f"{name} ({self.number} of {self.count})"


class Batch:
    """`paths` are those that could be opened; what is wrong with the others is said at once, and `failed` is set."""

    def __init__(self, options: FileOptions):
        self._options = options
        self._stdin: StdinSource | None = None
        self.failed = False
        self._lengths_s: dict[Path, float | None] = {}
        for path in options.paths:
            self._look_at(path)

    @property
    def paths(self) -> list[Path]:
        """As the results name them."""
        return list(self._lengths_s)

    def places(self) -> Iterator[Place]:
        """One after another."""
        lengths_s = list(self._lengths_s.values())
        known_s = [length_s for length_s in lengths_s if length_s is not None]
        all_s = sum(known_s) if len(known_s) == len(lengths_s) else None
        for n, path in enumerate(self.paths):
            yield Place(path, n + 1, len(lengths_s), sum(length or 0.0 for length in lengths_s[:n]), all_s)

    def open(self, path: Path) -> Source:
        """Raises AudioError."""
        if self._stdin and path == self._stdin.path:
            return self._stdin
        return RecordingSource(path, self._options.engine.channel, self._options.realtime)

    def _look_at(self, path: Path) -> None:
        try:
            if path == STDIN and self._stdin:
                return  # it can be heard only once
            if path == STDIN:
                self._stdin = StdinSource(self._options.stdin, self._options.engine.channel, self._options.realtime)
                self._lengths_s[self._stdin.path] = None
                return
            with RecordingSource(path, self._options.engine.channel, realtime=False) as source:
                self._lengths_s[path] = source.total_s
        except AudioError as error:
            self.failed = bool(complain(str(error)))
