"""Containers: no home folder, nothing that can be written to, a share of the cores."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from turnstream.kernels import backend
from turnstream.kernels.cpu_quota import quota_cores
from turnstream.people.store import PeopleStore

jit = pytest.importorskip("turnstream.kernels.cpu.jit")


def double(x: int) -> int:
    return 2 * x


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jit, "cache_folder", lambda sources: tmp_path / "kernels")
    return tmp_path / "kernels"


def hits(dispatcher: Any) -> int:
    return sum(dispatcher.stats.cache_hits.values())


def test_machine_code_is_kept_and_found(folder: Path):
    first, second = jit.compiled()(double), jit.compiled()(double)
    assert (first(21), hits(first)) == (42, 0)
    assert (second(21), hits(second)) == (42, 1)


def test_a_ready_cache_that_cannot_be_written_to_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    jit.compiled()(double)(21)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "makedirs", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    ready = jit.compiled()(double)
    assert (ready(21), hits(ready)) == (42, 1)
    assert ready(1.5) == 3.0  # is not in the cache and cannot be kept


@pytest.mark.parametrize("place", ["under a file", "nowhere"])
def test_without_a_cache_the_kernels_are_compiled(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "kernels" if place == "under a file" else None
    monkeypatch.setattr(jit, "cache_folder", lambda sources: folder)
    dispatcher = jit.compiled()(double)
    assert (dispatcher(21), hits(dispatcher)) == (42, 0)


def test_the_kernels_use_the_users_cache_where_theirs_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(jit._config, "CACHE_DIR", "")
    monkeypatch.setenv("TURNSTREAM_CACHE", str(tmp_path / "mine"))
    sources = tmp_path / "sources"
    sources.mkdir()
    find = jit.cache_folder.__wrapped__
    users = find(sources)
    assert users.parent == tmp_path / "mine"
    (sources / "__pycache__" / users.name).mkdir(parents=True)
    assert find(sources) == sources / "__pycache__" / users.name


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("TURNSTREAM_CACHE", "XDG_CACHE_HOME", "TURNSTREAM_PEOPLE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", refuse)


def test_without_a_home_there_is_no_cache_and_nobody_asks_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_home(monkeypatch)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(jit._config, "CACHE_DIR", "")
    assert jit.cache_folder.__wrapped__(tmp_path) is None
    store = PeopleStore()  # as every run has, with names or without
    with pytest.raises(Exception, match="no home folder is known: set TURNSTREAM_PEOPLE"):
        store.people()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc cannot be written to, not even by root")
def test_the_kernels_load_where_nothing_can_be_written():
    code = "import turnstream.kernels.cpu.lstm; print('ready')"
    env = os.environ | {"HOME": "/proc", "NUMBA_CACHE_DIR": "/proc/none"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=300)
    assert ran.stdout == "ready\n", ran.stderr


QUOTAS = {
    "second version": ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5),
    "of a group above": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),
    "of the container": ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
    "first version": (
        "3:cpuset:/x\n2:cpu,cpuacct:/x\n",
        {"cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
        3.0,
    ),
    "first version, none": (
        "2:cpu:/x\n",
        {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
        math.inf,
    ),
    "none": ("0::/a\n", {"a/cpu.max": "max 100000\n"}, math.inf),
    "no files": ("0::/a\n", {}, math.inf),
}


@pytest.mark.parametrize("kind", QUOTAS)
def test_the_quota_of_control_groups(kind: str, tmp_path: Path):
    own, files, cores = QUOTAS[kind]
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text)
    assert quota_cores(tmp_path / "fs", tmp_path / "own") == cores


@pytest.mark.parametrize(("quota", "threads"), [(1.5, 1), (0.2, 1), (math.inf, None)])
def test_the_quota_bounds_the_threads(quota: float, threads: int | None, monkeypatch: pytest.MonkeyPatch):
    free = backend.cpu_threads()
    monkeypatch.setattr(backend, "quota_cores", lambda: quota)
    assert backend.cpu_threads() == (threads or free)
