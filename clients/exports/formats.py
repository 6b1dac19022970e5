"""The formats of results, each a function from a document to the bytes of its file, by the ending of the name."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable
from pathlib import Path

from turnstream.errors import TurnstreamError

from ..words.subtitles import clock
from .annotation import eaf, textgrid
from .document import Document, Spoken
from .picture import png, svg

FILE_NAMES = "surrogateescape"  # a name that is no text is written as the bytes that it is
Format = Callable[[Document], bytes]


def format_of(path: str, formats: dict[str, Format]) -> Format:
    """By the longest ending that fits. Raises TurnstreamError."""
    name = Path(path).name.lower()
    for ending in sorted(formats, key=len, reverse=True):
        if name.endswith(ending):
            return formats[ending]
    raise TurnstreamError(f"expected a file that ends in one of {', '.join(formats)}, got {path}")


def rttm(document: Document) -> bytes:
    """The turns; blanks in names are underscores."""
    return document.final.to_rttm(document.recording).encode("utf-8", FILE_NAMES)


def result_json(document: Document) -> bytes:
    """The `final` message of docs/protocol.md, with the lines where there are words; a transcript in JSON as itself."""
    if document.transcript and document.transcript.suffix == ".json":
        return _with_speakers(document)
    fields = json.loads(document.final.to_json())
    words = {"lines": document.line_fields} if document.transcript else {}
    return (json.dumps({**fields, **words}, ensure_ascii=False) + "\n").encode("utf-8", FILE_NAMES)


def srt(document: Document) -> bytes:
    """Subtitles; a transcript in SRT as itself."""
    if document.transcript and document.transcript.suffix == ".srt":
        return _with_speakers(document)
    cues = [
        f"{n}\n{clock(cue.start_s, ',')} --> {clock(cue.end_s, ',')}\n{_said(cue)}\n"
        for n, cue in enumerate(document.spoken, start=1)
    ]
    return _bytes("\n".join(cues))


def vtt(document: Document) -> bytes:
    """Subtitles with voices; a transcript in WebVTT as itself."""
    if document.transcript and document.transcript.suffix == ".vtt":
        return _with_speakers(document)
    cues = [
        f"{clock(cue.start_s)} --> {clock(cue.end_s)}\n<v {_escaped(cue.label)}>{_escaped(cue.text or cue.label)}\n"
        for cue in document.spoken
    ]
    return _bytes("\n".join(["WEBVTT\n", *cues]))


def csv_table(document: Document) -> bytes:
    """A table with a head: start, end, speaker, text."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["start", "end", "speaker", "text"])
    table.writerows(
        [f"{spoken.start_s:.3f}", f"{spoken.end_s:.3f}", spoken.label, spoken.text] for spoken in document.spoken
    )
    return _bytes(out.getvalue())


def txt(document: Document) -> bytes:
    """A line each, to be read by people."""
    return _bytes("".join(f"[{clock(spoken.start_s)[:-4]}] {_said(spoken)}\n" for spoken in document.spoken))


def labels(document: Document) -> bytes:
    """Audacity's label track."""
    rows = (f"{spoken.start_s:.6f}\t{spoken.end_s:.6f}\t{_said(spoken)}\n" for spoken in document.spoken)
    return _bytes("".join(rows))


FORMATS: dict[str, Format] = {
    ".rttm": rttm,
    ".json": result_json,
    ".srt": srt,
    ".vtt": vtt,
    ".csv": csv_table,
    ".txt": txt,
    ".labels.txt": labels,
    ".textgrid": textgrid,
    ".eaf": eaf,
}
PICTURES: dict[str, Format] = {".png": png, ".svg": svg}


def _said(spoken: Spoken) -> str:
    text = " ".join(spoken.text.split())
    return f"{spoken.label}: {text}" if text else spoken.label


def _escaped(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False)


def _with_speakers(document: Document) -> bytes:
    assert document.transcript is not None
    return _bytes(document.transcript.with_speakers(document.lines))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", FILE_NAMES)
