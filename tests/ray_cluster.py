"""A Ray cluster of processes on this machine: each node has a loopback address and processes of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TESTS = Path(__file__).parent
STARTS_S = 90.0
BOUNDED = ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats"]


@dataclass
class RayCluster:
    """Nodes by their address; one of them is the head."""

    head: str
    port: int
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp")))  # short: sockets
    nodes: dict[str, psutil.Popen] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{self.head}:{self.port}"

    def start_head(self) -> None:
        where = [f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.folder}"]
        self._start(self.head, "--head", *BOUNDED, *where)

    def start(self, address: str) -> None:
        self._start(address, f"--address={self.address}", *BOUNDED)

    def _start(self, address: str, *options: str) -> None:
        before = self._sockets()
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={address}"]
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        with (self.folder / f"{address}.log").open("w") as log:
            self.nodes[address] = psutil.Popen([*command, *options], stdout=log, stderr=log, env=environment)
        self._until(lambda: len(self._sockets()) > len(before))  # two nodes that begin at once take one name

    def wait(self) -> None:
        """Until all nodes are there."""
        for address in self.nodes:
            self._until(lambda log=self.folder / f"{address}.log": "Ray runtime started" in log.read_text())

    def process(self, address: str, name: str) -> psutil.Process | None:
        """One of a node whose name begins so."""
        for process in self._processes(address):
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] and process.cmdline()[0].startswith(name):
                    return process
        return None

    def lose(self, address: str) -> None:
        """All processes of a node are gone at once."""
        processes = self._processes(address)
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=10)
        self.nodes.pop(address).wait()

    def end(self) -> None:
        for address in reversed(list(self.nodes)):
            self.lose(address)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self, address: str) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self.nodes[address], *self.nodes[address].children(recursive=True)]
        return []

    def _sockets(self) -> list[Path]:
        return list(self.folder.glob("session_latest/sockets/raylet*"))

    def _until(self, true: Callable[[], bool]) -> None:
        end_s = time.monotonic() + STARTS_S
        while not true():
            assert time.monotonic() < end_s, "the Ray cluster does not start"
            time.sleep(0.1)
