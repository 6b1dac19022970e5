"""Subtitles: SRT and WebVTT. The words of a cue are taken to be as long as they are written.

SRT gets `Anna: ` before the text, WebVTT the voice `<v Anna>`; words of nobody known get neither. A cue with several
speakers becomes several. Notes, styles, settings and names of cues stay; markup inside a cue that is split does not.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from turnstream.errors import TurnstreamError

from .spoken import Line, Word
from .transcript import KNOWN, estimated, in_order, in_segments, pieces, spans

ARROW = re.compile(r"^\s*(\S+)\s+-->\s+(\S+)(.*)$")
CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})")
VOICE = re.compile(r"</?v(?:[.\s][^>]*)?>")
MARKUP = re.compile(r"</?[^>\s][^>]*>")
STAMP = re.compile(r"<((?:\d+:)?\d{2}:\d{2}\.\d{3})>")


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle. `title` is the line above its times, `settings` what follows them."""

    title: str
    start_s: float
    end_s: float
    settings: str
    text: str


@dataclass(frozen=True, slots=True)
class Subtitles:
    """A file of subtitles: cues, and blocks that are none, as they are."""

    suffix: str
    blocks: Sequence[Cue | str]
    words: list[Word] = field(default_factory=list)

    def with_speakers(self, lines: Sequence[Line]) -> str:
        """See `Transcript`."""
        said, blocks = in_segments(lines), list[str]()
        for n, block in enumerate(self.blocks):
            made: Iterable[Cue | str] = self._split(block, said.get(n, [])) if isinstance(block, Cue) else [block]
            blocks.extend(self._written(one, number) for number, one in enumerate(made, start=len(blocks) + 1))
        return "\n\n".join(blocks) + "\n"

    def _split(self, cue: Cue, lines: Sequence[Line]) -> Iterator[Cue]:
        if len(lines) < 2:
            yield replace(cue, text=self._spoken(lines[0].label if lines else None, cue.text))
            return
        texts = pieces(MARKUP.sub("", cue.text), lines)
        for n, (line, text, span) in enumerate(zip(lines, texts, spans(lines, cue.start_s, cue.end_s), strict=True)):
            text = self._spoken(line.label, " ".join(text.split()))
            yield Cue("" if n else cue.title, *span, cue.settings, text)

    def _spoken(self, label: str | None, text: str) -> str:
        if label is None:
            return text
        return f"{label}: {text}" if self.suffix == ".srt" else f"<v {html.escape(label)}>{text}"

    def _written(self, block: Cue | str, number: int) -> str:
        if isinstance(block, str):
            return block
        point = "," if self.suffix == ".srt" else "."
        title = str(number) if self.suffix == ".srt" else block.title
        times = f"{clock(block.start_s, point)} --> {clock(block.end_s, point)}{block.settings}"
        return "\n".join([*([title] if title else []), times, *([block.text] if block.text else [])])


def read_subtitles(text: str) -> Subtitles:
    """Raises TurnstreamError for what is neither SRT nor WebVTT."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    suffix = ".vtt" if re.match(r"WEBVTT(\s|$)", text) else ".srt"
    blocks: list[Cue | str] = []
    for block in re.split(r"\n[ \t]*\n\s*", text.strip("\n")):
        cue = _cue(block)
        if cue is None and suffix == ".srt" and blocks and isinstance(before := blocks[-1], Cue):
            blocks[-1] = replace(before, text=f"{before.text}\n{block}".strip())  # an empty line inside a subtitle
        else:
            blocks.append(cue or block)
    if suffix == ".srt" and not (blocks and isinstance(blocks[0], Cue)):
        raise TurnstreamError(f"expected {KNOWN}, got a text that is none of them")
    words = [word for n, block in enumerate(blocks) if isinstance(block, Cue) for word in _words(block, n)]
    plain = [replace(block, text=STAMP.sub("", block.text)) if isinstance(block, Cue) else block for block in blocks]
    return Subtitles(suffix, plain, words)


def clock(time_s: float, point: str = ".") -> str:
    """Hours, minutes and seconds, such as 00:01:02.500."""
    minutes, rest_ms = divmod(round(time_s * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest_ms // 1000:02}{point}{rest_ms % 1000:03}"


def _cue(block: str) -> Cue | None:
    lines = block.split("\n")
    for n, line in enumerate(lines[:2]):
        if found := ARROW.match(line):
            start_s, end_s = _seconds(found[1], line), _seconds(found[2], line)
            text = VOICE.sub("", "\n".join(lines[n + 1 :])).strip()
            return Cue("\n".join(lines[:n]), start_s, max(start_s, end_s), found[3].rstrip(), text)
    return None


def _words(cue: Cue, number: int) -> list[Word]:
    """Those after a time stamp of WebVTT begin there; of the others only the whole's times are known."""
    first, *stamped = STAMP.split(cue.text)
    texts = [(cue.start_s, first), *zip(map(_seconds, stamped[::2]), stamped[1::2], strict=True)]
    ends = [start_s for start_s, _ in texts[1:]] + [cue.end_s]
    found = [
        word
        for (start_s, text), end_s in zip(texts, ends, strict=True)
        for word in estimated(MARKUP.sub("", text), start_s, max(start_s, end_s), number)
    ]
    times = in_order([(word.start_s, word.end_s) for word in found], cue.start_s, cue.end_s)
    return [Word(*time, word.text, number, place) for place, (word, time) in enumerate(zip(found, times, strict=True))]


def _seconds(text: str, line: str = "") -> float:
    if not (found := CLOCK.fullmatch(text)):
        raise TurnstreamError(f"expected times like 00:00:01,000 --> 00:00:02,500, got {(line or text)[:60]}")
    hours, minutes, seconds, parts = found.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(parts.ljust(3, "0")) / 1000
