"""The entry point of the command: what can go wrong around it, before its modules are loaded and after it has ended.

Loads next to nothing at first, so that Ctrl-C is answered in one sentence from the first moment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

STOPS = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


def main() -> int:
    """Run the command; the exit code: 128 and the signal's number where a signal stopped it."""
    _open_missing()
    with _stopped_like_ctrl_c() as stopped:
        try:
            from .outputs import Stdout

            sys.stderr = Stdout(sys.stderr)
            from .cli import main as run

            code = run()
        except KeyboardInterrupt:
            print("turnstream: stopped", file=sys.stderr)
            code = 130
        except OSError as error:  # of standard output: those of all other files are explained where they are opened
            code = _say_unwritable(error)
    return 128 + stopped[0] if code == 130 and stopped else code


def _open_missing() -> None:
    """A closed stream goes nowhere; else the next file that is opened would take its place, errors and all."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, os.fdopen(nowhere, "w" if number else "r", closefd=False))


@contextlib.contextmanager
def _stopped_like_ctrl_c() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does, which keeps what is known; yields those that came.

    A signal that is ignored, as under nohup, stays ignored.
    """
    came: list[int] = []

    def stop(number: int, frame: Any) -> None:
        came.append(number)
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in STOPS if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _say_unwritable(error: OSError) -> int:
    from .outputs import complain, swallow

    swallow(sys.stdout)
    return complain(f"cannot write to standard output: {error.strerror or error}")
