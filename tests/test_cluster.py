"""Server processes behind a real HAProxy with a real Redis: whatever dies, every session ends as if nothing had.

Processes, sockets, balancer and store are real; the models are stand-ins that hear tones, so that a server starts in a
second. `tests/test_takeover.py` kills one with real models.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from server_kit import file_run, pcm
from silent_diarizer import SilentDiarizer
from test_snapshot import hums
from test_stores import redis_url  # noqa: F401  (a fixture)

from turnstream.clients.remote.client import Client
from turnstream.events import Final
from turnstream.protocol.messages import Start, Started

pytestmark = pytest.mark.slow

SERVERS, CLIENTS, PACE = 3, 6, 2.0
START = Start(sample_rate_hz=8000)
PAGE = Path(__file__).parent.parent / "docs" / "cluster.md"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """What a test can kill and start."""

    port: int
    store: str
    ports: list[int]
    processes: dict[int, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self, port: int) -> None:
        script = Path(__file__).with_name("silent_server.py")
        command = [sys.executable, str(script), str(port), self.store, "0.5"]
        self.processes[port] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def wait(self, port: int) -> None:
        output = self.processes[port].stdout
        assert output is not None
        assert "listening" in output.readline()

    def heal(self) -> None:
        """All servers run, and the balancer knows."""
        dead = [port for port in self.ports if port not in self.processes or self.processes[port].poll() is not None]
        for port in dead:
            if port in self.processes:
                self.processes[port].communicate()
            self.start(port)
        for port in dead:
            self.wait(port)
        time.sleep(1.2)  # a check of each

    def busiest(self) -> int:
        """The port of the server that has most connections of the balancer."""
        listed = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True, check=True).stdout
        return max(self.ports, key=lambda port: len(re.findall(rf"0100007F:{port:04X} \S+ 01 ", listed)))

    def send(self, port: int, number: signal.Signals) -> None:
        self.processes[port].send_signal(number)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def cluster(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: F811
    if shutil.which("haproxy") is None:
        pytest.skip("no haproxy: apt install haproxy")
    made = Cluster(free_port(), redis_url, [free_port() for _ in range(SERVERS)])
    text = re.search(r"```haproxy\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert text
    config = text[1].replace("bind :8765", f"bind 127.0.0.1:{made.port}")
    for number, port in enumerate(made.ports, 1):
        config = config.replace(f"10.0.0.{number}:8765", f"127.0.0.1:{port}")
    path = tmp_path_factory.mktemp("cluster") / "haproxy.cfg"
    path.write_text(config)
    command = ["haproxy", "-db", "-f", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as balancer:
        try:
            yield made
        finally:
            balancer.terminate()
            made.end()


@dataclass(frozen=True)
class Outcome:
    """Of one client: its result, how often it came back, and the longest time in which it heard nothing."""

    final: Final
    resumes: int
    gap_s: float


async def hear(client: Client) -> Outcome:
    resumes, gap_s, heard_s = 0, 0.0, time.monotonic()
    async for event in client:
        gap_s, heard_s = max(gap_s, time.monotonic() - heard_s), time.monotonic()
        resumes += isinstance(event, Started) and event.resumed
        if isinstance(event, Final):
            return Outcome(event, resumes, gap_s)
    raise AssertionError("no final result")


async def session(url: str, audio: bytes, delay_s: float) -> Outcome:
    await asyncio.sleep(delay_s)
    async with Client(url, START) as client:
        hearing = asyncio.create_task(hear(client))
        for at in range(0, len(audio), 1600):
            await client.send(audio[at : at + 1600])
            await asyncio.sleep(0.1 / PACE)
        await client.finish()
        return await hearing


async def kill(cluster: Cluster) -> None:
    """One process, in the middle."""
    await asyncio.sleep(2.0)
    cluster.send(cluster.busiest(), signal.SIGKILL)


async def kill_at_once(cluster: Cluster) -> None:
    """One process, within a second of the first session's beginning."""
    await asyncio.sleep(0.6)
    cluster.send(cluster.busiest(), signal.SIGKILL)


async def hang(cluster: Cluster) -> None:
    """One process does nothing for four seconds, then wakes up."""
    await asyncio.sleep(1.5)
    port = cluster.busiest()
    cluster.send(port, signal.SIGSTOP)
    await asyncio.sleep(4.0)
    cluster.send(port, signal.SIGCONT)


async def roll_out(cluster: Cluster) -> None:
    """Every process is replaced, one after the other."""
    for port in cluster.ports:
        await asyncio.sleep(0.5)
        cluster.send(port, signal.SIGTERM)
        await asyncio.to_thread(cluster.processes[port].communicate)
        cluster.start(port)
        await asyncio.to_thread(cluster.wait, port)


@pytest.mark.parametrize(("disturb", "most_gap_s"), [(kill, 5.0), (kill_at_once, 5.0), (hang, 8.0), (roll_out, 5.0)])
def test_every_session_ends_as_if_nothing_had_happened(cluster: Cluster, disturb: Any, most_gap_s: float) -> None:
    cluster.heal()
    audio = [pcm(hums(seed, 10.0), "pcm_s16le", 8000) for seed in range(CLIENTS)]

    async def together() -> list[Outcome]:
        sessions = [session(cluster.url, data, 0.1 * number) for number, data in enumerate(audio)]
        *outcomes, _ = await asyncio.wait_for(asyncio.gather(*sessions, disturb(cluster)), 100)
        return outcomes

    outcomes = asyncio.run(together())
    models: Any = SilentDiarizer()
    models.models._noise = 0.0
    for data, outcome in zip(audio, outcomes, strict=True):
        assert outcome.final.turns == file_run(models, data, START)[0]
        assert outcome.final.statistics is not None
        assert outcome.final.statistics.dropped_s == 0.0
    assert sum(outcome.resumes for outcome in outcomes) > 0
    gaps_s = [round(outcome.gap_s, 2) for outcome in outcomes]
    print(disturb.__name__, "gaps in seconds:", gaps_s, "resumes:", [outcome.resumes for outcome in outcomes])
    assert max(gaps_s) <= most_gap_s
