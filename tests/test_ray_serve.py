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
from live_sessions import START, Place, balanced, busiest, unharmed
from ray_cluster import RayCluster

from benchmarks.ports import free_port
from turnstream.clients.cli import main
from turnstream.clients.cluster.scaling import replicas_for
from turnstream.clients.remote.client import Client

NODES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
DEPLOYS_S = 120
needs_ray = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not find_spec("ray"), reason="needs Ray: pip install 'turnstream[cluster]'"),
]


@dataclass
class Deployed:
    """Servers on a cluster, and their address behind the balancer."""

    ray: RayCluster
    store: Path
    places: list[Place]
    url: str = ""

    def deploy(self, *options: str) -> str:
        script, port = str(Path(__file__).with_name("silent_server.py")), str(self.places[0][1])
        command = [sys.executable, script, port, str(self.store), "0.5", "--ray", self.ray.address, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEPLOYS_S)
        return done.stdout or done.stderr

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
            assert made.deploy() == f"3 servers, each listening on port {port} of its node\n"
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
    assert "3 servers" in await asyncio.to_thread(deployed.deploy)
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


def with_marks(test: Any) -> Any:
    for mark in needs_ray:
        test = mark(test)
    return test


@with_marks
def test_a_full_server_gets_another_one(deployed: Deployed) -> None:
    """Nine of its twelve places are taken. After this, what was deployed is what it cannot be."""
    assert "1 to 2 servers" in deployed.deploy("--replicas", "1-2")

    async def sessions() -> int:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(9):
                await stack.enter_async_context(Client(deployed.url, START))
            for _ in range(DEPLOYS_S):
                if len([place for place in deployed.places if await asyncio.to_thread(healthy, place)]) == 2:
                    return 2
                await asyncio.sleep(1.0)
        return 1

    assert len([place for place in deployed.places if healthy(place)]) == 1
    assert asyncio.run(sessions()) == 2
    assert deployed.deploy("--replicas", "1", "--broken").endswith(": no such weights\n")


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


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0", "--store", "/tmp/s"], "expected no --host with --ray"),
        ([], "expected --store with --ray"),
        (["--store", "STORE"], "lets others in: expected a token"),
        (["--replicas", "3-2"], "expected at least as many as 3 after the dash, got 3-2"),
        (["--replicas", "0"], "expected a whole number from 1, got 0"),
    ],
)
def test_what_makes_no_sense_on_a_cluster_is_one_sentence(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TURNSTREAM_TOKEN", raising=False)
    given = [option.replace("STORE", str(tmp_path / "store")) for option in options]
    try:
        code = main(["serve", "--ray", "127.0.0.1:1", *given])
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code in (1, 2)
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.skipif(not find_spec("ray"), reason="needs Ray: pip install 'turnstream[cluster]'")
def test_where_there_is_no_cluster_one_sentence_says_so(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("turnstream"), "serve", "--ray", "127.0.0.1:1", "--no-token"]
    ended = subprocess.run([*command, "--store", tmp_path / "store"], capture_output=True, text=True, timeout=DEPLOYS_S)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == "turnstream: cannot join a Ray cluster at 127.0.0.1:1: Connection refused\n"
