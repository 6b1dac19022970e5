"""Do the committed labels of hours keep to people: the stream with returns, played and counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.drifts.identities import ABSENCES_S, Identities, absence, identities, outcomes
from benchmarks.drifts.streams import Piece, Source, Stream, hear, lay
from benchmarks.results import Better, Figure

LATENCY_S = 1.0
PAUSE_S = 60.0
GROUP = 3


def with_returns(sources: Sequence[Source], seed: int) -> Stream:
    """Every conversation again after a minute of silence and after others, the first group after all others too.

    In groups of three: A, pause, A, B, pause, B, C, pause, C, A, B, C; then the next group; at the end A, B, C.
    """
    order = [sources[n] for n in np.random.default_rng(seed).permutation(len(sources)).tolist()]
    laid: list[Source | float] = []
    for group in (order[at : at + GROUP] for at in range(0, len(order), GROUP)):
        for source in group:
            laid += [source, PAUSE_S, source]
        laid += group
    return lay([*laid, *order[:GROUP]])


def measure(sources: Sequence[Source], seed: int) -> dict[str, Figure]:
    """Figures."""
    stream = with_returns(sources, seed)
    told = hear(stream, [LATENCY_S], offline=False)
    figures: dict[str, Figure] = {
        "hours": Figure(stream.duration_s / 3600, "h", "count", "neither"),
        "true_speakers": Figure(len({turn.speaker for turn in stream.reference}), "speakers", "count", "neither"),
    }
    for name, turns in (("committed", told.live[LATENCY_S]), ("final", told.final)):
        found = identities(stream.reference, turns, stream.duration_s)
        figures |= {f"{name}.{key}": figure for key, figure in _figures(found, stream).items()}
    return figures


def _figures(found: Identities, stream: Stream) -> dict[str, Figure]:
    hours = stream.duration_s / 3600
    figures = {
        "flips_per_hour": Figure(found.flips / hours, "an hour", "error"),
        "flips_per_100_turns": Figure(100 * found.flips / max(1, found.turns), "flips", "error"),
        "splits": Figure(found.splits, "ids", "error"),
        "merges": Figure(found.merges, "speakers", "error"),
    }
    for least in ABSENCES_S:
        for kind in ("fresh", "heard_before"):
            chosen = [
                r
                for r in found.returns
                if absence(r.absent_s) == least and _piece(stream, r.at_s).repeated == (kind == "heard_before")
            ]
            key = f"returns_{least / 60:g}min.{kind}"
            figures[f"{key}.count"] = Figure(len(chosen), "returns", "count", "neither")
            for outcome, count in outcomes(chosen).items() if chosen else ():
                better: Better = "higher" if outcome == "recognised" else "lower"
                figures[f"{key}.{outcome}"] = Figure(100 * count / len(chosen), "%", "error", better)
    return figures


def _piece(stream: Stream, at_s: float) -> Piece:
    return [piece for piece in stream.pieces if piece.start_s <= at_s + 0.01][-1]


def table(figures: dict[str, Figure]) -> str:
    """For people."""
    value = {name: figure.value for name, figure in figures.items()}
    lines = [f"{value['hours']:.1f} h, {value['true_speakers']:g} true speakers; labels committed at {LATENCY_S:g} s"]
    for name in ("committed", "final"):
        lines.append(
            f"{name:10} flips {value[f'{name}.flips_per_hour']:.1f} an hour,"
            f" {value[f'{name}.flips_per_100_turns']:.1f} in 100 turns; splits {value[f'{name}.splits']:g},"
            f" merges {value[f'{name}.merges']:g}"
        )
        for least in ABSENCES_S:
            for kind in ("fresh", "heard_before"):
                key = f"{name}.returns_{least / 60:g}min.{kind}"
                if count := value[f"{key}.count"]:
                    shares = ", ".join(
                        f"{outcome.replace('_', ' ')} {value[f'{key}.{outcome}']:.0f} %"
                        for outcome in ("recognised", "other", "new", "nobody")
                    )
                    audio = kind.replace("_", " ")
                    lines.append(f"   back after {least / 60:>2g} min, audio {audio:12} {count:4g}: {shares}")
    return "\n".join(lines)
