"""Sessions that go on with another server of their store: same results, one owner, one final result."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from served import served
from server_kit import Listener, closed_with, file_run, follow, hear_out, pcm, serving, talk
from silent_diarizer import steady
from tcp_proxy import Proxy, proxy_to
from test_snapshot import hums
from test_stores import redis_url, s3_url  # noqa: F401  (fixtures)
from websockets.asyncio.client import connect

from turnstream.clients.remote.client import Client
from turnstream.events import Final, Speaker, Turn
from turnstream.protocol.messages import Start, Started, Status, encode
from turnstream.server.journal import Journal
from turnstream.server.server import Server
from turnstream.stores.folder import FolderStore
from turnstream.weights.store import demo_recording

STOP = '{"type":"stop"}'
START = Start(sample_rate_hz=8000)
QUICKLY = {"snapshot_s": 0.4, "status_s": 0.1}


@pytest.fixture
def diarizer() -> Any:
    return steady()


@pytest.fixture(scope="module")
def audio() -> bytes:
    return pcm(hums(5), "pcm_s16le", 8000)


def run(client: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(client, 100))


@contextlib.asynccontextmanager
async def two_servers(
    diarizer: Any, store: Path | str, **changes: Any
) -> AsyncIterator[tuple[list[Server], list[str]]]:
    options = {**QUICKLY, "store": str(store), **changes}
    async with serving(diarizer, **options) as (a, a_url), serving(diarizer, **options) as (b, b_url):
        yield [a, b], [a_url, b_url]


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def speak(client: Client, audio: bytes, pace: float, begin: int = 0) -> None:
    """At `pace` times real time."""
    for at in range(begin, len(audio), 1600):
        await client.send(audio[at : at + 1600])
        await asyncio.sleep(0.1 / pace)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("seed", range(1))
def test_a_session_that_moves_ends_as_if_it_had_stayed(diarizer: Any, audio: bytes, tmp_path: Path, seed: int) -> None:
    """The former owner still runs, and knows nothing of it: two owners, one final result."""
    chance = random.Random(seed)

    async def moving(proxy: Proxy, urls: list[str]) -> None:
        for number in range(4):
            await asyncio.sleep(chance.uniform(0.3, 0.9))
            proxy.server_port = port_of(urls[(number + 1) % 2])
            proxy.cut()

    async def session() -> tuple[Final, list[Any]]:
        async with (
            two_servers(diarizer, tmp_path, resume_s=2.0) as (servers, urls),
            proxy_to(urls[0]) as proxy,
            Client(proxy.url, START) as client,
        ):
            moves = asyncio.create_task(moving(proxy, urls))
            await speak(client, audio, 4.0)
            await moves
            final = await client.finish()
            events = client.waiting()
            while any(server.table.sessions for server in servers):  # the former owner forgets what nobody resumes
                await asyncio.sleep(0.1)
            assert proxy.connections == 5
        return final, events

    final, events = run(session())
    turns, table = file_run(diarizer, audio, START)
    assert final.turns == turns
    assert final.statistics is not None
    assert (final.statistics.dropped_s, final.duration_s) == (0.0, len(audio) / 16_000)
    assert sum(isinstance(event, Final) for event in events) == 1
    seen: dict[str, Turn] = {}
    for event in events:
        follow(event, seen)
    assert {k: t for k, t in seen.items() if t.committed_s > t.start_s} == {
        k: t for k, t in table.items() if t.committed_s > t.start_s
    }
    assert set(seen) == set(table), "a turn that was taken back is told again"
    assert [path.name for path in tmp_path.iterdir()] == [".turnstream-store"], "the store has forgotten it"


def test_what_was_never_saved_is_computed_again_from_what_the_client_kept(
    diarizer: Any, audio: bytes, tmp_path: Path
) -> None:
    """The server is gone within a second of opening, and had only saved the birth."""

    async def session() -> tuple[Final, list[int]]:
        async with (
            two_servers(diarizer, tmp_path, snapshot_s=60.0) as (_, urls),
            proxy_to(urls[0]) as proxy,
            Client(proxy.url, START) as client,
        ):
            await client.send(audio[:80_000])
            await asyncio.sleep(0.5)
            proxy.server_port = port_of(urls[1])
            proxy.cut()
            await client.send(audio[80_000:])
            final = await client.finish()
            return final, [event.position for event in client.waiting() if isinstance(event, Started)]

    final, positions = run(session())
    assert positions == [0, 0]
    assert final.turns == file_run(diarizer, audio, START)[0]


def test_a_server_that_stops_hands_its_sessions_over(diarizer: Any, audio: bytes, tmp_path: Path) -> None:
    async def session() -> tuple[Final, int | None, list[Any]]:
        options = {**QUICKLY, "snapshot_s": 60.0, "store": str(tmp_path)}
        first = Listener()
        async with serving(diarizer, **options) as (_, url):
            socket = await connect(url + "/v1", max_size=None)
            await socket.send(encode(START))
            hearing = asyncio.create_task(hear_out(socket, first))
            await socket.send(audio[:100_000])
            while not any(isinstance(message, Speaker) for message in first.messages):
                await asyncio.sleep(0.02)
        code = await hearing
        assert not any(isinstance(message, Final) for message in first.messages)
        async with serving(diarizer, **options) as (_, url), connect(url + "/v1", max_size=None) as socket:
            await socket.send(encode(Start(session=first.started.session, seq=first.seq)))
            hearing = asyncio.create_task(hear_out(socket, first))
            while not first.started.resumed:
                await asyncio.sleep(0.02)
            await socket.send(audio[2 * first.started.position :])
            await socket.send(STOP)
            assert await hearing == 1000
        return first.final, code, first.messages

    final, code, messages = run(session())
    assert code == 1012
    assert messages
    assert final.turns == file_run(diarizer, audio, START)[0]


@pytest.mark.parametrize("kind", ["folder", "redis", "s3"])
def test_of_two_owners_only_the_last_one_gives_a_result(
    diarizer: Any, audio: bytes, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Both have a client of the session; the former owner does not know that it is one."""
    store = str(tmp_path) if kind == "folder" else request.getfixturevalue(f"{kind}_url")

    async def session() -> tuple[int | None, int | None, Listener, Listener]:
        former, last = Listener(), Listener()
        async with (
            two_servers(diarizer, store, snapshot_s=60.0) as (_, urls),
            connect(urls[0] + "/v1", max_size=None) as one,
            connect(urls[1] + "/v1", max_size=None) as other,
        ):
            await one.send(encode(START))
            former.hear(await one.recv())
            await other.send(encode(Start(session=former.started.session)))
            last.hear(await other.recv())
            for socket in (one, other):
                await socket.send(audio)
                await socket.send(STOP)
            return await hear_out(one, former), await hear_out(other, last), former, last

    code, last_code, former, last = run(session())
    assert (code, last_code) == (4409, 1000)
    assert not any(isinstance(message, Final) for message in former.messages)
    assert last.final.turns == file_run(diarizer, audio, START)[0]


def test_names_survive_at_once(diarizer: Any, audio: bytes, tmp_path: Path) -> None:
    async def session() -> Final:
        async with (
            two_servers(diarizer, tmp_path, snapshot_s=60.0) as (_, urls),
            proxy_to(urls[0]) as proxy,
            Client(proxy.url, START) as client,
        ):
            await client.send(audio[:100_000])
            async for event in client:
                if isinstance(event, Speaker) and event.name is None:
                    await client.name(event.id, "Anna", take=True)
                elif isinstance(event, Speaker):
                    break
            await asyncio.sleep(0.4)
            proxy.server_port = port_of(urls[1])
            proxy.cut()
            await client.send(audio[100_000:])
            return await client.finish()

    assert "Anna" in {talk.name for talk in run(session()).speakers}


@pytest.mark.slow
@pytest.mark.alone
def test_without_its_store_a_session_goes_on_and_says_that_nothing_is_safe(
    diarizer: Any, audio: bytes, tmp_path: Path
) -> None:
    store, away = tmp_path / "store", tmp_path / "away"

    async def received(client: Client, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return max(event.received_s for event in client.waiting() if isinstance(event, Status))

    async def session() -> tuple[list[float], Final]:
        async with two_servers(diarizer, store, snapshot_s=0.2) as (servers, urls), Client(urls[0], START) as client:
            speaking = asyncio.create_task(speak(client, audio, 3.0))
            found = [await received(client, 1.5)]
            store.rename(away)
            await received(client, 0.5)
            found += [await received(client, 0.5), await received(client, 0.5)]
            code, last = await closed_with(urls[1], encode(Start(session=client.started.session)))  # type: ignore[union-attr]
            assert (code, last["code"]) == (4503, "over_capacity"), "to be tried again"
            assert servers[0].table.keeper
            assert servers[0].table.keeper.failures
            await speaking
            return found, await client.finish()

    found, final = run(session())
    assert found[0] > 0.5
    assert found[1] == found[2]
    assert final.turns == file_run(diarizer, audio, START)[0]


def test_what_no_server_can_go_on_with_is_unknown(diarizer: Any, tmp_path: Path) -> None:
    store = FolderStore(tmp_path, 60.0)
    store.save("damaged", 1, b"no snapshot", None, 0)

    async def session() -> None:
        async with serving(diarizer, store=str(tmp_path)) as (_, url):
            for name in ("damaged", "nobody"):
                code, last = await closed_with(url, encode(Start(session=name)))
                assert (code, last["code"]) == (4404, "unknown_session")

    run(session())


def test_a_full_server_is_alive_but_not_ready_and_takes_nobody_over(diarizer: Any, tmp_path: Path) -> None:
    def status(url: str, path: str) -> int:
        with contextlib.suppress(OSError), urlopen(url.replace("ws", "http") + path, timeout=5) as answer:
            return int(answer.status)
        return 503

    async def session() -> None:
        options = {"store": str(tmp_path), "max_sessions": 1, "resume_s": 0.5}
        async with serving(diarizer, **options) as (_, a), serving(diarizer, **options) as (_, b):
            async with Client(a) as first, Client(b):
                assert [await asyncio.to_thread(status, a, path) for path in ("/health", "/ready")] == [200, 503]
                code, _ = await closed_with(b, encode(Start(session=first.started.session)))  # type: ignore[union-attr]
                assert code == 4503
            while await asyncio.to_thread(status, a, "/ready") != 200:
                await asyncio.sleep(0.1)

    run(session())


def test_after_a_takeover_numbers_go_on_and_what_was_taken_back_is_told() -> None:
    journal = Journal()
    journal.taken_over(41)
    turn = Turn("T1", "S1", None, 0.0, 1.0, 0.0, "provisional")
    journal.add(turn, 0.0)
    journal.add(Turn("T1", "S1", None, 0.0, 1.0, 0.0, "retracted"), 0.0)
    entry = journal.take()
    assert entry is not None
    assert entry.seq > 41
    assert isinstance(entry.message, Turn)
    assert entry.message.state == "retracted"


@pytest.mark.slow
@pytest.mark.alone
def test_a_server_that_was_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL in the middle, and the same command again. Real processes, real models."""
    samples, _ = soundfile.read(demo_recording()[0], start=104_000, stop=216_000, dtype="float32")
    audio = pcm(np.asarray(samples), "pcm_s16le")

    async def session() -> tuple[Final, Final]:
        options = "--store", str(tmp_path / "store"), "--snapshots", "0.5"
        with served(tmp_path, *options) as first:
            async with proxy_to(f"ws://{first.address}") as proxy, Client(proxy.url) as client:
                await speak(client, audio[:120_000], 3.0)
                first.process.send_signal(signal.SIGKILL)
                with served(tmp_path, *options) as second:
                    proxy.server_port = second.port
                    await client.send(audio[120_000:])
                    final = await client.finish()
                    return final, (await talk(f"ws://{second.address}", audio, Start())).final

    final, unbroken = run(session())
    assert final.turns == unbroken.turns
    assert final.turns
    assert final.statistics is not None
    assert (final.statistics.resumes, final.statistics.dropped_s) == (1, 0.0)
