"""`turnstream batch`: every result once, whole and equal to that of `turnstream file`, whatever dies on the way."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import soundfile
from command import COMMAND
from ray_cluster import RayCluster

from benchmarks.ports import free_port
from turnstream.clients.archive.batch import Estimate, check_mark
from turnstream.clients.archive.plan import Job, make_plan
from turnstream.clients.archive.processes import Ended, in_processes, share
from turnstream.clients.archive.work import clear_leftovers
from turnstream.clients.options import BatchOptions, EngineOptions
from turnstream.errors import TurnstreamError
from turnstream.files import write_whole
from turnstream.weights.store import demo_recording

LIMIT_S = 240
STARTS_S = {"one.wav": 6.5, "sub/two.flac": 4.0, **{f"{start}.wav": float(start) for start in range(10, 26, 2)}}
NAMES = sorted(Path(name).name for name in STARTS_S)


def recordings(folder: Path) -> Path:
    """Ten pieces of talk, one of them deeper, and a file that is no recording."""
    samples, rate_hz = soundfile.read(demo_recording()[0])
    (folder / "sub").mkdir(parents=True)
    for name, start_s in STARTS_S.items():
        soundfile.write(folder / name, samples[int(start_s * rate_hz) : int((start_s + 5) * rate_hz)], rate_hz)
    (folder / "torn.wav").write_text("no audio")
    (folder / "notes.txt").write_text("no recording")
    return folder


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings(tmp_path_factory.mktemp("batch") / "talk")


def until(true: Callable[[], object]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end_s, "it does not happen"
        time.sleep(0.02)


def names(plan_jobs: object) -> list[str]:
    return sorted(job.recording.name for job in plan_jobs)  # type: ignore[attr-defined]


def test_a_folder_is_searched_to_its_depth_but_not_its_results(talk: Path, tmp_path: Path) -> None:
    plan = make_plan(talk, tmp_path)
    assert names(plan.waiting) == NAMES
    assert plan.total_s == pytest.approx(50, abs=0.1)
    results = {job.rttm.relative_to(tmp_path) for job in plan.waiting}
    assert results == {Path(name).with_suffix(".rttm") for name in STARTS_S}
    assert [failure.job.recording.name for failure in plan.failures] == ["torn.wav"]
    assert names(make_plan(talk, talk / "sub").waiting) == [name for name in NAMES if name != "two.flac"]


def test_a_manifest_names_recordings_beside_it_and_elsewhere(talk: Path, tmp_path: Path) -> None:
    manifest = talk / "list.txt"
    manifest.write_text(f"# two of them\nsub/two.flac\n\n{talk / 'one.wav'}\nnone.wav\n")
    plan = make_plan(manifest, tmp_path)
    manifest.unlink()
    assert [job.rttm.relative_to(tmp_path).as_posix() for job in plan.waiting] == ["sub/two.rttm", "one.rttm"]
    assert "none.wav does not exist" in plan.failures[0].reason


def test_what_is_done_is_not_done_again_until_the_recording_is_newer(talk: Path, tmp_path: Path) -> None:
    job = next(job for job in make_plan(talk, tmp_path).waiting if job.recording.name == "one.wav")
    write_whole(job.rttm, b"")
    assert names(make_plan(talk, tmp_path).waiting) == NAMES  # one of two is not done
    write_whole(job.json, b"")
    plan = make_plan(talk, tmp_path)
    assert (names(plan.waiting), plan.done) == ([name for name in NAMES if name != "one.wav"], 1)
    later_s = job.recording.stat().st_mtime - 1
    os.utime(job.rttm, (later_s, later_s))
    assert len(make_plan(talk, tmp_path).waiting) == len(NAMES)


def test_two_recordings_never_share_a_result(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac"):
        (tmp_path / name).touch()
    with pytest.raises(TurnstreamError, match=r"would both have .*a\.rttm"):
        make_plan(tmp_path, tmp_path / "out")
    with pytest.raises(TurnstreamError, match="names no recording"):
        make_plan(tmp_path / "a.wav", tmp_path / "out")


def test_a_folder_has_results_of_one_set_of_options(tmp_path: Path) -> None:
    options = BatchOptions(source=tmp_path, out=tmp_path / "out")
    check_mark(options)
    check_mark(replace(options, jobs=3))
    with pytest.raises(TurnstreamError, match=r"results of latency_s 1.0, got 2.0"):
        check_mark(replace(options, engine=EngineOptions(latency_s=2.0)))
    (options.out / "batch.json").write_text("[1]")
    with pytest.raises(TurnstreamError, match="no mark of a batch"):
        check_mark(options)


def test_what_a_crash_left_is_cleared(tmp_path: Path) -> None:
    job = Job(tmp_path / "a[1].wav", tmp_path / "a[1]")
    (tmp_path / ".a[1].rttm.0123.new").touch()
    (tmp_path / ".a1.rttm.0123.new").touch()
    clear_leftovers(job)
    assert [path.name for path in tmp_path.iterdir()] == [".a1.rttm.0123.new"]


def test_cores_are_shared() -> None:
    every = os.sched_getaffinity(0)
    groups = [group or set() for group in share(len(every))]
    assert set().union(*groups) == every
    assert sum(map(len, groups)) == len(every)
    assert all(share(len(every) + 1))


def test_the_estimate_follows_the_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 60.0, 60.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    estimate = Estimate(7_200.0)
    estimate.heard("a", 60.0)
    assert estimate.left == "about 1:59 h left"
    estimate.heard("a", 7_200.0)
    assert estimate.left == "less than a minute left"


def children(process: psutil.Process) -> Iterator[psutil.Process]:
    """The workers, without what multiprocessing runs beside them."""
    return (child for child in process.children() if any("spawn_main" in word for word in child.cmdline()))


@pytest.mark.slow
def test_a_recording_whose_process_always_dies_is_told_and_does_not_stop_the_others(talk: Path, tmp_path: Path) -> None:
    me = psutil.Process()
    reports = in_processes([Job(talk / "one.wav", tmp_path / "one")], EngineOptions(), 1, retries=0)

    def kill() -> None:
        until(lambda: list(children(me)))
        next(iter(children(me))).kill()

    killer = threading.Thread(target=kill)
    killer.start()
    (ended,) = [report for report in reports if isinstance(report, Ended)]
    killer.join()
    assert ended.reason is not None
    assert "its process was killed by SIGKILL, 1 times" in ended.reason


@pytest.fixture(scope="module")
def expected(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of `turnstream file`."""
    out = tmp_path_factory.mktemp("expected")
    outs = (part for ending in ("rttm", "json") for part in ("--out", f"{out}/{{name}}.{ending}"))
    file = [COMMAND, "file", *(talk / name for name in STARTS_S), "--speakers", "2", *outs]
    subprocess.run(file, capture_output=True, check=True, timeout=LIMIT_S)
    return out


def check_results(out: Path, expected: Path, before: dict[Path, int]) -> None:
    """All are there, whole and equal, and those of `before` were not written again."""
    for name in STARTS_S:
        for ending in (".rttm", ".json"):
            result, other = (out / name).with_suffix(ending), expected / Path(name).with_suffix(ending).name
            assert result.read_text() == other.read_text()
    assert all(path.stat().st_mtime_ns == written_ns for path, written_ns in before.items())
    assert not list(out.rglob("*.new"))


def written(out: Path) -> dict[Path, int]:
    """When each result was written that is complete."""
    done = [path for path in out.rglob("*.rttm") if path.with_suffix(".json").exists()]
    return {path: path.stat().st_mtime_ns for path in done}


def some_time(chance: random.Random, most_s: float) -> None:
    time.sleep(chance.uniform(0, most_s))


@pytest.mark.slow
def test_every_result_is_written_once_and_equals_that_of_file(talk: Path, expected: Path, tmp_path: Path) -> None:
    """Three times a worker is killed at a random moment, and then the driver; a fourth run does the rest."""
    out, chance, before = tmp_path / "out", random.Random(4), {}
    command = [COMMAND, "batch", talk, out, "--speakers", "2", "--jobs", "1"]
    for _ in range(3):
        driver = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda driver=driver: list(children(driver)))
        some_time(chance, 5.0)
        next(iter(children(driver))).kill()
        some_time(chance, 5.0)
        workers = list(children(driver))
        driver.kill()
        driver.wait()
        until(lambda workers=workers: not any(worker.is_running() for worker in workers))  # they end by themselves
        before = written(out) | before

    last = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert last.returncode == 1
    count = len(STARTS_S) - len(before)
    assert last.stdout == f"{count} of {count + 1} recordings diarized, {len(before)} were done before\n"
    assert last.stderr.endswith("torn.wav is not audio that can be read: it is a text file\n")
    check_results(out, expected, before)


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("ray"), reason="needs Ray: pip install 'turnstream[cluster]'")
def test_on_a_ray_cluster_the_results_are_the_same(talk: Path, expected: Path, tmp_path: Path) -> None:
    """A worker, one of two nodes, and the driver are killed at random moments; the second run does the rest."""
    out, chance, cluster = tmp_path / "out", random.Random(5), RayCluster("127.0.0.6", free_port())
    command = [COMMAND, "batch", talk, out, "--speakers", "2", "--ray", cluster.address]
    try:
        cluster.start_head()
        cluster.start("127.0.0.7")
        cluster.wait()
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: cluster.process("127.0.0.6", "ray::_hear"))
        some_time(chance, 6.0)
        if worker := cluster.process("127.0.0.6", "ray::_hear"):
            worker.kill()
        some_time(chance, 6.0)
        cluster.lose("127.0.0.7")
        some_time(chance, 6.0)
        first.kill()
        first.wait()
        until(lambda: not cluster.process("127.0.0.6", "ray::_hear"))
        before = written(out)
        second = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    finally:
        cluster.end()
    assert second.stdout.endswith(f"recordings diarized, {len(before)} were done before\n"), second.stderr
    check_results(out, expected, before)
