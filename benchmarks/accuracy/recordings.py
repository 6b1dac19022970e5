"""Which recordings a benchmark is asked about, and where it keeps what the models say of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from turnstream.errors import TurnstreamError
from turnstream.weights.cache import cache_dir


def add_recordings(parser: argparse.ArgumentParser) -> None:
    """Options of every benchmark on annotated recordings."""
    what = "a recording with its .rttm beside it, or a folder of them"
    parser.add_argument("recordings", type=Path, nargs="+", metavar="RECORDING", help=what)
    parser.add_argument("--cache", type=Path, help="where model outputs are kept (default: in the user's cache)")


def cache_folder(asked: Path | None) -> Path:
    """The folder of model outputs, made where it is missing."""
    folder = asked or cache_dir() / "der"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def annotated(paths: list[Path]) -> list[Path]:
    """Recordings in order, folders as what they hold. Raises TurnstreamError for a folder without any."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.glob("*") if p.suffix in (".flac", ".wav") and p.with_suffix(".rttm").exists())
        if path.is_dir() and not inside:
            raise TurnstreamError(f"expected recordings with a .rttm beside them in {path}, got none")
        found += inside if path.is_dir() else [path]
    return found


def simulated_seed(path: Path) -> int | None:
    """The seed of a conversation of benchmarks/simulate.py; None for other recordings."""
    beside = path.with_suffix(".json")
    seed = json.loads(beside.read_text()).get("seed") if beside.exists() else None
    return seed if isinstance(seed, int) else None
