"""The tables of benchmarks/der.py; the same as figures: benchmarks/accuracy/figures.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.accuracy.stability import summary
from turnstream.clients.evaluation.scoring import COLLARS_S, Errors, pooled
from turnstream.stitching.config import StitcherConfig

if TYPE_CHECKING:
    from benchmarks.der import Measured

ROWS = ("oracle", "voices", "first", "live", "revised", "final", "diart", "ahc")


@dataclass
class Report:
    """Recordings measured so far, each told as it comes."""

    config: StitcherConfig
    recordings: list[Measured] = field(default_factory=list)

    def add(self, measured: Measured) -> None:
        """Take one and say how it went."""
        self.recordings.append(measured)
        found = f"{measured.speakers_found} speakers found, {measured.speakers_true} true"
        finals = " ".join(f"{100 * e.der:.1f}" for e in measured.errors["final"])
        revised = "  ".join(f"{latency:g} s: {s.revised_s:.0f}" for latency, s in measured.stability.items())
        print(f"{measured.name}: {found}; {measured.embeddings_per_s:.2f} embeddings a second;", end=" ")
        print(f"final DER {finals}; seconds revised at {revised}", flush=True)

    @property
    def rows(self) -> dict[str, tuple[Errors, ...]]:
        """Errors pooled over the recordings, by row and collar, in the order of the table."""
        names = sorted({row for measured in self.recordings for row in measured.errors}, key=_order)
        return {
            row: tuple(pooled(m.errors[row][n] for m in self.recordings) for n in range(len(COLLARS_S)))
            for row in names
        }

    @property
    def stability(self) -> dict[float, dict[str, float]]:
        """How steady the labels are, by latency."""
        latencies = self.recordings[0].stability
        return {latency: summary([m.stability[latency] for m in self.recordings]) for latency in latencies}

    @property
    def hop_ms(self) -> dict[str, float]:
        """Cost of the stitcher and all timelines for one hop."""
        hops = 1000 * np.concatenate([m.stitch_s for m in self.recordings])
        quantiles = {name: float(np.quantile(hops, q)) for name, q in (("median", 0.5), ("p95", 0.95), ("max", 1.0))}
        return {"mean": float(hops.mean()), **quantiles}


def _order(row: str) -> tuple[int, float, str]:
    kind, _, rest = row.partition(" ")
    number = rest.split(" ")[0]
    return ROWS.index(kind), float(number) if number.replace(".", "").isdecimal() else math.inf, row


def print_report(report: Report) -> None:
    """The tables for a person."""
    minutes = sum(m.duration_s for m in report.recordings) / 60
    print(f"\n{len(report.recordings)} recordings, {minutes:.1f} minutes")
    print(f"\n{'':14}  collar 0: DER, false alarm, missed, confusion |  collar 0.25")
    for row, errors in report.rows.items():
        cells = ["  ".join(f"{100 * share:5.1f}" for share in e.shares) for e in errors]
        print(f"{row:14}  {'   |  '.join(cells)}")
    _print_stability(report)
    hop = report.hop_ms
    print(f"\nstitcher and {len(report.stability)} timelines: mean {hop['mean']:.2f} ms a hop, median", end=" ")
    print(f"{hop['median']:.2f}, p95 {hop['p95']:.2f}, max {hop['max']:.1f}")


def _print_stability(report: Report) -> None:
    print("\nstability  first label     stable label    committed    revised    DER of first,")
    print("           median   p90    median   p90    not final   s an hour   committed, final")
    first, *_, final = (report.rows[row][0].der for row in ("first", "final"))
    for latency, s in report.stability.items():
        times = [s[f"{kind}_label_{part}_s"] for kind in ("first", "stable") for part in ("median", "p90")]
        cells = f"{times[0]:6.2f} {times[1]:6.2f}   {times[2]:6.2f} {times[3]:7.2f}"
        cells += f"   {100 * s['committed_not_final_share']:6.1f} %   {s['revised_s_per_hour']:8.0f}"
        ders = [first, report.rows[f"live {latency:g} s"][0].der, final]
        print(f"{latency:5g} s   {cells}    {'  '.join(f'{100 * der:5.1f}' for der in ders)}")
    found, true = (np.array([getattr(m, f"speakers_{k}") for m in report.recordings]) for k in ("found", "true"))
    print(
        f"speakers found / true: {found.sum()} / {true.sum()}; right in {(found == true).sum()} of {len(true)},",
        end=" ",
    )
    print(f"mean difference {np.abs(found - true).mean():.2f}")
