"""The installed command, run to its end, and pieces of recordings for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import soundfile

COMMAND = Path(sys.executable).with_name("turnstream")
LIMIT_S = 240
# Standard output is buffered, as it is for users: where it is not, a broken pipe shows in other places.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def turnstream(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, without a terminal."""
    command = [str(COMMAND), *map(str, arguments)]
    options.setdefault("env", ENVIRONMENT)
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S, **options)


def cut(source: Path, target: Path, start_s: float, end_s: float) -> Path:
    """Part of a recording in the format of the target's suffix."""
    rate_hz = soundfile.info(source).samplerate
    samples, _ = soundfile.read(source, start=round(start_s * rate_hz), stop=round(end_s * rate_hz))
    soundfile.write(target, samples, rate_hz)
    return target


def one_sentence(complaint: str) -> bool:
    """The house rule for what a user may see."""
    return bool(re.fullmatch(r"turnstream: .+\n", complaint)) and "Traceback" not in complaint
