"""Transcripts made elsewhere, read and written again with speakers: what all formats have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Protocol

from turnstream.errors import TurnstreamError
from turnstream.files import read_at_most

from .spoken import Line, Word

MOST_BYTES = 200_000_000
KNOWN = "the JSON of openai-whisper, faster-whisper, whisper.cpp or WhisperX, SRT or WebVTT"
Times = tuple[float, float] | None
CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # written without blanks: every character counts as a word
WORD = re.compile(rf"[{CJK}]|[^\s{CJK}]+")


class Transcript(Protocol):
    """Words in segments, and the way back to the format that they came in."""

    @property
    def suffix(self) -> str:
        """Of the format, such as `.srt`."""

    @property
    def words(self) -> Sequence[Word]:
        """All of them; `segment` and `place` say where each is in the file."""

    def with_speakers(self, lines: Sequence[Line]) -> str:
        """The file again; segments are split where the speaker changes. `lines` has every word, in order."""


def read_transcript(path: Path) -> Transcript:
    """Raises TurnstreamError, one sentence, for what cannot be read or is no transcript."""
    from .recognized import read_json
    from .subtitles import read_subtitles

    try:
        text = read_at_most(path, MOST_BYTES).decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise TurnstreamError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        if text.lstrip()[:1] in ("{", "["):
            return read_json(text)
        return read_subtitles(text)
    except TurnstreamError as error:
        raise TurnstreamError(f"{path}: {error}") from None


def in_segments(lines: Sequence[Line]) -> dict[int, list[Line]]:
    """The lines of each segment that has any."""
    return {segment: list(group) for segment, group in groupby(lines, key=lambda line: line.words[0].segment)}


def estimated(text: str, start_s: float, end_s: float, segment: int) -> list[Word]:
    """The words of a text of which only the whole's times are known: long words take longer."""
    found = WORD.findall(text)
    total, done, words = sum(len(word) + 1 for word in found), 0, list[Word]()
    for place, word in enumerate(found):
        begin_s = start_s + (end_s - start_s) * done / total
        done += len(word) + 1
        words.append(Word(begin_s, start_s + (end_s - start_s) * done / total, word, segment, place))
    return words


def in_order(times: Sequence[Times], start_s: float, end_s: float) -> list[tuple[float, float]]:
    """The times of a segment's words: unknown ones share what lies between those around them, none begins earlier."""
    found: list[tuple[float, float]] = []
    runs = [(known, list(run)) for known, run in groupby(times, key=lambda time: time is not None)]
    for n, (known, run) in enumerate(runs):
        if not known:
            follows = runs[n + 1][1][0] if n + 1 < len(runs) else None
            run = _shared(found[-1][1] if found else start_s, follows[0] if follows else end_s, len(run))
        for begin_s, stop_s in [time for time in run if time]:
            begin_s = max(begin_s, found[-1][0] if found else begin_s)
            found.append((begin_s, max(begin_s, stop_s)))
    return found


def _shared(start_s: float, end_s: float, count: int) -> list[Times]:
    step_s = max(end_s - start_s, 0.0) / count
    return [(start_s + n * step_s, start_s + (n + 1) * step_s) for n in range(count)]


def pieces(text: str, lines: Sequence[Line]) -> list[str]:
    """The text of a segment cut where its lines begin; joined words where they are not found in it."""
    cuts, at = [0], 0
    for n, line in enumerate(lines):
        for k, word in enumerate(line.words):
            found = text.find(word.text.strip(), at)
            if found < 0:
                return [line.text for line in lines]
            if n and k == 0:
                cuts.append(found)
            at = found + len(word.text.strip())
    return [text[begin:end] for begin, end in pairwise([*cuts, len(text)])]


def spans(lines: Sequence[Line], start_s: float, end_s: float) -> Iterator[tuple[float, float]]:
    """(start, end) of each line of a segment from `start_s` to `end_s`."""
    for n, line in enumerate(lines):
        begins_s = start_s if n == 0 else line.start_s
        yield begins_s, max(begins_s, end_s if n == len(lines) - 1 else min(line.end_s, lines[n + 1].start_s))
