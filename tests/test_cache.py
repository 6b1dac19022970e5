"""What the cache holds is whole or absent, whatever is interrupted, damaged, full, or started twice."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest
from toy_models import MODEL_MEMBER, Toys, expect_weights, make_toys, use_toys

from turnstream.errors import WeightsError
from turnstream.weights import cache
from turnstream.weights import store as weights


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    return make_toys(tmp_path, monkeypatch)


DAMAGE = {
    "truncated": lambda data: data[:-1],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\0",
    "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "absent": lambda data: None,
}


@pytest.mark.parametrize("which", ["model.safetensors", "model.safetensors.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_in_the_cache_is_repaired(
    which: str, damage: str, toys: Toys, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.models_pull()
    path = toys.cache / which
    damaged = DAMAGE[damage](path.read_bytes())
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    expect_weights()
    assert toys.runs() == 2
    expect_weights()
    assert toys.runs() == 2
    told = "the cached model is damaged or outdated, downloading it again\n" in capsys.readouterr().err
    assert told == (damaged is not None or which.endswith(".json"))


def test_another_source_makes_the_cached_file_outdated(toys: Toys) -> None:
    weights.models_pull()
    data = (toys.cache / "model.safetensors").read_bytes()
    assert cache.load(toys.cache / "model.safetensors", MODEL_MEMBER.sha256) == data
    assert cache.load(toys.cache / "model.safetensors", "0" * 64) is None


def test_interruption_leaves_nothing(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("PIP_SLEEP_S", "30")
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        weights.models_pull(on_progress=interrupt)
    assert time.monotonic() - start < 10  # the download was ended with us
    assert toys.leftovers() == []
    monkeypatch.delenv("PIP_SLEEP_S")
    expect_weights()


def pull_in_another_process(script: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        use_toys(patch, script)
        expect_weights()


def processes(script: Path, count: int) -> list[multiprocessing.process.BaseProcess]:
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=pull_in_another_process, args=(script,)) for _ in range(count)]
    for process in started:
        process.start()
    return started


@pytest.mark.slow
def test_killed_process_does_not_disturb_the_next(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_SLEEP_S", "30")
    (process,) = processes(toys.script, 1)
    end = time.monotonic() + 30
    while toys.runs() == 0 and time.monotonic() < end:
        time.sleep(0.02)
    process.kill()
    process.join()
    assert toys.leftovers() != []
    monkeypatch.delenv("PIP_SLEEP_S")
    expect_weights()
    assert toys.leftovers() == []


@pytest.mark.slow
def test_processes_that_start_at_once_download_once(
    toys: Toys, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_SLEEP_S", "3")
    started = processes(toys.script, 2)
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0]
    assert toys.runs() == 1
    assert "waiting for another turnstream" in capfd.readouterr().err


def test_unwritable_cache(toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNSTREAM_CACHE", str(toys.script / "cache"))
    with pytest.raises(
        WeightsError, match=r"cannot write to the cache folder .* \(Not a directory\): set TURNSTREAM_CACHE"
    ):
        weights.segmentation_weights()
    assert weights.models_list()[0].state == "absent"
    assert weights.models_remove() == []


def test_full_disk(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WeightsError, match="is full: make room"):
            weights.segmentation_weights()
    assert toys.leftovers() == []
    expect_weights()


def test_folder_without_locks_is_used_all_the_same(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(cache.fcntl, "flock", no_locks)
    expect_weights()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("TURNSTREAM_CACHE", "~/models")
    assert weights.models_where() == tmp_path / "models"
    monkeypatch.delenv("TURNSTREAM_CACHE")
    assert weights.models_where() == Path("/xdg/turnstream")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", "linux")
    assert weights.models_where() == tmp_path / ".cache/turnstream"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert weights.models_where() == tmp_path / "Library/Caches/turnstream"
