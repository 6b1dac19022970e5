"""The engine's two networks in PyTorch and in ONNX Runtime, with its weights. Imports nothing of the engine."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

WINDOW_SAMPLES = 160_000
# What sherpa-onnx reads from the files: https://k2-fsa.github.io/sherpa/onnx/speaker-diarization/
SEGMENTATION_PROPERTIES = {
    "model_type": "pyannote-segmentation-3.0",
    "sample_rate": 16_000,
    "window_size": WINDOW_SAMPLES,
    "receptive_field_size": 991,
    "receptive_field_shift": 270,
    "num_speakers": 3,
    "powerset_max_classes": 2,
    "num_classes": 7,
}
EMBEDDING_PROPERTIES = {
    "framework": "3d-speaker",
    "language": "Chinese, English",
    "sample_rate": 16_000,
    "output_dim": 192,
    "normalize_samples": 1,
    "feature_normalize_type": "global-mean",
}


def installed(*packages: str) -> bool:
    """Whether all of them can be imported here."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


def torch_segmentation(weights: Mapping[str, np.ndarray], threads: int) -> Any:
    """PyanNet: (B, N) samples -> (B, T, 7) log-probabilities, tensors."""
    import torch

    from tests.golden.make_segmentation import torch_pyannet

    torch.set_num_threads(threads)
    return torch_pyannet(dict(weights))


def torch_embedding(weights: Mapping[str, np.ndarray], threads: int) -> Any:
    """CAM++: (B, T, 80) features without their mean -> (B, 192), tensors."""
    import torch

    from tests.golden.make_embedding import CamPlusPlus

    torch.set_num_threads(threads)
    model = CamPlusPlus()
    tensors = {name: torch.tensor(tensor) for name, tensor in weights.items()}
    missing = model.load_state_dict(tensors, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return model.eval()


def onnx_segmentation(network: Any) -> bytes:
    """The network as ONNX: `windows` (B, 1, N) -> log-probabilities."""
    import torch

    class OneChannel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Any) -> Any:
            return self.network(x.squeeze(1))

    axes = {"windows": {0: "batch", 2: "samples"}}
    return _exported(OneChannel(), torch.zeros(1, 1, WINDOW_SAMPLES), axes, SEGMENTATION_PROPERTIES)


def onnx_embedding(network: Any) -> bytes:
    """The network as ONNX: `features` (B, T, 80) -> embeddings."""
    import torch

    return _exported(network, torch.zeros(1, 300, 80), {"features": {0: "crops", 1: "rows"}}, EMBEDDING_PROPERTIES)


def onnx_session(model: bytes, threads: int) -> Any:
    """An ONNX Runtime session on the CPU; all other settings are its defaults."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _exported(
    network: Any, example: Any, axes: Mapping[str, Mapping[int, str]], properties: Mapping[str, object]
) -> bytes:
    import onnx
    import torch

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (example,), file, dynamo=False, input_names=list(axes), dynamic_axes=dict(axes)
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.helper.set_model_props(model, {key: str(value) for key, value in properties.items()})
    written: bytes = model.SerializeToString()
    return written
