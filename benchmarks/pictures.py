"""Pictures of the stored results: latency, DER, cost and sessions, and what one conversation looked like.

    python -m benchmarks.pictures [NAME...] [--results FOLDER] [--out FOLDER]     # as SVG, by default into docs/bench
    python -m benchmarks.pictures --readme                                        # docs/timeline.png alone

Drawn from the series and figures of result files alone; a picture whose results are not there is left out and said.
Needs matplotlib: pip install -e '.[bench]'
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.results import FOLDER, Stored, read_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Sheet

OUT = Path(__file__).parent.parent / "docs" / "bench"
# Okabe and Ito 2008: told apart with every common kind of color blindness
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000",
)  # fmt: skip
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK)
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 130,  # of PNG
    "svg.fonttype": "path",
    "svg.hashsalt": "turnstream",
    "figure.facecolor": "white",
}
SETS = {
    "der_sim_dev": "simulated",
    "der_fresh": "made anew",
    "der_ami": "AMI",
    "der_demo": "demo recording",
}
CURVES = {
    "live": ("live, as committed", BLUE, "o-"),
    "revised": ("with its revisions", SKY, "s-"),
    "oracle": ("oracle stitching", GREEN, "^--"),
    "diart": ("diart's algorithm", RED, "v-."),
}
Results = Mapping[str, Stored]


class NothingStored(Exception):
    """The results for a picture are not there; says which."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it says of itself, for those who cannot see it too."""

    title: str
    draw: Callable[[Results], Sheet]


def wanted(results: Results, name: str) -> Stored:
    """A result, or NothingStored."""
    if name not in results:
        raise NothingStored(f"no {name}.json")
    return results[name]


def sheet(title: str, sources: list[Stored], columns: int = 1, **options: Any) -> tuple[Sheet, list[Axes]]:
    """Axes side by side under a title, with data and commit in small letters below it."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=(7.6, 3.6), layout="constrained", squeeze=False, **options)
    named = sorted({item["name"] for stored in sources for item in stored.fields["data"]})
    data = ", ".join(named) if len(named) <= 3 else f"{len(named)} recordings"
    commits = ", ".join(sorted({str(stored.fields["commit"]) for stored in sources}))
    figure.suptitle(title, fontsize=11, fontweight="bold")
    figure.supxlabel(f"{data}; commit {commits}", fontsize=6.5, color="#555555", x=0.99, ha="right")
    return figure, list(axes[0])


def _plain(axis: Axis) -> None:
    """1, 2, 5, 10 ... as the ticks of a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def latency(results: Results) -> Sheet:
    """Shares of windows by how long they took."""
    stored = wanted(results, "latency")
    lines = {
        "a hop's processing": stored.fields["series"].get("hop_ms", {}).get("whole"),
        "emission lag, websocket": stored.fields["series"].get("websocket_lag_ms"),
        "emission lag, microphone": stored.fields["series"].get("microphone_lag_ms"),
    }
    figure, (axes,) = sheet("Latency beyond what the algorithm waits for", [stored])
    for (label, values), color, style in zip(lines.items(), COLORS, ("-", "--", "-."), strict=False):
        if values:
            axes.step(np.sort(values), np.arange(1, len(values) + 1) / len(values) * 100, style, color=color)
            axes.lines[-1].set_label(f"{label} (n = {len(values)})")
    axes.set(xscale="log", xlabel="ms", ylabel="% of windows within", ylim=(0, 101))
    _plain(axes.xaxis)
    axes.legend()
    return figure


def der_latency(results: Results) -> Sheet:
    """DER of every set by the latency of committing."""
    found = {name: results[name] for name in SETS if name in results}
    if not found:
        raise NothingStored(f"none of {', '.join(SETS)}")
    figure, columns = sheet("Diarization error by latency", list(found.values()), len(found), sharey=True)
    for axes, (name, stored) in zip(columns, found.items(), strict=True):
        curves = stored.fields["series"]["latency"]
        for key, (label, color, style) in CURVES.items():
            if key in curves:
                axes.plot(curves["latency_s"], curves[key], style, color=color, label=label, markersize=4)
        for key, label, color in (("final", "final", BLACK), ("oracle_final", "oracle, final", GREEN)):
            if key in curves:
                axes.axhline(curves[key], color=color, linestyle=":", label=label)
        axes.set(xscale="log", xlabel="latency, s", title=SETS[name])
        axes.set_xticks(curves["latency_s"], [f"{latency_s:g}" for latency_s in curves["latency_s"]])
        axes.minorticks_off()
    columns[0].set_ylim(bottom=0)  # only now: it ends the search for an upper limit, of all that share the axis
    columns[0].set_ylabel("DER, %, collar 0")
    figure.legend(*columns[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def der_position(results: Results) -> Sheet:
    """Live against offline in the first minutes of recordings, and in each hour of a long stream."""
    stored = wanted(results, "drift_decisions")
    kinds = {kind: _places(stored, kind) for kind in ("recordings", "stream")}
    kinds = {kind: places for kind, places in kinds.items() if places}
    if not kinds:
        raise NothingStored("no DER by place in drift_decisions.json")
    title = "Live against the offline result, by position in the stream"
    figure, columns = sheet(title, [stored], len(kinds), sharey=True)
    for axes, (kind, lines) in zip(columns, kinds.items(), strict=True):
        for (latency_s, places), color, mark in zip(sorted(lines.items()), COLORS, "o^sv", strict=False):
            axes.plot(list(places), list(places.values()), f"{mark}-", color=color, label=f"{latency_s:g} s")
        axes.set(title="each recording" if kind == "recordings" else "one long stream")
        axes.set_xlabel("place")
        axes.tick_params(axis="x", labelrotation=30)
    columns[0].set_ylim(bottom=0)
    columns[0].set_ylabel("DER against offline, %, collar 0")
    columns[-1].legend(title="latency")
    return figure


def _places(stored: Stored, kind: str) -> dict[float, dict[str, float]]:
    """DER by latency and place, places in the order of the stream."""
    found: dict[float, dict[str, float]] = {}
    for name, figure in stored.figures.items():
        if match := re.fullmatch(rf"{kind}\.([\d.]+)s\.der\.((?:minute|hour)_\d+|all)", name):
            found.setdefault(float(match[1]), {})[match[2].replace("_", " ")] = figure.value
    order = ("minute", "hour", "all")

    def place(item: tuple[str, float]) -> tuple[int, int]:
        word, _, number = item[0].partition(" ")
        return order.index(word), int(number or 0)

    return {latency_s: dict(sorted(places.items(), key=place)) for latency_s, places in found.items()}


def hop_cost(results: Results) -> Sheet:
    """What a hop costs in each hour of one stream, and memory."""
    stored = wanted(results, "long_stream")
    hours = stored.fields["series"]["hours"]
    figure, (cost, memory) = sheet("One stream for hours: a hop without the models, and memory", [stored], 2)
    at = range(1, len(hours) + 1)
    styles = ((BLUE, "o-"), (ORANGE, "s--"), (RED, "^:"))
    for part, (color, style) in zip(("mean", "p95", "p99.9"), styles, strict=True):
        cost.plot(at, [hour[f"hop_ms_{part}"] for hour in hours], style, color=color, label=part, markersize=4)
    cost.set(xlabel="hour", ylabel="processor time a hop, ms", ylim=(0, None))
    cost.legend()
    memory.plot(at, [hour["memory_mib"] for hour in hours], "o-", color=BLUE, markersize=4)
    memory.set(xlabel="hour", ylabel="resident memory, MiB", ylim=(0, None))
    return figure


def sessions_lag(results: Results) -> Sheet:
    """Emission lag by number of sessions."""
    stored = wanted(results, "serve")
    figure, (axes,) = sheet("Live sessions of one server", [stored])
    shown = ((kind, percent) for kind in stored.fields["series"] for percent in (50, 95, 99))
    for (kind, percent), color in zip(shown, COLORS, strict=False):
        rows = stored.fields["series"][kind]
        style = "o-" if kind == "batched" else "^--"
        label = f"{percent} %" + ("" if kind == "batched" else f", {kind} windows")
        axes.plot(rows["sessions"], rows[f"lag_ms_p{percent}"], style, color=color, label=label, markersize=4)
    axes.set(xlabel="sessions at once", ylabel="emission lag, ms", yscale="log")
    _plain(axes.yaxis)
    axes.legend(title="quantile")
    return figure


def timeline(results: Results) -> Sheet:
    """Reference, offline result, what was told live and what was revised, of one conversation."""
    from benchmarks.timeline_drawing import draw

    stored = wanted(results, "timeline")
    figure, (axes,) = sheet("One conversation, as it was and as it was told", [stored])
    draw(axes, stored.fields["series"], COLORS)
    return figure


PICTURES = {
    "latency": Picture("Distributions of a hop's processing time and of the emission lag", latency),
    "der_latency": Picture("Diarization error by latency, beside the oracle and diart's algorithm", der_latency),
    "der_position": Picture("Live against offline by position in the stream", der_position),
    "hop_cost": Picture("Cost of a hop and memory over the hours of one stream", hop_cost),
    "sessions_lag": Picture("Emission lag by number of live sessions", sessions_lag),
    "timeline": Picture("Reference, offline result, live turns and revisions of one conversation", timeline),
}


def draw_all(results: Results, names: list[str], out: Path, ending: str = "svg") -> list[str]:
    """Write them; what was left out, and why. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    left_out = []
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        with matplotlib.rc_context(STYLE):
            try:
                figure = PICTURES[name].draw(results)
            except NothingStored as reason:
                left_out.append(f"{name}: left out: {reason}")
                continue
            undated = {"Date": None} if ending == "svg" else {"Software": None}  # the same bytes again
            figure.savefig(out / f"{name}.{ending}", metadata={"Title": PICTURES[name].title, **undated})
            pyplot.close(figure)
    return left_out


def main() -> None:
    """Draw those named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)} (default: all)")
    parser.add_argument("--results", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER")
    parser.add_argument("--readme", action="store_true", help="draw docs/timeline.png, which is kept in git")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in PICTURES]:
        parser.error(f"expected names of {', '.join(PICTURES)}, got {', '.join(unknown)}")
    out, names, ending = arguments.out, arguments.names or list(PICTURES), "svg"
    if arguments.readme:
        out, names, ending = OUT.parent, ["timeline"], "png"
    try:
        left_out = draw_all(read_all(arguments.results), names, out, ending)
    except ImportError:
        sys.exit("pictures: matplotlib is not installed: pip install -e '.[bench]'")
    print(*left_out, f"pictures are in {out}", sep="\n")


if __name__ == "__main__":
    main()
