"""People whom clients ask for by name: read once, off the event loop. The models are stand-ins."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_kit import STOP, closed_with, run, serving
from silent_diarizer import MODEL, SilentDiarizer

from turnstream.people.store import PeopleStore
from turnstream.protocol.messages import Start, encode
from turnstream.stitching.clustering import unit
from turnstream.stitching.profile import Profile


def voice(seed: int = 0) -> Profile:
    return Profile(unit(np.random.default_rng(seed).normal(size=192).astype(np.float32)), 10.0)


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


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
