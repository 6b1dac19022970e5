"""What benchmarks/der.py found, as figures of a result and as what pictures are drawn from."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.accuracy.report import Report
from benchmarks.results import Figure
from turnstream.clients.evaluation.scoring import COLLARS_S, Errors

PARTS = ("der", "false_alarm", "missed", "confusion")
KINDS = ("live", "revised", "oracle", "diart")  # rows of which there is one for each latency


def name_of(row: str) -> str:
    """`live 0.5 s` as the part of a figure's name: `live_0.5s`."""
    return row.removesuffix(" s").replace(" ", "_") + ("s" if row.endswith(" s") else "")


def figures(report: Report) -> dict[str, Figure]:
    """`live_1s.collar_0.der` and so on in % of the speech, `stability_1s...`, speakers, embeddings, cost of a hop."""
    found = {}
    for row, errors in report.rows.items():
        for collar, pooled in zip(COLLARS_S, errors, strict=True):
            for part, share in zip(PARTS, pooled.shares, strict=True):
                found[f"{name_of(row)}.collar_{collar:g}.{part}"] = Figure(100 * share, "%", "error")
    for latency_s, steady in report.stability.items():
        found |= _stability(f"stability_{latency_s:g}s", steady)
    true, said = ([getattr(m, f"speakers_{kind}") for m in report.recordings] for kind in ("true", "found"))
    found["speakers.found"] = Figure(sum(said), "speakers", "error", "neither")
    found["speakers.true"] = Figure(sum(true), "speakers", "count", "neither")
    found["speakers.mean_difference"] = Figure(
        sum(abs(a - b) for a, b in zip(true, said, strict=True)) / len(true), "speakers", "error"
    )
    embeddings = sum(round(m.embeddings_per_s * m.duration_s) for m in report.recordings)
    found["embeddings"] = Figure(embeddings, "embeddings", "count")
    found["hops"] = Figure(sum(len(m.stitch_s) for m in report.recordings), "hops", "count", "neither")
    return found | {f"stitcher_hop.{name}": Figure(ms, "ms", "time") for name, ms in report.hop_ms.items()}


def _stability(name: str, steady: dict[str, float]) -> dict[str, Figure]:
    shares = {
        "first_label.p50": (steady["first_label_median_s"], "s"),
        "first_label.p90": (steady["first_label_p90_s"], "s"),
        "stable_label.p50": (steady["stable_label_median_s"], "s"),
        "stable_label.p90": (steady["stable_label_p90_s"], "s"),
        "committed_not_final": (100 * steady["committed_not_final_share"], "%"),
        "revised": (steady["revised_s_per_hour"], "s/h"),
    }
    return {
        f"{name}.{part}": Figure(value, unit, "error") for part, (value, unit) in shares.items() if math.isfinite(value)
    }


def series(report: Report) -> dict[str, Any]:
    """`latency`: DER in % without a collar by row and latency."""
    latencies = list(report.stability)
    rows = report.rows
    curves: dict[str, Any] = {"latency_s": latencies}
    for kind in KINDS:
        found = [rows.get(f"{kind} {latency_s:g} s") for latency_s in latencies]
        if all(found):
            curves[kind] = [_percent(errors[0]) for errors in found if errors]
    ends = {"final": "final", "oracle_final": "oracle final", "diart_final": "diart final"}
    curves |= {key: _percent(rows[row][0]) for key, row in ends.items() if row in rows}
    return {"latency": curves}


def _percent(errors: Errors) -> float:
    return round(100 * errors.der, 3)
