"""`serve --ray` on a Ray cluster of three nodes behind a real HAProxy: whatever dies, every session ends as it should.

Ray, balancer and store are real, the models stand-ins. Needs Ray (`pip install 'turnstream[cluster]'`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from live_sessions import Place, balanced, busiest, free_port, unharmed
from ray_cluster import RayCluster

from turnstream.clients.cluster.scaling import replicas_for

NODES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
DEPLOYS_S = 120
needs_ray = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("ray"), reason="needs Ray: pip install 'turnstream[cluster]'"),
]


@dataclass
class Deployed:
    """Servers on a cluster, and their address behind the balancer."""

    ray: RayCluster
    store: Path
    places: list[Place]
    url: str = ""

    def deploy(self) -> None:
        script, port = str(Path(__file__).with_name("silent_server.py")), str(self.places[0][1])
        command = [sys.executable, script, port, str(self.store), "0.5", "--ray", self.ray.address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEPLOYS_S)
        assert done.stdout == f"listening on port {port} of its node each: 3 servers\n", done.stderr

    def heal(self) -> None:
        """Ray has started what is missing, and the balancer knows."""
        end_s = time.monotonic() + DEPLOYS_S
        while not all(healthy(place) for place in self.places):
            assert time.monotonic() < end_s, "the server is not started again"
            time.sleep(0.1)
        time.sleep(1.2)

    def process(self, place: Place) -> Any:
        found = self.ray.process(place[0], "ray::ServeReplica:turnstream")
        assert found
        return found


def healthy(place: Place) -> bool:
    with contextlib.suppress(OSError), urlopen(f"http://{place[0]}:{place[1]}/health", timeout=1.0) as answer:
        return bool(json.load(answer)["status"] == "ok")
    return False


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder, port = tmp_path_factory.mktemp("ray"), free_port()
    made = Deployed(RayCluster(NODES[0], free_port()), folder / "store", [(node, port) for node in NODES])
    with balanced(folder, made.places) as made.url:
        try:
            made.ray.start_head()
            for node in NODES[1:]:
                made.ray.start(node)
            made.ray.wait()
            made.deploy()
            yield made
        finally:
            made.ray.end()


async def kill(deployed: Deployed) -> None:
    """The process of one replica, in the middle."""
    await asyncio.sleep(2.0)
    deployed.process(busiest(deployed.places)).kill()


async def kill_at_once(deployed: Deployed) -> None:
    """The process of one replica, within a second of the first session's beginning."""
    await asyncio.sleep(0.6)
    deployed.process(busiest(deployed.places)).kill()


async def hang(deployed: Deployed) -> None:
    """One replica does nothing for four seconds, then wakes up."""
    await asyncio.sleep(1.5)
    process = deployed.process(busiest(deployed.places))
    process.suspend()
    await asyncio.sleep(4.0)
    process.resume()


async def redeploy(deployed: Deployed) -> None:
    """Ray replaces every replica, one after the other."""
    before = {deployed.process(place).pid for place in deployed.places}
    await asyncio.to_thread(deployed.deploy)
    assert not before & {deployed.process(place).pid for place in deployed.places}


async def lose_node(deployed: Deployed) -> None:
    """All processes of a node are killed, Ray's own too."""
    await asyncio.sleep(2.0)
    await asyncio.to_thread(deployed.ray.lose, NODES[2])


@pytest.mark.parametrize(
    ("disturb", "seconds", "most_gap_s"),
    [
        pytest.param(*case, marks=needs_ray, id=case[0].__name__)
        for case in (
            (kill, 10.0, 2.0),
            (kill_at_once, 10.0, 2.0),
            (hang, 14.0, 5.0),
            (redeploy, 24.0, 2.0),
            (lose_node, 10.0, 2.0),
        )
    ],
)
def test_every_session_ends_as_if_nothing_had_happened(
    deployed: Deployed, disturb: Any, seconds: float, most_gap_s: float
) -> None:
    deployed.heal()
    assert unharmed(deployed.url, disturb(deployed), disturb.__name__, seconds) <= most_gap_s


@pytest.mark.parametrize(
    ("sessions", "capacity", "wanted"),
    [((0, 0), (10, 10), 0), ((6, 1), (10, 10), 1), ((8, 8), (10, 10), 3), ((14, 0), (10, 30), 1)],
)
def test_servers_are_wanted_by_how_full_they_are(sessions: Any, capacity: Any, wanted: int) -> None:
    told = {"sessions": dict(zip("ab", sessions, strict=True)), "capacity": dict(zip("ab", capacity, strict=True))}
    told["sessions"]["gone"] = 50
    context = SimpleNamespace(aggregated_metrics=told, running_replicas=["a", "b"], target_num_replicas=2)
    assert replicas_for(context) == (wanted, {})


def test_as_many_servers_stay_while_none_has_told() -> None:
    assert replicas_for(SimpleNamespace(aggregated_metrics={}, running_replicas=[], target_num_replicas=4)) == (4, {})
