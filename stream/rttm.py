"""RTTM, the text format of diarization results (NIST RT-09 evaluation plan, appendix A): one writer, one reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import TurnstreamError, shown


@dataclass(frozen=True, slots=True)
class RttmSegment:
    """One speaker talking, in seconds from the start of the recording; `speaker` has no blanks."""

    start_s: float
    end_s: float
    speaker: str


def format_rttm(file_id: str, segments: Iterable[RttmSegment]) -> str:
    """RTTM lines for one recording, in the order given; blanks in `file_id` become underscores.

    Times are written in milliseconds; a segment that is empty at that precision is left out.
    """
    name = rttm_name(file_id)
    lines = []
    for segment in segments:
        start_ms, end_ms = round(segment.start_s * 1000), round(segment.end_s * 1000)
        if end_ms > start_ms:
            times = f"{start_ms / 1000:.3f} {(end_ms - start_ms) / 1000:.3f}"
            lines.append(f"SPEAKER {name} 1 {times} <NA> <NA> {segment.speaker} <NA> <NA>\n")
    return "".join(lines)


def rttm_name(file_id: str) -> str:
    """How RTTM calls a recording: without blanks."""
    return "_".join(file_id.split()) or "stream"


def parse_rttm(text: str) -> dict[str, list[RttmSegment]]:
    """Segments by file id, in the order of the text; other line types, comments (`;;`) and empty lines are skipped.

    Raises TurnstreamError, with the line number, for a SPEAKER line that is short, has blanks in a name, or whose times
    are no times.
    """
    files: dict[str, list[RttmSegment]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            segment = _segment(fields, number)
            files.setdefault(fields[1], []).append(segment)
    return files


def _segment(fields: list[str], number: int) -> RttmSegment:
    if len(fields) < 8:
        raise TurnstreamError(f"RTTM line {number}: expected at least 8 fields, got {len(fields)}")
    if len(fields) > 10 or not (fields[8:9] == [] or fields[8] == "<NA>" or _is_number(fields[8])):
        raise TurnstreamError(f"RTTM line {number}: expected names without blanks, got {shown(' '.join(fields))}")
    try:
        start_s, duration_s = float(fields[3]), float(fields[4])
    except ValueError:
        raise TurnstreamError(
            f"RTTM line {number}: expected start and duration, got {shown(' '.join(fields[3:5]))}"
        ) from None
    if not (0 <= start_s < float("inf") and 0 <= duration_s < float("inf")):
        raise TurnstreamError(f"RTTM line {number}: expected times of 0 s or more, got {shown(' '.join(fields[3:5]))}")
    return RttmSegment(start_s, round(start_s + duration_s, 6), fields[7])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
