"""What benchmarks/serve.py measured, as a table, figures and series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.results import Figure, quantiles

LATE_MS = 300
ONCE = ("started", "final")  # messages of a session, not of every hour
FIXED = ("turn", "speaker", "revision")  # follow from the audio; the others hold times of the machine


@dataclass(frozen=True, slots=True)
class Row:
    """One number of sessions at one server."""

    sessions: int
    lags_ms: Sequence[float]
    windows: int
    batches: int
    cpu_ms_a_hop: float
    cores: float
    memory_mib: float

    @property
    def p95_ms(self) -> float:
        """Of the emission lag."""
        return float(np.percentile(self.lags_ms, 95))

    @property
    def holds(self) -> bool:
        """Whether the server kept up with so many."""
        return self.p95_ms < LATE_MS


def table_line(row: Row) -> str:
    """For a person."""
    p50, p95, p99 = np.percentile(row.lags_ms, [50, 95, 99])
    late = np.mean(np.array(row.lags_ms) > LATE_MS)
    return (
        f"{row.sessions:8d}  {p50:7.0f} {p95:5.0f} {p99:5.0f}       {late:8.1%}  {row.windows:7d}"
        f"  {row.windows / row.batches:7.2f}  {row.cpu_ms_a_hop:12.1f}  {row.cores:10.2f}  {row.memory_mib:4.0f}"
    )


def memory_per_stream_mib(rows: Sequence[Row]) -> dict[int, float]:
    """What each session beyond those of the first row adds to the server's memory, by number of sessions."""
    first = min(rows, key=lambda row: row.sessions)
    return {
        row.sessions: (row.memory_mib - first.memory_mib) / (row.sessions - first.sessions)
        for row in rows
        if row.sessions > first.sessions
    }


def row_figures(rows: Mapping[str, Sequence[Row]]) -> dict[str, Figure]:
    """`batched.8.lag.p95` and so on."""
    found: dict[str, Figure] = {}
    for kind, each in rows.items():
        for row in each:
            name = f"{kind}.{row.sessions}"
            found |= quantiles(f"{name}.lag", row.lags_ms, "ms")
            found[f"{name}.windows_a_batch"] = Figure(row.windows / row.batches, "windows", "time", "neither")
            found[f"{name}.cpu_a_hop"] = Figure(row.cpu_ms_a_hop, "ms", "time")
            found[f"{name}.memory"] = Figure(row.memory_mib, "MiB", "time")
        for sessions, mib in memory_per_stream_mib(each).items():
            found[f"{kind}.{sessions}.memory_per_stream"] = Figure(mib, "MiB", "time")
    return found


def ratios(rows: Mapping[str, Sequence[Row]]) -> dict[str, Figure]:
    """Of two servers that took turns: processor time of a hop in batches over that of single windows, and the 95 % lag
    with a store over that without. Of the median runs, so without a spread."""
    found = {}
    for batched, single in zip(rows["batched"], rows.get("single", ()), strict=False):
        value = batched.cpu_ms_a_hop / single.cpu_ms_a_hop
        found[f"batched_over_single.{batched.sessions}.cpu_a_hop"] = Figure(value, "ratio", "time")
    for batched, stored in zip(rows["batched"], rows.get("stored", ()), strict=False):
        value = stored.p95_ms / batched.p95_ms
        found[f"stored_over_batched.{batched.sessions}.lag.p95"] = Figure(value, "ratio", "time")
    return found


def best_of(tried: Sequence[Row]) -> list[Row]:
    """The run with the lowest 95 % lag of each number of sessions."""
    best = {row.sessions: row for row in sorted(tried, key=lambda row: row.p95_ms, reverse=True)}
    return [best[sessions] for sessions in sorted(best)]


def most_sessions(tried: Sequence[Row]) -> Figure:
    """The most sessions that held, 0 where none did."""
    return Figure(max((row.sessions for row in tried if row.holds), default=0), "sessions", "time", "higher")


def wire_figures(sent: Mapping[str, tuple[Mapping[str, int], int]], audio_s: float) -> dict[str, Figure]:
    """Bytes on the wire per hour of audio from (bytes down by type, bytes up) of a session; once a session: bytes.

    Sent in `audio_s` seconds of audio at real time, 16 kHz mono in 16 bits; without the headers of TCP and IP.
    """
    found = {}
    for name, (down, up) in sent.items():
        for kind, count in sorted(down.items()):
            if kind not in ONCE:
                each = 3600 * count / audio_s / 1024
                found[f"wire.{name}.{kind}"] = Figure(each, "KiB/h", "error" if kind in FIXED else "time")
        steady = sum(count for kind, count in down.items() if kind not in ONCE)
        found[f"wire.{name}.down"] = Figure(3600 * steady / audio_s / 1024, "KiB/h", "time")
        found[f"wire.{name}.started"] = Figure(down["started"], "B", "time", "neither")
        found[f"wire.{name}.final"] = Figure(3600 * down["final"] / audio_s / 1024, "KiB/h", "time")
        found[f"wire.{name}.up"] = Figure(3600 * up / audio_s / 1024, "KiB/h", "count")
    return found


def series(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Sessions against percentiles of the emission lag in ms, by kind of server."""
    return {
        kind: {
            "sessions": [row.sessions for row in each],
            **{
                f"lag_ms_p{percent}": [round(float(np.percentile(row.lags_ms, percent)), 1) for row in each]
                for percent in (50, 95, 99)
            },
        }
        for kind, each in rows.items()
    }
