"""The JSON of speech recognizers: openai-whisper, faster-whisper, WhisperX and whisper.cpp (`-oj`, `-ojf`).

Everything in it is kept; segments, words and tokens get `speaker`: a name, `S1`, or null for nobody known. A segment
with several speakers is split; of its tokens' numbers and its confidence nothing can be said then: they are left out.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnstream.errors import TurnstreamError
from turnstream.json_text import load_json

from .spoken import Line, Word
from .transcript import CJK, KNOWN, Times, estimated, in_order, in_segments, pieces, spans

Fields = dict[str, Any]
BEGINS = re.compile(rf"[\s{CJK}]")  # of whisper.cpp's tokens, those that begin a word
OF_A_WHOLE = ("tokens", "avg_logprob", "compression_ratio", "no_speech_prob", "seek", "temperature")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one recognizer names things; times of `seconds` and `with_seconds` are of a segment, a word or a token."""

    segments: str
    seconds: Callable[[Fields], Times]
    with_seconds: Callable[[Fields, float, float], Fields]
    parts: str  # what a segment's words or tokens are called
    word: str
    begins_word: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Recognized:
    """A transcript in JSON. `root` has the segments, `lists` whether it is only the list of them."""

    dialect: Dialect
    root: Fields
    lists: bool
    suffix: str = ".json"
    words: list[Word] = field(default_factory=list)

    def with_speakers(self, lines: Sequence[Line]) -> str:
        """See `Transcript`."""
        said = in_segments(lines)
        made: list[Fields] = []
        for n, segment in enumerate(self.root[self.dialect.segments]):
            made += _split(self.dialect, segment, said[n]) if n in said else [{**segment, "speaker": None}]
        if made and "id" in made[0]:
            made = [{**segment, "id": n} for n, segment in enumerate(made)]
        root = {**self.root, self.dialect.segments: made}
        if "word_segments" in root:  # WhisperX
            listed = (segment.get("words") for segment in made)
            root["word_segments"] = [word for words in listed if isinstance(words, list) for word in words]
        return json.dumps(made if self.lists else root, ensure_ascii=False, indent=2) + "\n"


def read_json(text: str) -> Recognized:
    """Raises TurnstreamError for what is no transcript."""
    try:
        value = load_json(text)
    except ValueError as error:
        raise TurnstreamError(f"expected {KNOWN}, got JSON that cannot be read: {error}") from None
    lists = isinstance(value, list)
    root: Any = {"segments": value} if lists else value
    dialect = WHISPER_CPP if "transcription" in root else WHISPER
    segments = root.get(dialect.segments)
    if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
        raise TurnstreamError(f"expected {KNOWN}, got JSON without a list of segments")
    words = [word for n, segment in enumerate(segments) for word in _words(dialect, segment, n)]
    return Recognized(dialect, root, lists, words=words)


def _words(dialect: Dialect, segment: Fields, number: int) -> list[Word]:
    times = dialect.seconds(segment)
    text = segment.get("text")
    if times is None or not isinstance(text, str):
        raise TurnstreamError(f"segment {number + 1}: expected a text, a start and an end, got {str(segment)[:60]}")
    grouped = _grouped(dialect, segment)
    if not grouped:
        return estimated(text, *times, number)
    found = in_order([_times(dialect, group) for group in grouped], *times)
    texts = ["".join(str(part[dialect.word]) for part in group) for group in grouped]
    return [Word(*time, said, number, place) for place, (time, said) in enumerate(zip(found, texts, strict=True))]


def _grouped(dialect: Dialect, segment: Fields) -> list[list[Fields]]:
    """The parts of a segment, those of one word together."""
    parts = segment.get(dialect.parts) or []
    groups: list[list[Fields]] = []
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, dict) or not isinstance(part.get(dialect.word), str) or _is_mark(part[dialect.word]):
            continue
        if groups and not dialect.begins_word(part[dialect.word]):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _times(dialect: Dialect, group: Sequence[Fields]) -> Times:
    first, last = dialect.seconds(group[0]), dialect.seconds(group[-1])
    return (first[0], last[1]) if first and last else None


def _split(dialect: Dialect, segment: Fields, lines: Sequence[Line]) -> list[Fields]:
    """The segment as one for each line."""
    times = dialect.seconds(segment)
    assert times is not None
    whole = {key: value for key, value in segment.items() if len(lines) == 1 or key not in OF_A_WHOLE}
    made = [
        {**dialect.with_seconds(copy.deepcopy(whole), *span), "text": text, "speaker": line.label}
        for line, text, span in zip(lines, pieces(segment["text"], lines), spans(lines, *times), strict=True)
    ]
    if groups := _grouped(dialect, segment):
        for line, piece in zip(lines, made, strict=True):
            parts = [part for word in line.words for part in groups[word.place]]
            piece[dialect.parts] = [{**part, "speaker": line.label} for part in parts]
    return made


def _is_mark(text: str) -> bool:
    """What whisper.cpp has among the tokens to mark times, such as [_BEG_]."""
    return text.startswith("[_") and text.endswith("]")


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return max(float(value), 0.0) if good else None


def _pair(start: Any, end: Any, scale: float = 1.0) -> Times:
    start_s, end_s = _number(start), _number(end)
    return None if start_s is None or end_s is None else (start_s * scale, end_s * scale)


def _with_ms(fields: Fields, start_s: float, end_s: float) -> Fields:
    start_ms, end_ms = round(start_s * 1000), round(end_s * 1000)
    clocks = {"from": _clock(start_ms), "to": _clock(end_ms)}
    return {**fields, "timestamps": clocks, "offsets": {"from": start_ms, "to": end_ms}}


def _clock(time_ms: int) -> str:
    minutes, rest_ms = divmod(time_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest_ms // 1000:02},{rest_ms % 1000:03}"


def _offsets(fields: Fields) -> Times:
    offsets = fields.get("offsets")
    return _pair(offsets.get("from"), offsets.get("to"), 0.001) if isinstance(offsets, dict) else None


WHISPER = Dialect(
    "segments",
    lambda fields: _pair(fields.get("start"), fields.get("end")),
    lambda fields, start_s, end_s: {**fields, "start": round(start_s, 3), "end": round(end_s, 3)},
    "words",
    "word",
    lambda text: True,
)
WHISPER_CPP = Dialect("transcription", _offsets, _with_ms, "tokens", "text", lambda text: bool(BEGINS.match(text)))
