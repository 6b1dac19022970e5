"""For benchmarks/soak_deaths.py: servers of one store behind HAProxy that die, hang and are replaced at random."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.footprint import Footprint
from benchmarks.ports import free_ports

PAGE = Path(__file__).parent.parent / "docs" / "cluster.md"
EVERY_S = (5.0, 15.0)  # between two deaths
HANGS_S = (1.0, 8.0)
DEATHS = ("killed", "hung", "stopped", "killed at the same time as another")
STARTS_S = 120.0


@dataclass
class Servers:
    """By port; `deaths` counts what happened to them. The first of them hangs, but does not die."""

    store: str
    options: tuple[str, ...]
    ports: list[int]
    url: str = ""
    over: bool = False
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)

    @property
    def addresses(self) -> list[str]:
        """Of each server, not through HAProxy."""
        return [f"ws://127.0.0.1:{port}" for port in self.ports]

    def start(self, port: int) -> None:
        """Does not wait until it listens."""
        program = str(Path(sys.executable).with_name("turnstream"))
        command = [program, "serve", "--port", str(port), "--store", self.store, *self.options]
        self.processes[port] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def until_listening(self, port: int) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(STARTS_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.1)

    async def start_all(self) -> None:
        """And wait until the balancer knows."""
        for port in self.ports:
            self.start(port)
        for port in self.ports:
            await self.until_listening(port)
        await asyncio.sleep(2.0)

    async def suffer(self, chance: random.Random) -> None:
        """One death after another, until it is `over`; all of them run afterwards."""
        while True:
            await asyncio.sleep(chance.uniform(*EVERY_S))
            if self.over:
                return
            death = chance.choice(DEATHS)
            self.deaths[death] += 1
            if death == "hung":
                await self._hang(chance.choice(self.ports), chance.uniform(*HANGS_S))
                continue
            dying = chance.sample(self.ports[1:], 2 if death == DEATHS[-1] else 1)
            for port in dying:
                self.processes[port].send_signal(signal.SIGTERM if death == "stopped" else signal.SIGKILL)
            for port in dying:
                await asyncio.to_thread(self.processes[port].wait)
                self.start(port)
            for port in dying:
                await self.until_listening(port)

    async def _hang(self, port: int, seconds: float) -> None:
        self.processes[port].send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.processes[port].send_signal(signal.SIGCONT)

    def footprint(self, minutes: float) -> Footprint:
        """Resident memory and descriptors of those that run, all together; what of it is in use is not asked for."""
        mib, descriptors = 0.0, 0
        for process in self.processes.values():
            with contextlib.suppress(OSError):
                folder = Path(f"/proc/{process.pid}")
                pages = int((folder / "statm").read_text().split()[1])
                mib += pages * os.sysconf("SC_PAGE_SIZE") / 2**20
                descriptors += len(os.listdir(folder / "fd"))
        return Footprint(minutes, mib, 0.0, 0.0, descriptors)

    def end(self) -> None:
        """All of them."""
        for process in self.processes.values():
            process.kill()
            process.wait()


@contextlib.contextmanager
def servers(count: int, *options: str) -> Iterator[Servers]:
    """Not started yet, behind HAProxy as docs/cluster.md configures it, with a folder for a store."""
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert haproxy, "haproxy is not installed (Debian: apt install haproxy)"
    with tempfile.TemporaryDirectory() as folder:
        trusted = ("--trusted-proxy", "127.0.0.1")
        port, *behind = free_ports(1 + count)
        made = Servers(f"{folder}/store", (*options, *trusted), behind)
        path = Path(folder) / "haproxy.cfg"
        made.url = f"ws://127.0.0.1:{port}"
        path.write_text(configuration(port, made.ports))
        with subprocess.Popen([haproxy, "-db", "-f", path], stderr=subprocess.DEVNULL) as balancer:
            try:
                yield made
            finally:
                made.end()
                balancer.terminate()


def configuration(port: int, behind: list[int]) -> str:
    """That of docs/cluster.md, with these ports."""
    found = re.search(r"```haproxy\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    lines = [line for line in found[1].splitlines() if not line.strip().startswith("server ")]
    lines += [f"    server s{number} 127.0.0.1:{one}" for number, one in enumerate(behind)]
    return "\n".join(lines).replace("bind :8765", f"bind 127.0.0.1:{port}") + "\n"
