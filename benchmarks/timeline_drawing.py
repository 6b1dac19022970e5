"""The timeline picture: one lane for each speaker in three groups, and revisions as they were told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = {"reference": "reference", "offline": "final = offline", "live": "live, committed"}
UNKNOWN = "#999999"
LANE, GAP = 0.8, 0.7


def overlaps(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """Seconds in which both talk."""
    return sum(max(0.0, min(a["end_s"], b["end_s"]) - max(a["start_s"], b["start_s"])) for a in one for b in other)


def colors_of(series: dict[str, Any], palette: Sequence[str]) -> dict[str, dict[str, str]]:
    """A color for every speaker of every group; a reference speaker has that of the one whose talk he shares most."""
    found = by_speaker(series["offline"])
    engine = {name: palette[n % len(palette)] for n, name in enumerate(sorted(found))}
    for turn in series["live"]:
        engine.setdefault(turn["speaker"], UNKNOWN)
    spare = [color for color in palette if color not in engine.values()]
    true, taken = {}, set[str]()
    for name, turns in by_speaker(series["reference"]).items():
        shared = {other: overlaps(turns, found[other]) for other in found if other not in taken}
        best = max(shared, key=lambda other: shared[other], default=None)
        if best is not None and shared[best] > 0:
            taken.add(best)
            true[name] = engine[best]
        else:
            true[name] = spare.pop(0) if spare else UNKNOWN
    return {"reference": true, "offline": engine, "live": engine}


def by_speaker(turns: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Turns of each speaker, speakers in order of how much they talk."""
    found: dict[str, list[dict[str, Any]]] = {}
    for turn in turns:
        found.setdefault(turn["speaker"], []).append(turn)
    return dict(sorted(found.items(), key=lambda item: -sum(turn["end_s"] - turn["start_s"] for turn in item[1])))


def draw(axes: Axes, series: dict[str, Any], palette: Sequence[str]) -> None:
    """Time to the right, groups from top to bottom."""
    colors = colors_of(series, palette)
    y, ticks, labels = 0.0, [], []
    for group, title in GROUPS.items():
        top = y
        for name, color in colors[group].items():
            turns = [turn for turn in series[group] if turn["speaker"] == name]
            if not turns:
                continue
            spans = [(turn["start_s"], turn["end_s"] - turn["start_s"]) for turn in turns]
            axes.broken_barh(spans, (y - LANE / 2, LANE), facecolors=color)
            ticks.append(y)
            labels.append(name)
            y -= 1
        axes.text(0, top + 0.55, title, fontsize=8, fontweight="bold", va="bottom")
        y -= GAP
    _revisions(axes, series["revisions"], y, colors["live"])
    axes.text(0, y + 0.55, "revisions: what was renamed, told at the mark", fontsize=8, fontweight="bold", va="bottom")
    axes.set_yticks([*ticks], [*labels], fontsize=7)
    axes.set(xlim=(0, series["duration_s"]), ylim=(y - 1, 1.4), xlabel="s")
    axes.grid(axis="y", visible=False)


def _revisions(axes: Axes, revisions: list[dict[str, Any]], y: float, colors: dict[str, str]) -> None:
    for revision in revisions:
        color = colors.get(revision["new"], UNKNOWN)
        spans = [(start_s, max(end_s - start_s, 0.2)) for start_s, end_s in revision["spans"]]
        axes.broken_barh(spans, (y - LANE / 2, LANE), facecolors=color, alpha=0.8)
        axes.plot([revision["at_s"]], [y - 0.6], "^", color=color, markersize=4, clip_on=False)
        middle_s = float(np.mean([start_s for start_s, _ in revision["spans"]]))
        axes.plot([middle_s, revision["at_s"]], [y, y - 0.6], "-", color=color, linewidth=0.5)
