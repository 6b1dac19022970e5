"""One system in a process of its own: reads what it is asked as JSON lines, answers as JSON lines.

    python -m benchmarks.peers.worker SYSTEM FOLDER CORES

`{"task": "window", "check": "out.npz", ...}` -> `{"seconds": [...], "result": ..., "peak_mib": ...}`, or
`{"error": "..."}`. The first line is the answer to loading. What libraries print goes to stderr. Imports only the
standard library, NumPy and the system's own module: the interpreter need not have the engine.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

# System -> module and class, and the package whose version is told.
SYSTEMS = {
    "prepare": ("prepare", "Prepare", "mlx"),
    "turnstream": ("ours", "Turnstream", "turnstream"),
    "PyTorch": ("networks", "PyTorch", "torch"),
    "ONNX Runtime": ("networks", "OnnxRuntime", "onnxruntime"),
    "diart": ("diart_system", "Diart", "diart"),
    "diart, one trunk": ("diart_system", "DiartOneTrunk", "diart"),
    "senko": ("senko_system", "Senko", "senko"),
    "sherpa-onnx": ("sherpa_system", "Sherpa", "sherpa_onnx"),
}


def peak_mib() -> float | None:
    """VmHWM of this process: the most memory it ever had resident. None where /proc is missing."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def main(name: str, folder: str, cores: int) -> None:
    """Load the system, then answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print where they like
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    module, kind, package = SYSTEMS[name]
    try:
        system = getattr(importlib.import_module(f"benchmarks.peers.{module}"), kind)(Path(folder), cores)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError)
        say(answers, {"error": f"{type(error).__name__}: {error}", "missing": missing})
        raise
    say(answers, {"version": version(package), "settings": getattr(system, "settings", {}), "peak_mib": peak_mib()})
    for line in sys.stdin:
        try:
            say(answers, answer(system, json.loads(line)))
        except Exception as error:
            say(answers, {"error": f"{type(error).__name__}: {error}"})
            raise


def answer(system: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """One task done; arrays go into the file named by `check`."""
    import numpy as np

    task, check = asked.pop("task"), asked.pop("check", None)
    timed = getattr(system, task)(**asked)
    if check and timed.arrays is not None:
        np.savez(check, **timed.arrays)
    return {"seconds": timed.seconds, "result": timed.result, "peak_mib": peak_mib()}


def say(answers: TextIO, message: dict[str, Any]) -> None:
    """One line."""
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
