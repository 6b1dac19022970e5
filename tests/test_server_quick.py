"""What one client does to the others: names that are looked up, silence that is queued. The models are stand-ins."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_kit import Listener, closed_with, hear_out, serving
from silent_diarizer import MODEL, SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.people.store import PeopleStore
from turnstream.protocol.messages import Start, encode
from turnstream.stitching.clustering import unit
from turnstream.stitching.profile import Profile

STOP = '{"type":"stop"}'


def voice(seed: int = 0) -> Profile:
    return Profile(unit(np.random.default_rng(seed).normal(size=192).astype(np.float32)), 10.0)


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


def run(client: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(client, 60))


def test_people_are_read_once_off_the_loop_and_again_after_a_change(
    diarizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = PeopleStore(tmp_path)
    for number in range(12):
        store.save(f"Person {number}", voice(number), MODEL)
    threads: list[threading.Thread] = []
    read = PeopleStore.read

    def counted(self: PeopleStore) -> Any:
        threads.append(threading.current_thread())
        return read(self)

    monkeypatch.setattr(PeopleStore, "read", counted)
    names = tuple(f"person {number}" for number in range(12))

    async def client() -> None:
        async with serving(diarizer, people=tmp_path) as (_, url):
            for _ in range(2):
                assert (await closed_with(url, encode(Start(speakers=names)), STOP))[0] == 1000
            assert len(threads) == 1
            assert threads[0] is not threading.main_thread()
            assert (await closed_with(url, encode(Start(speakers=("Zoë",)))))[0] == 4400
            assert len(threads) == 1
            store.save("Zoë", voice(99), MODEL)
            del threads[:]
            assert (await closed_with(url, encode(Start(speakers=("zoë", "ZOË"))), STOP))[0] == 1000
            assert len(threads) == 1

    run(client())


def test_people_of_another_model_and_a_folder_that_is_none_are_nobody(diarizer: Any, tmp_path: Path):
    PeopleStore(tmp_path / "store").save("Anna", voice(), "b" * 64)

    async def client(folder: Path) -> None:
        async with serving(diarizer, people=folder) as (_, url):
            code, last = await closed_with(url, encode(Start(speakers=("Anna",))))
            assert (code, last["message"]) == (
                4400,
                "speakers: expected names of people that the server knows, got Anna",
            )

    for folder in (tmp_path / "store", tmp_path / "nowhere"):
        run(client(folder))


def test_a_server_whose_models_are_busy_answers_others_while_a_session_is_made(diarizer: Any):
    made, free = threading.Event(), threading.Event()

    def slow() -> None:
        made.set()
        assert free.wait(20)

    diarizer.models.initial_state = slow

    async def client() -> None:
        async with serving(diarizer, max_sessions=1) as (_, url), connect(url) as socket:
            await socket.send(encode(Start()))
            await asyncio.to_thread(made.wait, 20)
            code, last = await closed_with(url, encode(Start()))  # the place is taken already
            assert (code, last["code"]) == (4503, "over_capacity")
            free.set()
            await socket.send(STOP)
            assert await hear_out(socket, Listener()) == 1000

    run(client())


def test_silence_that_a_client_skips_to_counts_as_audio_at_once(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, session_s=1000.0, status_s=60.0) as (server, url):
            async with connect(url) as socket:
                await socket.send(encode(Start()))
                session_id = json.loads(await socket.recv())["session"]
            session = server.sessions[session_id]
            for number in range(1, 4):
                ahead = {"session": session_id, "position": min(session.position + 600 * 16_000, number * 600 * 16_000)}
                async with connect(url) as socket:
                    await socket.send(json.dumps({"type": "start", **ahead}))
                    await socket.recv()
            assert session.ended == "session_too_long"
            assert session.length_s == 1200.0

    run(client())
