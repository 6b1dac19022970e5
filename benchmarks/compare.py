"""What got worse between two measurements, decided by what does not depend on how busy a machine is.

    python -m benchmarks.compare OLD.json NEW.json
    python -m benchmarks.compare OLD_FOLDER NEW_FOLDER

Printed for each figure that changed: old, new, change, and what that means. Whether it got worse is decided by its
kind (benchmarks/README.md, "Results"):

    count   any worsening
    error   worse by more than 2 % of the old, and by more than 0.05 where the unit is %
    ratio   worse by more than 3 %, with spreads that do not touch; by more than 10 % where one has no spread
    time    never: it is printed, and that is all

Exit status: 0 nothing got worse, 1 something did (named at the end), 2 not comparable: other data, seed or parameters,
or nothing in common.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.results import Figure, Stored, read, read_all

ERROR_RELATIVE, ERROR_PERCENT = 0.02, 0.05
RATIO_RELATIVE, RATIO_RELATIVE_ALONE = 0.03, 0.10
Verdict = Literal["worse", "better", "within noise", "changed", "shown only", "same"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of both."""

    name: str
    old: Figure
    new: Figure
    verdict: Verdict

    def line(self) -> str:
        """For the table."""
        share = f"{self.new.value / self.old.value - 1:+9.1%}" if self.old.value else " " * 9
        values = f"{self.old.value:12.5g} {self.new.value:12.5g}"
        return f"  {self.name:46} {values} {self.new.unit:8} {share}  {self.new.kind:5}  {self.verdict}"


def verdict(old: Figure, new: Figure) -> Verdict:
    """How a figure changed. Raises ValueError where the two are not of one kind, unit and direction."""
    ours, theirs = ((f.kind, f.unit, f.better) for f in (new, old))
    if ours != theirs:
        raise ValueError(f"expected the same kind, unit and direction, got {theirs} and {ours}")
    if old.value == new.value:
        return "same"
    if new.kind == "time":
        return "shown only"
    if new.better == "neither":
        return "changed"
    if not _beyond_noise(old, new):
        return "within noise"
    return "worse" if (new.value > old.value) == (new.better == "lower") else "better"


def _beyond_noise(old: Figure, new: Figure) -> bool:
    apart, size = abs(new.value - old.value), abs(old.value)
    if new.kind == "count":
        return True
    if new.kind == "error":
        return apart > max(ERROR_RELATIVE * size, ERROR_PERCENT if new.unit == "%" else 0.0)
    if old.spread is None or new.spread is None:
        return apart > RATIO_RELATIVE_ALONE * size
    touching = old.spread[0] <= new.spread[1] and new.spread[0] <= old.spread[1]
    return apart > RATIO_RELATIVE * size and not touching


def changes(old: Stored, new: Stored) -> list[Change]:
    """Every figure that both have, in the old one's order."""
    both = (name for name in old.figures if name in new.figures)
    return [
        Change(name, old.figures[name], new.figures[name], verdict(old.figures[name], new.figures[name]))
        for name in both
    ]


def differences(old: Stored, new: Stored) -> Iterator[str]:
    """Why these two cannot be compared; nothing where they can."""
    for key in ("name", "seed", "parameters"):
        if old.fields[key] != new.fields[key]:
            yield f"other {key}: {old.fields[key]} and {new.fields[key]}"
    hashes = [{item["name"]: item["sha256"] for item in stored.fields["data"]} for stored in (old, new)]
    if hashes[0] != hashes[1]:
        named = sorted(name for name in {**hashes[0], **hashes[1]} if hashes[0].get(name) != hashes[1].get(name))
        yield f"other data: {', '.join(named)}"


def pairs(old: Path, new: Path) -> tuple[list[tuple[str, Stored, Stored]], list[str]]:
    """The results to compare, and what only one side has."""
    if not old.is_dir() and not new.is_dir():
        return [(new.stem, read(old), read(new))], []
    if not (old.is_dir() and new.is_dir()):
        raise ValueError(f"expected two files or two folders, got {old} and {new}")
    before, after = read_all(old), read_all(new)
    missing = [f"{name}: only in {old}" for name in before if name not in after]
    missing += [f"{name}: only in {new}" for name in after if name not in before]
    return [(name, before[name], after[name]) for name in before if name in after], missing


def compare(old: Path, new: Path) -> int:
    """Print everything; the exit status."""
    both, missing = pairs(old, new)
    worse, apart = [], [] if both else ["no result is in both"]
    for name, before, after in both:
        print(f"{name}: {before.fields['commit']} to {after.fields['commit']}")
        if reasons := list(differences(before, after)):
            apart += [f"{name}: {reason}" for reason in reasons]
            continue
        try:
            found = changes(before, after)
        except ValueError as error:
            apart.append(f"{name}: {error}")
            continue
        for change in found:
            if change.verdict != "same":
                print(change.line())
        worse += [f"{name}:{change.name}" for change in found if change.verdict == "worse"]
        print(f"  {sum(change.verdict == 'same' for change in found)} of {len(found)} figures are the same")
        if before.fields["machine"]["processor"] != after.fields["machine"]["processor"]:
            print("  another processor: times cannot be compared at all")
        missing += [f"{name}:{figure}: only in the old" for figure in before.figures if figure not in after.figures]
        missing += [f"{name}:{figure}: only in the new" for figure in after.figures if figure not in before.figures]
    for title, lines in (("on one side only", missing), ("not comparable", apart), ("got worse", worse)):
        if lines:
            print(f"\n{title}:", *lines, sep="\n  ")
    return 1 if worse else 2 if apart else 0


def main() -> None:
    """Compare two files or two folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    try:
        sys.exit(compare(arguments.old, arguments.new))
    except (ValueError, OSError) as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
