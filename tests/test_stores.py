"""Stores: a folder and a real Redis server keep sessions alike, and each session has one owner."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from turnstream.stores.folder import FolderStore
from turnstream.stores.store import Kept, StaleError, Store, StoreError, open_store


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = shutil.which("redis-server") or shutil.which("valkey-server")
    if command is None:
        pytest.skip("no redis-server: apt install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"]
    with subprocess.Popen([command, *options], stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    pytest.importorskip("moto", reason="needs pip install 'moto[s3]' flask flask-cors")
    script = str(Path(__file__).with_name("s3_server.py"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        with subprocess.Popen([sys.executable, script], text=True, **pipes) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            yield f"s3://turnstream/sessions?endpoint=http://127.0.0.1:{port}&region=us-east-1"
            server.kill()


@pytest.fixture(params=["folder", "redis", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url, 60.0)
    yield opened
    opened.close()


def new_id() -> str:
    return os.urandom(8).hex()


def test_what_was_saved_last_is_what_is_claimed(store: Store) -> None:
    session = new_id()
    assert store.claim(session) is None
    store.save(session, 1, b"first", None, 0)
    store.save(session, 1, b"second", b"past 0", 1)
    store.save(session, 1, b"third\0\xff", b"past 1", 2)
    store.save(session, 1, b"fourth", None, 2)
    assert store.claim(session) == Kept(2, b"fourth", [b"past 0", b"past 1"])
    store.save(session, 2, b"fifth", b"past 2", 3)
    assert store.claim(session) == Kept(3, b"fifth", [b"past 0", b"past 1", b"past 2"])


def test_a_piece_that_no_head_counts_is_not_part_of_it(store: Store) -> None:
    """As where a server dies between the two, or its successor writes another one."""
    session = new_id()
    store.save(session, 1, b"a", b"past 0", 1)
    store.save(session, 1, b"b", b"past 1 of the old owner", 2)
    store.save(session, 1, b"a", None, 1)
    kept = store.claim(session)
    assert kept == Kept(2, b"a", [b"past 0"])
    store.save(session, 2, b"c", b"past 1 of the new owner", 2)
    assert store.claim(session) == Kept(3, b"c", [b"past 0", b"past 1 of the new owner"])


def test_a_former_owner_changes_nothing(store: Store) -> None:
    session = new_id()
    store.save(session, 1, b"old", None, 0)
    store.claim(session)
    assert store.holds(session, 2)
    assert not store.holds(session, 1)
    with pytest.raises(StaleError):
        store.save(session, 1, b"late", b"past", 1)
    store.forget(session, 1)
    assert store.claim(session) == Kept(3, b"old", [])


def test_what_was_forgotten_stays_forgotten(store: Store) -> None:
    session = new_id()
    store.save(session, 1, b"old", None, 0)
    store.claim(session)
    store.forget(session, 2)
    assert store.claim(session) is None
    assert not store.holds(session, 2)
    store.forget(session, 2)
    with pytest.raises(StaleError):
        store.save(session, 2, b"late", None, 0)


def test_of_many_that_claim_at_once_each_has_an_epoch_of_its_own(store: Store, url: str) -> None:
    session = new_id()
    store.save(session, 1, b"head", None, 0)
    epochs: list[int] = []

    def claim() -> None:
        mine = open_store(url, 60.0)
        for _ in range(5):
            kept = mine.claim(session)
            assert kept
            epochs.append(kept.epoch)
        mine.close()

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs) == list(range(2, 32))


def test_what_nobody_saves_again_is_forgotten(url: str) -> None:
    store, session, kept = open_store(url, 0.5), new_id(), new_id()
    store.save(session, 1, b"head", None, 0)
    time.sleep(1.7)  # a bucket counts whole seconds
    store.save(kept, 1, b"head", None, 0)
    store.sweep()
    assert store.claim(session) is None
    assert store.claim(kept)
    store.close()


@pytest.mark.parametrize("session", ["../x", "a/b", "", "a" * 65, "."])
def test_an_id_is_never_a_path(store: Store, session: str) -> None:
    with pytest.raises(StoreError, match="session id"):
        store.save(session, 1, b"", None, 0)
    with pytest.raises(StoreError, match="session id"):
        store.claim(session)


def test_only_its_owner_can_read_a_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store", 60.0)
    store.save("abc", 1, b"voices", b"past", 1)
    paths = [tmp_path / "store", *(tmp_path / "store").rglob("*")]
    assert len(paths) > 4
    assert all(path.stat().st_mode & 0o077 == 0 for path in paths)
    assert not list((tmp_path / "store").rglob("*.new"))


def test_what_cannot_be_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for url, says in (
        (str(tmp_path / "file" / "store"), "does not work: Not a directory"),
        ("ftp://host/x", "expected a store such as a folder, redis"),
    ):
        with pytest.raises(StoreError, match=says):
            open_store(url, 60.0)


def test_a_store_that_is_gone_is_told() -> None:
    store = open_store("valkey://127.0.0.1:9/0", 60.0)
    with pytest.raises(StoreError, match="does not answer"):
        store.save("abc", 1, b"", None, 0)


def test_a_folder_that_is_not_mounted_is_no_empty_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store", 60.0)
    store.save("abc", 1, b"head", None, 0)
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").mkdir()
    for ask in (lambda: store.claim("abc"), lambda: store.holds("abc", 1), lambda: store.save("a", 1, b"", None, 0)):
        with pytest.raises(StoreError, match="is not there"):
            ask()


def test_a_damaged_folder_is_told(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, 60.0)
    for name, data in (("epoch", b"many"), ("head", b"123")):
        store.save(name, 1, b"head", None, 0)
        (tmp_path / name / name).write_bytes(data)
        with pytest.raises(StoreError, match="damaged"):
            store.claim(name)


def test_an_error_does_not_tell_the_session_which_is_a_secret(tmp_path: Path) -> None:
    """Errors of a store are logged."""
    store, session = FolderStore(tmp_path, 60.0), new_id()
    store.save(session, 1, b"head", None, 0)
    (tmp_path / session / "head").unlink()
    (tmp_path / session / "head").mkdir()  # what no file can replace
    damaged = new_id()
    store.save(damaged, 1, b"head", None, 0)
    (tmp_path / damaged / "epoch").write_bytes(b"many")
    for secret, said in ((session, f"the store {tmp_path} does not work"), (damaged, f"session {damaged[:6]} in")):
        with pytest.raises(StoreError, match=said) as failed:
            store.save(secret, 1, b"head", None, 0)
        assert secret not in str(failed.value)


def test_a_bucket_that_is_not_there_is_told(s3_url: str) -> None:
    for wrong, says in (
        (s3_url.replace("turnstream", "nobodys"), "the store s3://nobodys does not answer: .*does not exist"),
        ("s3://turnstream?endpoint=http://127.0.0.1:9&region=x", "the store s3://turnstream does not answer"),
    ):
        with pytest.raises(StoreError, match=says):
            open_store(wrong, 60.0)


def test_a_bucket_whose_writes_are_not_conditional_is_refused(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two owners of a session would overwrite each other there."""
    client: Any = pytest.importorskip("botocore.client").BaseClient
    ask = client._make_api_call

    def unconditionally(self: Any, operation: str, values: dict[str, Any]) -> Any:
        return ask(self, operation, {name: value for name, value in values.items() if not name.startswith("If")})

    monkeypatch.setattr(client, "_make_api_call", unconditionally)
    with pytest.raises(StoreError, match="ignores If-Match"):
        open_store(s3_url, 60.0)


def test_two_owners_in_one_bucket_write_pieces_of_their_own(s3_url: str) -> None:
    """The former owner's last piece arrives after its successor's, under the same number."""
    former, last, session = open_store(s3_url, 60.0), open_store(s3_url, 60.0), new_id()
    former.save(session, 1, b"a", b"past 0", 1)
    assert last.claim(session) == Kept(2, b"a", [b"past 0"])
    last.save(session, 2, b"b", b"past 1", 2)
    with pytest.raises(StaleError):
        former.save(session, 1, b"c", b"past 1 of the former owner", 2)
    assert last.claim(session) == Kept(3, b"b", [b"past 0", b"past 1"])
    last.forget(session, 3)
    assert not [key for key, _ in last._list(f"sessions/{session}/")]  # type: ignore[attr-defined]
    former.close()
    last.close()
