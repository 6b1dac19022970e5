"""Write segmentation.npz: log-probabilities of PyTorch's PyanNet for every case of segmentation_cases.py.

    pip install -e ".[peers]"
    python tests/golden/make_segmentation.py [FOLDER_WITH_ami]

PyanNet is put together here from torch's own layers and asteroid-filterbanks, apart from the code under test, and takes
the published checkpoint strictly. Float32, two threads, one window at a time; the odd cases in float64 as well
("exact/..."), since silence shows how far float32 itself goes: its norms divide rounding errors by a deviation of zero.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from asteroid_filterbanks import Encoder, ParamSincFB
from torch import nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class SincNet(nn.Module):
    """(B, 1, N) samples -> (B, 60, T)."""

    def __init__(self) -> None:
        super().__init__()
        bank = ParamSincFB(80, 251, stride=10, sample_rate=16_000, min_low_hz=50, min_band_hz=50)
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        self.conv1d = nn.ModuleList([Encoder(bank), nn.Conv1d(80, 60, 5), nn.Conv1d(60, 60, 5)])
        self.norm1d = nn.ModuleList([nn.InstanceNorm1d(width, affine=True) for width in (80, 60, 60)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1d[0](self.wav_norm1d(x)).abs()
        for i, norm in enumerate(self.norm1d):
            if i:
                x = self.conv1d[i](x)
            x = functional.leaky_relu(norm(functional.max_pool1d(x, 3)))
        return x


class TorchPyanNet(nn.Module):
    """(B, N) samples -> (B, T, 7) log-probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.sincnet = SincNet()
        self.lstm = nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lstm(self.sincnet(x.unsqueeze(1)).transpose(1, 2))[0]
        for linear in self.linear:
            x = functional.leaky_relu(linear(x))
        return functional.log_softmax(self.classifier(x), dim=-1)


def torch_pyannet(weights: dict[str, np.ndarray]) -> TorchPyanNet:
    """The network with the checkpoint's tensors; every name must fit."""
    network = TorchPyanNet().eval()
    network.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in weights.items()}, strict=True)
    return network


def main(data: Path) -> None:
    sys.path.insert(0, str(ROOT))
    from tests.golden.segmentation_cases import ami_cases, demo_cases, odd_cases
    from turnstream.weights.store import demo_recording, segmentation_weights

    torch.set_num_threads(2)
    network, exact = torch_pyannet(segmentation_weights()), torch_pyannet(segmentation_weights()).double()
    wav, _ = demo_recording()
    golden = {}
    with torch.inference_mode():
        for name, samples in (demo_cases(wav) | odd_cases(wav) | ami_cases(data / "ami")).items():
            golden[name] = network(torch.from_numpy(samples)[None])[0].numpy()
        for name, samples in odd_cases(wav).items():
            double = torch.from_numpy(samples)[None].double()
            golden[name.replace("odd", "exact")] = exact(double)[0].numpy().astype(np.float32)
    np.savez_compressed(HERE / "segmentation.npz", **golden)
    print(f"{len(golden)} cases, torch {torch.__version__}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data")
