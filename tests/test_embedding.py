"""CAM++ gives what PyTorch gives on real speech, and the check that says so sees porting mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.embedding_cases import STORED, crops, data_cases, demo_cases
from turnstream.audio import fbank as fbank_module
from turnstream.errors import TurnstreamError, WeightsError
from turnstream.kernels import conv_head, dense_tdnn
from turnstream.kernels.backend import mx, on_cpu
from turnstream.models import embedding
from turnstream.models.embedding import EMBEDDING_SIZE, MIN_ROWS, CamPlusPlus, fbank
from turnstream.weights.store import demo_recording, embedding_weights

# 1 - cosine, on every crop. Float32 on a CPU keeps 1e-10; GPUs may multiply with fewer bits.
MAX_DISTANCE = 1e-8 if on_cpu() else 1e-5
Arrays = dict[str, np.ndarray]
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def golden() -> Arrays:
    with np.load(Path(__file__).parent / "golden" / "embedding.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def speech(golden: Arrays) -> Arrays:
    """Crops of 0.5, 1.5 and 3 s that come with the golden data."""
    return dict(crops(golden["samples"].astype(np.float32) / 32768, STORED[0]))


@pytest.fixture(scope="module")
def weights() -> Arrays:
    return embedding_weights()


@pytest.fixture(scope="module")
def network(weights: Arrays) -> CamPlusPlus:
    return CamPlusPlus(weights)


def use_reference_ops(patch: Patch) -> None:
    patch.setattr(embedding, "conv_head", lambda x, head, _: conv_head.conv_head_ops(x, head))
    patch.setattr(embedding, "dense_block", lambda x, block, _: dense_tdnn.dense_block_ops(x, block))


def distances(network: CamPlusPlus, cases: Arrays, golden: Arrays) -> list[float]:
    """1 - cosine of each crop's embedding and the golden one."""
    found = []
    for name, samples in cases.items():
        ours, theirs = network.embed_rows(fbank(samples)).astype(np.float64), golden[name].astype(np.float64)
        found.append(float(1 - ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", ["kernels", "reference ops"])
def test_parity_on_the_stored_speech(
    path: str, network: CamPlusPlus, speech: Arrays, golden: Arrays, monkeypatch: Patch
) -> None:
    if path == "reference ops":
        use_reference_ops(monkeypatch)
    assert len(speech) == 3
    assert max(distances(network, speech, golden)) < MAX_DISTANCE


def test_parity_on_the_demo_recording(network: CamPlusPlus, golden: Arrays) -> None:
    cases = demo_cases(demo_recording()[0])
    assert len(cases) == 4
    assert max(distances(network, cases, golden)) < MAX_DISTANCE


@pytest.mark.slow
def test_parity_on_meetings_and_read_speech(network: CamPlusPlus, golden: Arrays, speech_data: Path) -> None:
    cases = data_cases(speech_data)
    assert len(cases) == 12
    assert max(distances(network, cases, golden)) < MAX_DISTANCE


def _wrap(patch: Patch, owner: Any, name: str, change: Callable[[Any], Any]) -> None:
    patch.setattr(owner, name, change(getattr(owner, name)))


def _last_norm_rectified(patch: Patch) -> None:
    _wrap(patch, CamPlusPlus, "__call__", lambda call: lambda self, x: mx.maximum(call(self, x), 0))


def _biased_deviation(patch: Patch) -> None:
    patch.setattr(embedding, "_statistics", lambda x: mx.concatenate([x.mean(axis=1), mx.sqrt(x.var(axis=1))], axis=-1))


def _variance_for_deviation(patch: Patch) -> None:
    patch.setattr(embedding, "_statistics", lambda x: mx.concatenate([x.mean(axis=1), x.var(axis=1, ddof=1)], axis=-1))


def _no_mean_normalization(patch: Patch) -> None:
    patch.setattr(CamPlusPlus, "embed_rows", lambda self, rows: np.array(self(mx.array(rows[None])))[0])


def _frequency_before_channel(patch: Patch) -> None:
    def swapped(tdnn: Any) -> Any:
        def layer(checkpoint: Any) -> Any:
            right = tdnn(checkpoint)
            out, taps, inputs = right.weight.shape
            wrong = right.weight.reshape(out, taps, 10, 32).transpose(0, 1, 3, 2).reshape(out, taps, inputs)
            return conv_head.Affine(np.ascontiguousarray(wrong), right.bias)

        return layer

    _wrap(patch, embedding._Checkpoint, "_tdnn", swapped)


def _swapped_taps(patch: Patch) -> None:
    def swapped(conv: Any) -> Any:
        def layer(*names: Any) -> Any:
            right = conv(*names)
            return conv_head.Affine(np.ascontiguousarray(right.weight.transpose(0, 2, 1, 3)), right.bias)

        return layer

    _wrap(patch, embedding._Checkpoint, "_conv2d", swapped)


MISTAKES: dict[str, Callable[[Patch], None]] = {
    "batch norm eps 1e-3 for 1e-5": lambda patch: patch.setattr(embedding, "BATCH_NORM_EPS", 1e-3),
    "mask without segments": lambda patch: patch.setattr(dense_tdnn, "MASK_STEPS", 10**6),
    "segments of 50 steps": lambda patch: patch.setattr(dense_tdnn, "MASK_STEPS", 50),
    "dilation 1 in every block": lambda patch: patch.setattr(embedding, "BLOCKS", ((12, 1), (24, 1), (16, 1))),
    "ReLU behind the last norm": _last_norm_rectified,
    "biased standard deviation": _biased_deviation,
    "variance for standard deviation": _variance_for_deviation,
    "features not centered": _no_mean_normalization,
    "samples not in int16 range": lambda patch: patch.setattr(fbank_module, "INT16_SCALE", 1.0),
    "frequency and channel swapped": _frequency_before_channel,
    "time and frequency taps swapped": _swapped_taps,
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_parity_sees(mistake: str, weights: Arrays, speech: Arrays, golden: Arrays, monkeypatch: Patch) -> None:
    use_reference_ops(monkeypatch)
    MISTAKES[mistake](monkeypatch)
    assert max(distances(CamPlusPlus(weights), speech, golden)) > MAX_DISTANCE


def test_batch_equals_single(network: CamPlusPlus) -> None:
    features = np.random.default_rng(1).standard_normal((3, 131, 80)).astype(np.float32)
    together = np.array(network(mx.array(features)))
    alone = np.concatenate([np.array(network(mx.array(crop[None]))) for crop in features])
    assert together.shape == (3, EMBEDDING_SIZE)
    assert np.abs(together - alone).max() < 1e-5


@pytest.mark.parametrize("samples", [np.zeros(16000), np.ones(16000), np.sign(np.sin(np.arange(16000) * 0.3))])
def test_silence_offset_and_full_scale_give_a_finite_embedding(network: CamPlusPlus, samples: np.ndarray) -> None:
    vector = network.embed_rows(fbank(samples.astype(np.float32)))
    assert np.isfinite(vector).all()
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_shortest_crop(network: CamPlusPlus) -> None:
    rows = np.random.default_rng(2).standard_normal((MIN_ROWS, 80)).astype(np.float32)
    assert np.isfinite(network.embed_rows(rows)).all()
    for short in (rows[:-1], rows[:0]):
        with pytest.raises(TurnstreamError, match=f"at least {MIN_ROWS} feature rows, got {len(short)}"):
            network.embed_rows(short)
    with pytest.raises(TurnstreamError, match=r"rows of 80 values, got an array of shape \(3, 40\)"):
        network.embed_rows(rows[:, :40])


def test_missing_tensor_is_named(weights: Arrays) -> None:
    fewer = {name: tensor for name, tensor in weights.items() if name != "xvector.transit2.linear.weight"}
    with pytest.raises(WeightsError, match=r"tensor xvector\.transit2\.linear\.weight is missing"):
        CamPlusPlus(fewer)
