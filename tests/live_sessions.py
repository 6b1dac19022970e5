"""Live sessions while servers die behind a real HAProxy: what every client heard, and for how long it heard nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server_kit import file_run, pcm
from silent_diarizer import SilentDiarizer
from test_snapshot import hums

from benchmarks.ports import free_port
from turnstream.clients.remote.client import Client
from turnstream.events import Final
from turnstream.protocol.messages import Start, Started

CLIENTS, PACE = 8, 2.0
START = Start(sample_rate_hz=8000)
PAGE = Path(__file__).parent.parent / "docs" / "cluster.md"
Place = tuple[str, int]  # address and port


@contextlib.contextmanager
def balanced(folder: Path, servers: Sequence[Place], kind: str = "haproxy") -> Iterator[str]:
    """The configuration in the documentation, with these servers; the address for clients."""
    program = shutil.which(kind, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"no {kind}: apt install {kind}")
    port = free_port()
    config = _configured(kind, port, servers)
    path = folder / f"{kind}.cfg"
    path.write_text(config if kind == "haproxy" else _whole_nginx(folder, config))
    arguments = ["-db", "-f", path] if kind == "haproxy" else ["-e", folder / "error.log", "-c", path]
    with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as balancer:
        try:
            yield f"ws://127.0.0.1:{port}"
        finally:
            balancer.terminate()


def _configured(kind: str, port: int, servers: Sequence[Place]) -> str:
    text = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert text
    config = re.sub(r"(bind |listen ):?8765", rf"\g<1>127.0.0.1:{port}", text[1])
    for number, (address, own) in enumerate(servers, 1):
        assert f"10.0.0.{number}:8765" in config
        config = config.replace(f"10.0.0.{number}:8765", f"{address}:{own}")
    return config


def _whole_nginx(folder: Path, site: str) -> str:
    """With what a package configures around it."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(
        [
            "user root;" if os.geteuid() == 0 else "",
            f"pid {folder}/nginx.pid; worker_processes 2; daemon off;",
            "events {}",
            "http { access_log off;",
            *(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
            site,
            "}",
        ]
    )


def busiest(servers: Sequence[Place]) -> Place:
    """The one that has most connections of the balancer."""
    listed = Path("/proc/net/tcp").read_text()

    def connections(server: Place) -> int:
        address = socket.inet_aton(server[0])[::-1].hex().upper()
        return len(re.findall(rf"{address}:{server[1]:04X} \S+ 01 ", listed))

    return max(servers, key=connections)


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


def unharmed(url: str, disturbance: Awaitable[None], name: str, seconds: float = 10.0) -> float:
    """Sessions of so many seconds of audio end as if nothing had happened; the longest time that one heard nothing."""
    audio = [pcm(hums(seed, seconds), "pcm_s16le", 8000) for seed in range(CLIENTS)]

    async def together() -> list[Outcome]:
        sessions = [session(url, data, 0.1 * number) for number, data in enumerate(audio)]
        *outcomes, _ = await asyncio.wait_for(asyncio.gather(*sessions, disturbance), 150)
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
    print(name, "gaps in seconds:", gaps_s, "resumes:", [outcome.resumes for outcome in outcomes])
    return max(gaps_s)
