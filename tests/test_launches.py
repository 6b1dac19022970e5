"""How many operations a GPU starts for one hop: each costs time on the host, whatever it computes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.kernels import conv_head, convpool, dense_tdnn, lstm, sincnet
from turnstream.kernels.backend import mx
from turnstream.kernels.gpu import lstm as lstm_gpu
from turnstream.kernels.gpu import sincnet as sincnet_gpu
from turnstream.kernels.gpu import trial
from turnstream.models import segmentation
from turnstream.models.embedding import CamPlusPlus
from turnstream.models.segmentation import PyanNet
from turnstream.weights.store import embedding_weights, segmentation_weights
from turnstream.windows import WINDOW_SAMPLES

# Of these MLX makes another view of the same memory, without starting anything.
VIEWS = {"Broadcast", "ExpandDims", "Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unflatten"}


@pytest.fixture(autouse=True)
def on_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph that a Mac would run; nothing is evaluated."""
    for module in (conv_head, convpool, dense_tdnn, lstm, segmentation, sincnet, lstm_gpu, sincnet_gpu):
        if hasattr(module, "on_cpu"):
            monkeypatch.setattr(module, "on_cpu", lambda: False)
    for module in (lstm_gpu, sincnet_gpu):
        monkeypatch.setattr(module, "on_metal", lambda: True)
        monkeypatch.setattr(module, "metal_kernel", one_operation)
    monkeypatch.setattr(trial, "runs", lambda *_: True)


def one_operation(*, inputs: list[Any], output_shapes: Any, output_dtypes: Any, **_: Any) -> Any:
    """Stands for a kernel, which can be called on Macs only: `Depends` in the graph."""
    outputs = [mx.zeros(shape, dtype) for shape, dtype in zip(output_shapes, output_dtypes, strict=True)]
    mx.eval(outputs)
    return mx.depends(outputs, inputs)


def launches(folder: Path, *outputs: Any) -> Counter[str]:
    """The operations of a graph by name, without views."""
    mx.export_to_dot(str(folder / "graph.dot"), *outputs)
    names = re.findall(r'label ?="(\w\w+)", shape=rectangle', (folder / "graph.dot").read_text())
    return Counter(name for name in names if name not in VIEWS)


def test_of_a_window(tmp_path: Path) -> None:
    network = PyanNet(segmentation_weights())
    for layer in network.lstm:
        mx.eval(layer.gpu_recurrent)  # packed once, not at every window
    mx.eval(network.filters.gpu_packed)
    found = launches(tmp_path, network(np.zeros((1, WINDOW_SAMPLES), np.float32)))
    assert found["Depends"] == 5  # the filterbank and four LSTM layers
    assert found.total() <= 110, found


@pytest.mark.parametrize(("rows", "ceiling"), [(150, 640), (431, 690)])
def test_of_an_embedding(tmp_path: Path, rows: int, ceiling: int) -> None:
    """Of 1.5 s, all one segment of the mask, and of 4.3 s."""
    network, features = CamPlusPlus(embedding_weights()), mx.zeros((1, rows, 80))
    mx.eval(features)
    found = launches(tmp_path, network(features))
    assert found["Convolution"] == 63
    assert found.total() <= ceiling, found


def test_a_hop_evaluates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many crops it has."""
    network, calls = CamPlusPlus(embedding_weights()), []
    monkeypatch.setattr(mx, "eval", lambda arrays: calls.append(len(arrays)))
    monkeypatch.setattr(CamPlusPlus, "__call__", lambda self, x: mx.ones((1, 192)) * x.shape[1])
    vectors = network.embed([np.zeros((rows, 80), np.float32) for rows in (3, 50, 70)])
    assert calls == [3]
    assert vectors.shape == (3, 192)
