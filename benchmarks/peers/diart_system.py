"""diart's own pipeline with the engine's weights. Needs an interpreter that has diart and PyTorch, not the engine.

All of diart's settings are its defaults (window 5 s, step 0.5 s, latency 0.5 s). It takes models as callables: the
segmentation's speaker sets become speakers frame by frame (the most probable set), and the embedding is CAM++ whose
statistics are weighted by what diart says each frame is worth for a speaker.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers import nets
from benchmarks.peers.passes import RATE_HZ, Timed, read_audio

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diart.blocks import SpeakerDiarization, SpeakerDiarizationConfig
    from diart.models import EmbeddingModel, SegmentationModel
    from pyannote.core import SlidingWindow, SlidingWindowFeature
    from torchaudio.compliance.kaldi import fbank

POWERSET = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]).float()


class Speakers(torch.nn.Module):
    """(B, 1, N) samples -> (B, T, 3), 1 where a local speaker talks."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return POWERSET[self.network(wave.squeeze(1)).argmax(dim=-1)]


class WeightedVoice(torch.nn.Module):
    """(B, 1, N) samples and (B, T) weights -> (B, 192): mean and deviation over time, weighted.

    diart asks for all local speakers of a window at once, the same samples for each. With `one_trunk` the layers
    below the statistics see them once, otherwise as often as they were given.
    """

    def __init__(self, network: Any, one_trunk: bool):
        super().__init__()
        self.network, self.one_trunk = network, one_trunk

    def forward(self, wave: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """See the class."""
        waves = wave[:1] if self.one_trunk else wave
        rows = torch.stack([fbank(w * 32768, num_mel_bins=80, dither=0.0) for w in waves])
        x = self.network.head((rows - rows.mean(dim=1, keepdim=True)).transpose(1, 2))
        for name, layer in self.network.xvector.named_children():
            x = self._statistics(x, weights) if name == "stats" else layer(x)
        return x[..., 0]

    @staticmethod
    def _statistics(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        w = torch.nn.functional.interpolate(weights[:, None], size=x.shape[-1], mode="nearest")  # (B, 1, T)
        total = w.sum(dim=2)
        mean = (w * x).sum(dim=2) / total
        freedom = total - (w * w).sum(dim=2) / total  # n - 1 where all weights are 1
        variance = (w * (x - mean[..., None]) ** 2).sum(dim=2) / freedom.clamp_min(1e-8)
        return torch.cat([mean, variance.sqrt()], dim=1)[..., None]


class Diart:
    """The pipeline, once for every pass."""

    one_trunk = False

    def __init__(self, folder: Path, cores: int):
        with np.load(folder / "segmentation.npz") as weights:
            speakers = Speakers(nets.torch_segmentation(weights, cores)).eval()
        with np.load(folder / "embedding.npz") as weights:
            voice = WeightedVoice(nets.torch_embedding(weights, cores), self.one_trunk).eval()
        self.config = SpeakerDiarizationConfig(
            segmentation=SegmentationModel(lambda: speakers),
            embedding=EmbeddingModel(lambda: voice),
            device=torch.device("cpu"),
        )
        shown = ("duration", "step", "latency", "tau_active", "rho_update", "delta_new", "gamma", "beta")
        self.settings = {"threads": cores} | {name: getattr(self.config, name) for name in shown}

    def stream(self, audio: str) -> Timed:
        """Every step of a recording; what each told."""
        pipeline, samples = SpeakerDiarization(self.config), read_audio(audio)
        size, step = round(self.config.duration * RATE_HZ), round(self.config.step * RATE_HZ)
        seconds, turns = [], []
        for start in range(0, len(samples) - size + 1, step):
            grid = SlidingWindow(start=start / RATE_HZ, duration=1 / RATE_HZ, step=1 / RATE_HZ)
            window = SlidingWindowFeature(samples[start : start + size, None], grid)
            began = time.perf_counter()
            ((told, _),) = pipeline([window])
            seconds.append(time.perf_counter() - began)
            turns += [[at.start, at.end, who] for at, _, who in told.itertracks(yield_label=True)]
        return Timed(seconds, turns)


class DiartOneTrunk(Diart):
    """The same, the embedding's lower layers once a window."""

    one_trunk = True
