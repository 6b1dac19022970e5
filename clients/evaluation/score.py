"""`turnstream score`: how far a result is from a reference: DER, its parts and JER, with and without a collar."""

from __future__ import annotations

from pathlib import Path

from turnstream.errors import TurnstreamError
from turnstream.files import read_at_most
from turnstream.rttm import RttmSegment, parse_rttm

from ..options import ScoreOptions
from ..outputs import warn
from ..results import read_result
from .recordings import Extents, Turns, read_extents
from .scoring import COLLARS_S, Errors, Jaccard, errors_of, jaccard_of, pooled

MOST_BYTES = 100_000_000
NAME_COLUMNS = 28


def score(options: ScoreOptions) -> int:
    """The command: recordings are those of the reference; two files about one recording each belong together."""
    reference, hypothesis = _turns(options.reference), _turns(options.hypothesis)
    if len(reference) == len(hypothesis) == 1:
        hypothesis = dict(zip(reference, hypothesis.values(), strict=True))
    _warn_of_others(reference, hypothesis)
    for collar_s in COLLARS_S:
        print(f"collar {collar_s:g} s, overlap scored; percent of the speech")
        print(f"{'':{NAME_COLUMNS}}{'DER':>8}{'false alarm':>13}{'missed':>8}{'confusion':>11}{'JER':>8}")
        found = {name: _compared(name, reference, hypothesis, options.uem, collar_s) for name in reference}
        for name, (errors, jaccard) in found.items():
            _print_row(name, errors, jaccard)
        if len(found) > 1:
            _print_row("all", pooled(e for e, _ in found.values()), sum((j for _, j in found.values()), Jaccard()))
    return 0


def _compared(
    name: str, reference: dict[str, Turns], hypothesis: dict[str, Turns], uem: Path | None, collar_s: float
) -> tuple[Errors, Jaccard]:
    given = reference[name], hypothesis.get(name, [])
    extents_s = _extents(name, [*given[0], *given[1]], uem)
    return errors_of(*given, extents_s, collar_s), jaccard_of(*given, extents_s, collar_s)


def _turns(path: Path) -> dict[str, Turns]:
    """Of every recording in a file. Raises TurnstreamError."""
    try:
        text = read_at_most(path, MOST_BYTES).decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise TurnstreamError(f"cannot read {path}: {error.strerror or error}") from None
    if text.lstrip().startswith("{"):
        final = read_result(path).final
        labeled = [(t.start_s, t.end_s, t.name or t.speaker or "unknown") for t in final.turns]
        return {final.recording: [RttmSegment(*each) for each in labeled]}
    try:
        files = parse_rttm(text)
    except TurnstreamError as error:
        raise TurnstreamError(f"{path}: {error}") from None
    if not files:
        raise TurnstreamError(f"{path}: expected at least 1 SPEAKER line, got 0")
    return files


def _warn_of_others(reference: dict[str, Turns], hypothesis: dict[str, Turns]) -> None:
    if missing := reference.keys() - hypothesis.keys():
        warn(f"the result has no turns of {', '.join(sorted(missing))[:80]}: all of their speech counts as missed")
    if others := hypothesis.keys() - reference.keys():
        warn(f"the reference has no turns of {', '.join(sorted(others))[:80]}: they are left out")


def _extents(name: str, turns: Turns, uem: Path | None) -> Extents:
    """What counts: the lines of the UEM file about this recording, else all that either side knows of."""
    if uem is None:
        return ((0.0, max(turn.end_s for turn in turns)),)
    if not uem.exists():
        raise TurnstreamError(f"{uem} does not exist")
    return read_extents(uem, 0.0, name)


def _print_row(name: str, errors: Errors, jaccard: Jaccard) -> None:
    der, false_alarm, missed, confusion = (100 * share for share in errors.shares)
    row = f"{name:{NAME_COLUMNS}}{der:8.2f}{false_alarm:13.2f}{missed:8.2f}{confusion:11.2f}"
    print(f"{row}{100 * jaccard.jer:8.2f}")
