"""What a benchmark found, as one JSON file: the figures, and all that is needed to measure them again.

A result file (`benchmarks/results/NAME.json`) holds

    schema      1
    name        of the benchmark
    command     that makes it
    commit      of the code measured, `-dirty` where files differed from it
    date        day of the measurement, UTC
    machine     processor, CPUs, memory, system, load average when the benchmark began
    versions    of Python and of the libraries that took part
    seed        of every random choice; null where there is none
    data        recordings: name, SHA-256 of the file, seconds
    parameters  what the command was asked for
    figures     by name, dots for levels: value, unit, kind, better, spread
    series      what pictures are drawn from; no two files are compared by it

A figure's kind says whether it may decide if the code got worse (`benchmarks/compare.py`):

    time    seconds, bytes of memory, anything that another machine or a busy minute changes: never decides
    ratio   to a peer or to our own reference that took turns in the same run: decides beyond its spread
    count   of things that do not depend on the machine (windows, embeddings, bytes on the wire): decides at once
    error   of decisions or numbers on fixed data with a fixed seed: decides beyond a small tolerance
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import soundfile

SCHEMA = 1
FOLDER = Path(__file__).parent / "results"
# from results: no difference of the code measured
MADE = ("benchmarks/results", "docs/timeline.png", "docs/measured.md", "README.md")
LIBRARIES = ("turnstream", "mlx", "numpy", "scipy", "numba", "soxr", "websockets", "pyannote.metrics")

Kind = Literal["time", "ratio", "count", "error"]
Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that was measured.

    `spread` are the lowest and highest of its repetitions, or its interval of confidence; None where it was measured
    once or cannot differ.
    """

    value: float
    unit: str
    kind: Kind
    better: Better = "lower"
    spread: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark's figures; see the head of this module. `load` is the load average when it began."""

    name: str
    command: str
    figures: Mapping[str, Figure]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] = field(default_factory=dict)
    data: Sequence[Mapping[str, Any]] = ()
    seed: int | None = None
    load: float | None = None
    libraries: Sequence[str] = ()

    def write(self, folder: Path = FOLDER) -> Path:
        """Write `NAME.json` into a folder, which is made where it is missing; the file's path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(lines(self._fields()))
        return path

    def _fields(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "name": self.name,
            "command": self.command,
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {**machine(), "load_at_start": self.load},
            "versions": versions((*LIBRARIES, *self.libraries)),
            "seed": self.seed,
            "data": [dict(item) for item in self.data],
            "parameters": dict(self.parameters),
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "series": dict(self.series),
        }


@dataclass(frozen=True, slots=True)
class Stored:
    """A result file as read back: its figures, and the rest as it stands in the file."""

    figures: dict[str, Figure]
    fields: dict[str, Any]


def lines(fields: Mapping[str, Any]) -> str:
    """As JSON with one line for a fact, a figure, a recording or a series, so that a change of one is one line."""
    many = ("data", "figures", "series")
    told = [f" {_json(name)}: {_items(value) if name in many else _json(value)}" for name, value in fields.items()]
    return "{\n" + ",\n".join(told) + "\n}\n"


def _items(value: Any) -> str:
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"  {_json(name)}: {_json(item)}" for name, item in value.items()) + "\n }"
    return "[\n" + ",\n".join(f"  {_json(item)}" for item in value) + "\n ]"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def read(path: Path) -> Stored:
    """A result file. Raises ValueError, which says what is wrong, for one that is not of this schema."""
    try:
        fields = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON in {path}: {error}") from None
    if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
        found = fields.get("schema") if isinstance(fields, dict) else type(fields).__name__
        raise ValueError(f"expected a result of schema {SCHEMA} in {path}, got {found}")
    try:
        figures = {
            name: Figure(**{**figure, "spread": tuple(figure["spread"]) if figure["spread"] else None})
            for name, figure in fields["figures"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected figures with value, unit, kind, better and spread in {path}: {error}") from None
    return Stored(figures, fields)


def read_all(folder: Path) -> dict[str, Stored]:
    """All result files of a folder, by name, in order of name; none where there is no such folder."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def median(values: Sequence[float], unit: str, kind: Kind, better: Better = "lower") -> Figure:
    """The median of repetitions, with the lowest and highest as its spread."""
    return Figure(float(np.median(values)), unit, kind, better, (float(min(values)), float(max(values))))


def quantiles(name: str, values: Sequence[float], unit: str, kind: Kind = "time") -> dict[str, Figure]:
    """`NAME.p50`, `.p95` and `.p99` of what is better when lower."""
    return {f"{name}.p{percent}": Figure(float(np.percentile(values, percent)), unit, kind) for percent in (50, 95, 99)}


def ratio(ours: Sequence[float], others: Sequence[float], better: Better = "lower") -> Figure:
    """Median over median of two that took turns, with the 95 % interval of it by bootstrap over the turns."""
    pairs = np.array([ours, others], np.float64)
    draws = np.random.default_rng(0).integers(pairs.shape[1], size=(1000, pairs.shape[1]))
    drawn = np.median(pairs[:, draws], axis=2)
    low, high = np.percentile(drawn[0] / drawn[1], [2.5, 97.5])
    whole = np.median(pairs, axis=1)
    return Figure(float(whole[0] / whole[1]), "ratio", "ratio", better, (float(low), float(high)))


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that every benchmark has."""
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write the figures there, as NAME.json")


SHARE = re.compile(r"\d+/\d+")  # half 1/2 is no path


def asked(module: str, words: Sequence[str] | None = None) -> str:
    """The command that was given, for `command`: folders of this machine left out, and what changes no figure."""
    left, kept = list(sys.argv[1:] if words is None else words), []
    while left:
        word = left.pop(0)
        if word in ("--json", "--cache", "--jobs"):
            left = left[1:]
        elif not word.startswith(("--json=", "--cache=", "--jobs=")):
            kept.append(word if os.sep not in word or SHARE.fullmatch(word) else Path(word).name)
    return " ".join(["python -m", module, *kept])


def recording(path: Path) -> dict[str, Any]:
    """An entry of `data` for a recording."""
    info = soundfile.info(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": path.name, "sha256": digest, "duration_s": round(info.frames / info.samplerate, 3)}


def machine() -> dict[str, Any]:
    """What this runs on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": name or platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions(libraries: Sequence[str]) -> dict[str, str | None]:
    """Versions of Python and of these libraries; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str | None:
    """The commit of this checkout; None outside of one."""
    here = Path(__file__).parent
    try:
        found = _git("rev-parse", "--short=12", "HEAD", at=here).strip()
        changed = _git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in MADE), at=here.parent)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{found}-dirty" if changed else found


def _git(*words: str, at: Path) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=at).stdout
