"""A Node.js with a WebSocket of its own, or a clear skip."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import shutil
import subprocess
from pathlib import Path

import pytest


def node_with_websocket() -> list[str]:
    """The command: the system's Node, or the one that Playwright brings."""
    if (command := _found()) is None:
        pytest.skip("no Node.js with a WebSocket: Node 22, or 20.10 with a flag (Debian: nodejs)")
    return command


@functools.cache
def _found() -> list[str] | None:
    programs = [path for path in (shutil.which("node"), _playwrights_node()) if path]
    for program, flags in itertools.product(programs, ([], ["--experimental-websocket"])):
        asks = [program, *flags, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
        if subprocess.run(asks, capture_output=True).returncode == 0:
            return [program, "--no-warnings", *flags]
    return None


def _playwrights_node() -> str | None:
    found = importlib.util.find_spec("playwright")
    program = Path(found.origin).parent / "driver" / "node" if found and found.origin else None
    return str(program) if program and program.exists() else None
