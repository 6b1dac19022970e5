"""The most memory that a command held."""

from __future__ import annotations

import subprocess
import sys

# A process counts as its own what its parent held when it was started: so a small one stands between.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_mib(command: list[str]) -> float:
    """Run it; the most MiB that one of its processes had in memory. CalledProcessError where it fails."""
    told = subprocess.run([sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True).stdout
    return int(told) / 1024 if sys.platform == "linux" else int(told) / 1024**2
