"""How many cores the control groups of Linux let this process use: a container has all cores, for part of the time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@cache  # asked for by every kernel
def quota_cores(cgroups: Path = CGROUPS, own: Path = OWN) -> float:
    """The smallest quota of this process's group and those above it, in cores; infinite where there is none.

    Formats: docs.kernel.org, cgroup-v2.rst (`cpu.max`) and sched-bwc.rst (`cpu.cfs_quota_us`).
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            quotas += [_quota(group / "cpu.max") for group in _groups(cgroups, path)]
        elif "cpu" in controllers.split(","):
            quotas += [_quota(g / "cpu.cfs_quota_us", g / "cpu.cfs_period_us") for g in _groups(cgroups / "cpu", path)]
    return min(quotas)


def _groups(root: Path, path: str) -> Iterator[Path]:
    """The group and those above it, up to the root, which is the container's own group where it sees no other."""
    group = root / path.lstrip("/")
    yield group
    yield from (above for above in group.parents if above.is_relative_to(root))


def _quota(*files: Path) -> float:
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or `max`
        return math.inf
