"""All stored results as one page of Markdown: where each comes from, and its figures.

python -m benchmarks.summary [FOLDER]      # writes FOLDER/SUMMARY.md (default: benchmarks/results)
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from benchmarks.results import FOLDER, Figure, Stored, read_all

HEAD = """# Results

Made by `python -m benchmarks.summary` from the JSON files beside it. What the words and kinds mean:
[`benchmarks/README.md`](../README.md). Only counts, errors and ratios tell one version of the code from another; a
time is that of one machine on one day.
"""


def summary(results: Mapping[str, Stored]) -> str:
    """The page; the same results give the same bytes."""
    return "\n".join([HEAD, *(_section(name, stored) for name, stored in sorted(results.items()))])


def _section(name: str, stored: Stored) -> str:
    fields, machine = stored.fields, stored.fields["machine"]
    load = machine.get("load_at_start")
    facts = {
        "command": f"`{fields['command']}`",
        "commit": f"{fields['commit']}, {fields['date']}",
        "machine": f"{machine['processor']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB, {machine['system']}"
        + (f"; load average {load:.1f} when it began" if load is not None else ""),
        "versions": ", ".join(f"{key} {value}" for key, value in sorted(fields["versions"].items()) if value),
        "data": _data(fields["data"]),
        "seed": "none" if fields["seed"] is None else str(fields["seed"]),
    }
    lines = [f"## {name}\n", *(f"- {key}: {value}" for key, value in facts.items())]
    lines += ["", "| figure | value | unit | spread | kind | better |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(figure_name, figure) for figure_name, figure in stored.figures.items()), ""])


def _data(items: list[dict[str, object]]) -> str:
    named = [f"{item['name']} ({str(item.get('sha256') or '')[:12]})" for item in items]
    return ", ".join(named) if named else "none"


def _row(name: str, figure: Figure) -> str:
    spread = " to ".join(map(short, figure.spread)) if figure.spread else ""
    return f"| {name} | {short(figure.value)} | {figure.unit} | {spread} | {figure.kind} | {figure.better} |"


def short(value: float) -> str:
    """Four digits, or all of a whole number."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"


def write(folder: Path) -> Path:
    """The page of a folder of results; its path."""
    path = folder / "SUMMARY.md"
    path.write_text(summary(read_all(folder)))
    return path


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    print(write(parser.parse_args().folder))


if __name__ == "__main__":
    main()
