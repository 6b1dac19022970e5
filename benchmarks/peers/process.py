"""A system in a process of its own, asked from here; the other end is `benchmarks.peers.worker`."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CORES = 2  # of every system


class NotRun(Exception):
    """A system that is not installed, or that failed: one sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`seconds` of every call of one pass; `result` is the task's."""

    seconds: list[float]
    result: Any
    peak_mib: float | None


class Process:
    """One system, loaded when this returns. Raises NotRun with the reason where it cannot be."""

    def __init__(self, name: str, python: str, folder: Path):
        self.name = name
        self._errors = folder / f"{name}.log"
        command = [python, "-m", "benchmarks.peers.worker", name, str(folder), str(CORES)]
        try:
            with self._errors.open("a") as errors:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )
        except OSError as error:
            raise NotRun(f"{python} cannot be run: {error.strerror}") from None
        try:
            loaded = self._read()
        except NotRun:
            self.close()
            raise
        self.version: str | None = loaded["version"]
        self.settings: dict[str, Any] = loaded["settings"]
        self.peak_mib: float | None = loaded["peak_mib"]

    def ask(self, task: str, **arguments: Any) -> Answer:
        """One task done. Raises NotRun where it fails."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NotRun(f"{self.name} ended before it was asked for {task}") from None
        answer = self._read()
        self.peak_mib = answer["peak_mib"]
        return Answer(answer["seconds"], answer["result"], answer["peak_mib"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._errors.read_text(errors="replace").strip().splitlines()
            raise NotRun(f"{self.name} ended without an answer: {said[-1] if said else 'no message'}")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("missing"):
            raise NotRun(f"not installed: {answer['error'].partition(': ')[2]}")
        if "error" in answer:
            raise NotRun(f"failed: {answer['error']}")
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
