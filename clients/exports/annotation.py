"""Tiers for annotation programs: Praat's TextGrid and ELAN's EAF, one tier a speaker, written by pympi."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from turnstream.errors import TurnstreamError

from .document import Document

NEEDED = "TextGrid and ELAN files need pympi-ling: pip install 'turnstream[export]'"


def textgrid(document: Document) -> bytes:
    """Praat's. Raises TurnstreamError where pympi is not installed."""
    last_s = max([document.final.duration_s, *(spoken.end_s for spoken in document.spoken)])
    grid = _pympi().Praat.TextGrid(xmin=0.0, xmax=round(last_s, 3) or 0.001)
    for label in document.labels:
        tier = grid.add_tier(label.replace('"', '""'))
        for start_ms, end_ms, text in _intervals(document, label):
            tier.add_interval(start_ms / 1000, end_ms / 1000, text)
    return _written(grid)


def eaf(document: Document) -> bytes:
    """ELAN's, about the recording of this name. Raises TurnstreamError where pympi is not installed."""
    tiers = _pympi().Elan.Eaf(author="turnstream")
    for label in document.labels:
        tiers.add_tier(label)
        for start_ms, end_ms, text in _intervals(document, label):
            tiers.add_annotation(label, start_ms, end_ms, text)
    if document.labels:
        tiers.remove_tier("default")
    return _written(tiers)


def _intervals(document: Document, label: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, text) of one speaker in ms; none reaches into the next."""
    done_ms = 0
    for spoken in [spoken for spoken in document.spoken if spoken.label == label]:
        start_ms, end_ms = max(done_ms, round(spoken.start_s * 1000)), round(spoken.end_s * 1000)
        if end_ms > start_ms:
            yield start_ms, end_ms, spoken.text or label
            done_ms = end_ms


def _pympi() -> ModuleType:
    try:
        import pympi
    except ImportError:
        raise TurnstreamError(NEEDED) from None
    module: ModuleType = pympi
    return module


def _written(made: Any) -> bytes:
    """pympi writes to paths only."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "made")
        made.to_file(str(path))
        return path.read_bytes()
