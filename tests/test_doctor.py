"""The doctor: says what is there, and warns of everything that is known to make it slow."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command import COMMAND

from turnstream.clients import doctor
from turnstream.clients.doctor import Finding, Speed
from turnstream.clients.sources.devices import MicrophoneError
from turnstream.kernels.backend import Backend

FAST = Backend("cpu", "/lib/libopenblas.so", "0.32.4", 4, ())


@pytest.mark.slow
def test_every_check_has_a_line_and_a_hop_is_timed():
    findings = {finding.name: finding for finding in doctor.examine()}
    assert [*findings] == [
        "Python",
        "device",
        "BLAS",
        "matrix products",
        "threads",
        "Numba",
        "PortAudio",
        "segmentation weights",
        "embedding weights",
        "cache",
        "one hop",
        "recordings",
        "live streams",
    ]
    assert all(finding.value for finding in findings.values())
    assert findings["segmentation weights"].value == "ready"


def test_reference_blas_is_warned_of(monkeypatch: pytest.MonkeyPatch):
    slow = replace(FAST, blas=None, warnings=("MLX runs on reference BLAS: install OpenBLAS",))
    monkeypatch.setattr(doctor, "_backend", lambda: slow)
    assert doctor._blas() == Finding("BLAS", "MLX's own", "MLX runs on reference BLAS: install OpenBLAS")
    monkeypatch.setattr(doctor, "_backend", lambda: FAST)
    assert doctor._blas().warning is None


@pytest.mark.skipif(sys.platform != "linux", reason="macOS links Accelerate, whatever comes first")
def test_mlx_imported_first_is_warned_of():
    """In a process of its own: what was loaded first cannot be undone."""
    script = "import mlx.core; from clients import doctor; print(doctor._blas().warning)"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60)
    assert "imported before" in ran.stdout, ran.stderr


@pytest.mark.parametrize(("gflops", "warned"), [(3.6, True), (380.0, False)])
def test_slow_matrix_products_are_warned_of(monkeypatch: pytest.MonkeyPatch, gflops: float, warned: bool):
    monkeypatch.setattr("turnstream.kernels.backend.measure_gflops", lambda: gflops)
    finding = doctor._gflops()
    assert (finding.warning is not None) == warned
    assert not warned or "3.6" in str(finding.warning)


@pytest.mark.parametrize(("threads", "warned"), [(1, True), (4, False), (8, False)])
def test_few_threads_are_warned_of(monkeypatch: pytest.MonkeyPatch, threads: int, warned: bool):
    monkeypatch.setattr("turnstream.kernels.backend.cpu_threads", lambda: 4)
    monkeypatch.setattr(doctor, "_backend", lambda: replace(FAST, threads=threads))
    assert (doctor._threads().warning is not None) == warned


@pytest.mark.parametrize(("device", "warned"), [("cpu", True), ("metal", False)])
def test_missing_numba_is_warned_of_where_it_is_used(monkeypatch: pytest.MonkeyPatch, device: str, warned: bool):
    monkeypatch.setattr(doctor, "_backend", lambda: replace(FAST, device=device))
    assert doctor._numba().warning is None
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor._numba().value == "missing"
    warning = doctor._numba().warning
    assert (warning is not None) == warned
    assert not warned or "one window takes about as long as a hop (506 ms) lasts" in str(warning)


def test_numba_switched_off_is_warned_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert "NUMBA_DISABLE_JIT" in str(doctor._numba().warning)


def test_missing_portaudio_is_warned_of(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise MicrophoneError("the microphone needs the PortAudio library")

    monkeypatch.setattr(doctor, "portaudio", missing)
    assert doctor._portaudio() == Finding("PortAudio", "missing", "the microphone needs the PortAudio library")


@pytest.mark.parametrize(("p95_ms", "warned"), [(20.0, False), (400.0, True)])
def test_slow_hops_are_warned_of(monkeypatch: pytest.MonkeyPatch, p95_ms: float, warned: bool):
    monkeypatch.setattr(doctor, "measure_speed", lambda: Speed(p95_ms / 2, p95_ms, 60.0, {0.5: 20}, True))
    hop, recordings, streams = doctor._speed()
    assert (hop.warning is not None) == warned
    assert recordings.value.startswith("60 times real time")
    assert streams.value == "20 at a hop of 0.5 s"


@pytest.mark.slow
def test_command_without_weights_says_how_to_get_them(tmp_path: Path):
    """Nothing is fetched, and no hop is timed without weights."""
    env = {**os.environ, "TURNSTREAM_CACHE": str(tmp_path / "none")}
    ran = subprocess.run([COMMAND, "doctor"], env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "warning: the segmentation weights are absent: run turnstream models pull" in ran.stdout
    assert "one hop" not in ran.stdout
    assert not (tmp_path / "none").exists()
