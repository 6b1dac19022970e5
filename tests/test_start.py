"""The command from outside: signals, streams that are closed or full, Ctrl-C before it has loaded anything."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from command import COMMAND

from turnstream.clients.options import OutputOptions
from turnstream.clients.outputs import Outputs, Stdout
from turnstream.clients.serve import _signals
from turnstream.clients.sources.microphone import Microphone
from turnstream.clients.sources.source import ctrl_c_stops
from turnstream.errors import TurnstreamError

RUNS = """
import sys, time
import turnstream.clients.cli as cli
def run():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("kept")
cli.main = run
from turnstream.clients.start import main
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_ends_a_run_keeps_what_is_known(number: signal.Signals):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", RUNS], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        said = process.communicate(timeout=30)
    assert said == ("kept\n", "turnstream: stopped\n")
    assert process.returncode == 128 + number


@pytest.mark.slow
def test_under_nohup_a_hangup_changes_nothing():
    script = f"trap '' HUP; exec {sys.executable} -c '{RUNS.replace('60', '0.5')}'"
    with subprocess.Popen(["bash", "-c", script], text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.slow
def test_ctrl_c_while_modules_are_loaded_is_one_sentence():
    code = """
import sys
class Interrupt:
    def find_spec(self, name, *rest):
        if name == "turnstream.clients.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from turnstream.clients.start import main
sys.exit(main())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "turnstream: stopped\n")


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        pytest.param("list >/dev/full", 1, "", "turnstream: cannot write to standard output: No space", marks=FULL),
        pytest.param("delete Ben 2>/dev/full", 1, "", "", marks=FULL),
        ("list >&-", 0, "", ""),
        ("delete Ben 2>&-", 1, "", ""),
        ("delete Ben >&-", 1, "", "turnstream: expected an enrolled person, but nobody is enrolled, got Ben"),
    ],
)
def test_streams_that_are_full_or_closed(arguments: str, code: int, out: str, err: str, tmp_path: Path):
    script = f"{COMMAND} people --people {tmp_path} {arguments}"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (code, out)
    assert ran.stderr.startswith(err)
    assert len(ran.stderr.splitlines()) == (1 if err else 0)


class Failing(io.StringIO):
    """Cannot be written to."""

    def __init__(self, number: int):
        super().__init__()
        self._number, self._file = number, os.open(os.devnull, os.O_WRONLY)

    def fileno(self) -> int:
        return self._file

    def write(self, text: str) -> int:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "No space left on device"), (errno.EPIPE, None)])
def test_a_full_disk_under_the_results_is_told_in_the_end_and_a_reader_who_left_is_not(number: int, said: str | None):
    stdout = Stdout(Failing(number))
    outputs = Outputs(stdout, OutputOptions(json=True), [])
    outputs.begin(Path("x.wav"))
    assert outputs.unread
    if said is None:
        stdout.check()
    else:
        with pytest.raises(TurnstreamError, match=f"cannot write to standard output: {said}"):
            stdout.check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_microphone_is_stopped_by_every_signal_but_one_that_is_ignored(number: signal.Signals):
    stops: list[str] = []
    microphone = cast(Microphone, SimpleNamespace(stop=lambda: stops.append("stop")))
    before = signal.getsignal(number)
    with ctrl_c_stops(microphone):
        signal.raise_signal(number)
        assert signal.getsignal(number) == before
    signal.signal(number, signal.SIG_IGN)
    try:
        with ctrl_c_stops(microphone):
            signal.raise_signal(number)
        assert stops == ["stop"]
    finally:
        signal.signal(number, before)


def test_the_second_signal_does_not_wait_whichever_it_is():
    async def stop() -> tuple[bool, list[object]]:
        stopping = asyncio.Event()
        with _signals(stopping):
            signal.raise_signal(signal.SIGINT)
            await asyncio.wait_for(stopping.wait(), 10)
            return True, [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]

    assert asyncio.run(stop()) == (True, [signal.SIG_DFL, signal.SIG_DFL])
