"""`turnstream serve` in a process of its own."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from command import COMMAND

LISTENS_S, ENDS_S = 180, 30


@dataclass(frozen=True)
class Served:
    """A server that listens; what it says on stderr is in `log`."""

    port: int
    log: Path
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    """Starts the command on a free port; SIGTERM at the end."""
    command = [str(COMMAND), "serve", "--port", "0", "--sessions", "12", *options]
    log = folder / "serve.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    watchdog = threading.Timer(LISTENS_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        listening = re.search(r"listening on wss?://[^ ]*:(\d+)/v1", line)
        assert listening, f"the server does not listen: {line}{log.read_text()}"
        yield Served(int(listening[1]), log, process)
    finally:
        watchdog.cancel()
        process.terminate()
        try:
            process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
