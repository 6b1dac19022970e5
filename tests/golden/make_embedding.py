"""Golden embeddings of CAM++ from plain PyTorch, with Kaldi features computed here in NumPy float64.

    python tests/golden/make_embedding.py CHECKPOINT.pt DEMO.wav DATA_FOLDER

Needs the `peers` extra. Nothing of the engine is imported: the network is written down again from the paper and the
names of the checkpoint's tensors (strict load), the features from Kaldi's feature-fbank.cc and mel-computations.cc.
Writes embedding.npz beside this file. It holds three seconds of audio of the AMI Meeting Corpus (EN2001a, CC BY 4.0),
so that parity is tested where the recordings are not at hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

FBANK_SAMPLES = 24_000


def kaldi_fbank(samples: np.ndarray, bins: int = 80) -> np.ndarray:
    """(N,) samples in [-1, 1] at 16 kHz -> (T, bins) log mel energies, all in float64."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64) * 32768, 400)[::160]
    frames = frames - frames.mean(axis=1, keepdims=True)
    emphasised = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    povey = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft(emphasised * povey, 512)) ** 2

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127 * np.log(1 + np.asarray(hz) / 700)

    edges = np.linspace(mel(20), mel(8000), bins + 2)
    points = mel(np.arange(256) * 16000 / 512)[:, None]
    rising = (points - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - points) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.log(np.maximum(power[:, :256] @ triangles, np.finfo(np.float32).eps))


class NormReLU(nn.Module):
    def __init__(self, channels: int, affine: bool = True, relu: bool = True):
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels, affine=affine)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.batchnorm(x)) if self.relu else self.batchnorm(x)


class Residual(nn.Module):
    def __init__(self, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(32, 32, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(32, 32, 1, (stride, 1), bias=False), nn.BatchNorm2d(32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.layer1 = nn.Sequential(Residual(2), Residual(1))
        self.layer2 = nn.Sequential(Residual(2), Residual(1))
        self.conv2 = nn.Conv2d(32, 32, 3, (2, 1), 1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x[:, None])))
        x = F.relu(self.bn2(self.conv2(self.layer2(self.layer1(x)))))
        return x.flatten(1, 2)


class ContextAwareMask(nn.Module):
    def __init__(self, dilation: int):
        super().__init__()
        self.linear_local = nn.Conv1d(128, 32, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(128, 64, 1)
        self.linear2 = nn.Conv1d(64, 32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        segments = F.avg_pool1d(x, 100, 100, ceil_mode=True)
        local = segments.repeat_interleave(100, dim=-1)[..., : x.shape[-1]]
        context = x.mean(-1, keepdim=True) + local
        return self.linear_local(x) * torch.sigmoid(self.linear2(F.relu(self.linear1(context))))


class DenseLayer(nn.Module):
    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.nonlinear1 = NormReLU(channels)
        self.linear1 = nn.Conv1d(channels, 128, 1, bias=False)
        self.nonlinear2 = NormReLU(128)
        self.cam_layer = ContextAwareMask(dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))], dim=1)


class NormLinear(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.nonlinear = NormReLU(channels)
        self.linear = nn.Conv1d(channels, channels // 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.nonlinear(x))


class LinearNorm(nn.Module):
    def __init__(self, conv: nn.Conv1d, norm: NormReLU):
        super().__init__()
        self.linear = conv
        self.nonlinear = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.nonlinear(self.linear(x))


class Statistics(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean(2), x.std(2, unbiased=True)], dim=1)[:, :, None]


class CamPlusPlus(nn.Module):
    """(B, T, 80) features -> (B, 192)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Head()
        self.xvector = nn.Sequential()
        tdnn = LinearNorm(nn.Conv1d(320, 128, 5, stride=2, padding=2, bias=False), NormReLU(128))
        self.xvector.add_module("tdnn", tdnn)
        channels = 128
        for number, (layers, dilation) in enumerate(((12, 1), (24, 2), (16, 2)), 1):
            block = nn.Sequential()
            for i in range(layers):
                block.add_module(f"tdnnd{i + 1}", DenseLayer(channels + 32 * i, dilation))
            channels += 32 * layers
            self.xvector.add_module(f"block{number}", block)
            self.xvector.add_module(f"transit{number}", NormLinear(channels))
            channels //= 2
        self.xvector.add_module("out_nonlinear", NormReLU(channels))
        self.xvector.add_module("stats", Statistics())
        dense = LinearNorm(nn.Conv1d(2 * channels, 192, 1, bias=False), NormReLU(192, affine=False, relu=False))
        self.xvector.add_module("dense", dense)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.xvector(self.head(features.transpose(1, 2)))[..., 0]


def load(checkpoint: str) -> CamPlusPlus:
    """The network with the checkpoint's weights, every tensor used, in evaluation mode."""
    model = CamPlusPlus()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True), strict=True)
    return model.eval()


@torch.inference_mode()
def embed(model: CamPlusPlus, features: np.ndarray) -> np.ndarray:
    """Unit-norm embedding (192,) of (T, 80) features, their mean taken off first."""
    centered = torch.tensor(features - features.mean(axis=0), dtype=torch.float32)
    return F.normalize(model(centered[None])[0], dim=0).numpy()


def main(checkpoint: str, demo: str, data: str) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.golden.embedding_cases import RATE_HZ, STORED, data_cases, demo_cases, read

    model = load(checkpoint)
    cases = demo_cases(Path(demo)) | data_cases(Path(data))
    golden = {name: embed(model, kaldi_fbank(samples)) for name, samples in cases.items()}
    path, first_s, seconds = STORED
    golden["samples"] = np.round(read(Path(data) / path, first_s)[: int(seconds * RATE_HZ)] * 32768).astype(np.int16)
    golden["fbank"] = kaldi_fbank(golden["samples"][:FBANK_SAMPLES] / 32768).astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("embedding.npz"), **golden)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
