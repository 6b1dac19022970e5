"""Server processes behind a real balancer with a real Redis: whatever dies, every session ends as if nothing had.

Processes, sockets, balancer and store are real; the models are stand-ins that hear tones, so that a server starts in a
second. `tests/test_takeover.py` kills one with real models, `tests/test_ray_serve.py` does the same on a Ray cluster.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from live_sessions import Place, balanced, busiest, unharmed
from test_stores import redis_url  # noqa: F401  (a fixture)

from benchmarks.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SERVERS = 3


@dataclass
class Cluster:
    """What a test can kill and start."""

    store: str
    places: list[Place]
    url: str = ""
    processes: dict[Place, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, place: Place) -> None:
        script = Path(__file__).with_name("silent_server.py")
        command = [sys.executable, str(script), str(place[1]), self.store, "0.5"]
        self.processes[place] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def wait(self, place: Place) -> None:
        output = self.processes[place].stdout
        assert output is not None
        assert "listening" in output.readline()

    def heal(self) -> None:
        """All servers run, and the balancer knows."""
        dead = [one for one in self.places if one not in self.processes or self.processes[one].poll() is not None]
        for place in dead:
            if place in self.processes:
                self.processes[place].communicate()
            self.start(place)
        for place in dead:
            self.wait(place)
        time.sleep(1.2)  # a check of each

    def send(self, place: Place, number: signal.Signals) -> None:
        self.processes[place].send_signal(number)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def cluster(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: F811
    made = Cluster(redis_url, [("127.0.0.1", port) for port in free_ports(SERVERS)])
    with balanced(tmp_path_factory.mktemp("cluster"), made.places) as made.url:
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def nginx_url(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    with balanced(tmp_path, cluster.places, "nginx") as url:
        yield url


async def kill(cluster: Cluster) -> None:
    """One process, in the middle."""
    await asyncio.sleep(2.0)
    cluster.send(busiest(cluster.places), signal.SIGKILL)


async def kill_at_once(cluster: Cluster) -> None:
    """One process, within a second of the first session's beginning."""
    await asyncio.sleep(0.6)
    cluster.send(busiest(cluster.places), signal.SIGKILL)


async def hang(cluster: Cluster) -> None:
    """One process does nothing for four seconds, then wakes up."""
    await asyncio.sleep(1.5)
    place = busiest(cluster.places)
    cluster.send(place, signal.SIGSTOP)
    await asyncio.sleep(4.0)
    cluster.send(place, signal.SIGCONT)


async def roll_out(cluster: Cluster) -> None:
    """Every process is replaced, one after the other."""
    for place in cluster.places:
        await asyncio.sleep(0.5)
        cluster.send(place, signal.SIGTERM)
        await asyncio.to_thread(cluster.processes[place].communicate)
        cluster.start(place)
        await asyncio.to_thread(cluster.wait, place)


@pytest.mark.parametrize(
    ("disturb", "seconds", "most_gap_s"),
    [(kill, 10.0, 2.0), (kill_at_once, 10.0, 2.0), (hang, 10.0, 5.0), (roll_out, 16.0, 2.0)],
)
def test_every_session_ends_as_if_nothing_had_happened(
    cluster: Cluster, disturb: Any, seconds: float, most_gap_s: float
) -> None:
    cluster.heal()
    assert unharmed(cluster.url, disturb(cluster), disturb.__name__, seconds) <= most_gap_s


def test_behind_nginx_too(cluster: Cluster, nginx_url: str) -> None:
    """What dies; it does not notice so soon what hangs."""
    cluster.heal()
    assert unharmed(nginx_url, kill_at_once(cluster), "nginx, kill_at_once") <= 2.0
