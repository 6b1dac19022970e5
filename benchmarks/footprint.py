"""What a server process holds, from minute to minute, and whether it grows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.results import Figure
from benchmarks.serve import metric

EVERY_MIN = 5  # memory is told in the result
MOST_MIB, MOST_BLOCKS = 2, 30_000  # more from rest to rest: less are caches that fill, and what waits to be collected
MOST_DESCRIPTORS = 2  # more: those who ask for the figures have some themselves


@dataclass(frozen=True, slots=True)
class Footprint:
    """At one moment. `resident_mib` is all memory of the process, `allocated_mib` what of it is in use but for Python's
    small objects, of which there are `blocks`; the rest are programs, their libraries, and what the allocator keeps.
    """

    minutes: float
    resident_mib: float
    allocated_mib: float
    blocks: float
    descriptors: int


def footprint(process_id: int, url: str, minutes: float) -> Footprint:
    """Of the server now."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return Footprint(
        minutes,
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        metric(url, "allocated_bytes") / 2**20,
        metric(url, "python_blocks"),
        len(os.listdir(f"/proc/{process_id}/fd")),
    )


def growth(minutes: Sequence[float], values: Sequence[float], unit: str) -> Figure:
    """A straight line's slope per minute, with its 95 % interval as the spread.

    Fitted to means of whole minutes: samples that follow each other within seconds are too alike to count each.
    """
    whole = np.floor(minutes)
    x = np.unique(whole)
    y = [float(np.mean(np.array(values)[whole == minute])) for minute in x]
    if len(x) < 3:
        return Figure(0.0, unit, "time")
    fit = stats.linregress(x, y)
    margin = float(fit.stderr * stats.t.ppf(0.975, len(x) - 2))
    return Figure(float(fit.slope), unit, "time", spread=(float(fit.slope) - margin, float(fit.slope) + margin))


def figures(samples: Sequence[Footprint], rests: Sequence[Footprint]) -> dict[str, Figure]:
    """`samples` while clients are there; `rests`: when all of them are gone, before the first, halfway, and at the end.

    A server at rest holds no session, so between two rests only what is kept for good can grow.
    """
    found, next_min = {}, 0.0
    for one in samples:
        if one.minutes >= next_min:
            found[f"memory_at.{next_min:02.0f}_min"] = Figure(one.resident_mib, "MiB", "time")
            next_min += EVERY_MIN
    later = [one for one in samples if one.minutes >= rests[1].minutes]
    times = [one.minutes for one in later]
    found["memory_growth"] = growth(times, [one.resident_mib for one in later], "MiB/min")
    for name, one in zip(("start", "middle", "end"), rests, strict=True):
        found[f"rest.{name}.memory"] = Figure(one.resident_mib, "MiB", "time")
        found[f"rest.{name}.allocated"] = Figure(one.allocated_mib, "MiB", "time")
        found[f"rest.{name}.python_blocks"] = Figure(one.blocks, "blocks", "time")
        found[f"rest.{name}.descriptors"] = Figure(one.descriptors, "descriptors", "time")
    return {**found, **_between(rests[1], rests[2]), "memory": Figure(rests[-1].resident_mib, "MiB", "time")}


def _between(middle: Footprint, end: Footprint) -> dict[str, Figure]:
    return {
        "rest.memory_growth": Figure(end.resident_mib - middle.resident_mib, "MiB", "time"),
        "rest.allocated_growth": Figure(end.allocated_mib - middle.allocated_mib, "MiB", "time"),
        "rest.python_blocks_growth": Figure(end.blocks - middle.blocks, "blocks", "time"),
        "rest.descriptors_growth": Figure(end.descriptors - middle.descriptors, "descriptors", "time"),
    }


def check_flat(found: dict[str, Figure]) -> None:
    """Raises AssertionError where memory that is in use, objects of Python or descriptors grew from rest to rest."""
    for name, most in (("allocated", MOST_MIB), ("python_blocks", MOST_BLOCKS), ("descriptors", MOST_DESCRIPTORS)):
        figure = found[f"rest.{name}_growth"]
        assert figure.value <= most, f"expected at most {most} {figure.unit} more, got {figure.value:.3f} of {name}"
