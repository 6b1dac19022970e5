"""Labeled recordings for measuring and tuning, and what the models say about them, kept so that it is asked once.

The stitcher can be run over a recording any number of times at the cost of arithmetic: windows and embeddings come
from a folder of files named by the recording's hash, embeddings by the feature rows that made them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnstream.audio.fbank import fbank, rows_of_frames
from turnstream.audio.input import AudioInput
from turnstream.errors import TurnstreamError, shown
from turnstream.files import read_at_most, write_whole
from turnstream.models.batcher import Batcher
from turnstream.models.segmentation import activity
from turnstream.rttm import RttmSegment, parse_rttm, rttm_name
from turnstream.weights.store import embedding_weights, segmentation_weights
from turnstream.windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_FRAMES,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    WindowSchedule,
)

from ..sources.file import AudioFile

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Turns = list[RttmSegment]
Extents = tuple[tuple[float, float], ...]
MOST_BYTES = 100_000_000  # of a reference


class LazyModels:
    """The models, loaded only when something is not in the cache."""

    def __init__(self, segmentation: Path | str | None = None, embedding: Path | str | None = None) -> None:
        self._paths = segmentation, embedding
        self._models: Batcher | None = None

    def get(self) -> Batcher:
        """Load them once."""
        if self._models is None:
            self._models = Batcher(segmentation_weights(self._paths[0]), embedding_weights(self._paths[1]))
        return self._models


class Recording:
    """A recording with its reference beside it (`.rttm`; `.uem` where only a part is annotated).

    `folder` holds what the models said. TurnstreamError where audio or reference cannot be used.
    """

    def __init__(self, path: Path, folder: Path, models: LazyModels):
        self.path = path
        self._models = models
        self._samples = read_samples(path)
        self.reference = read_reference(path.with_suffix(".rttm"))
        self.duration_s = len(self._samples) / SAMPLE_RATE_HZ
        self.end_frame = -(-len(self._samples) // FRAME_SAMPLES)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._cache = folder / self.digest[:16]
        self.extents_s = read_extents(path.with_suffix(".uem"), self.duration_s)
        self._vectors: dict[str, F32] = _vectors(self._cache_path("embedding.npz"))
        self._new: dict[str, F32] = {}
        self._features: F32 | None = None
        self.embedded = 0

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return self.path.stem

    @property
    def speakers(self) -> list[str]:
        """Names in the reference, sorted."""
        return sorted({turn.speaker for turn in self.reference})

    def log_probabilities(self) -> list[tuple[int, F32]]:
        """(first frame, (T, 7) log-probabilities of the speaker sets) of every window that is due."""
        schedule = WindowSchedule(HOP_FRAMES)
        starts: list[int] = []
        while schedule.kept_end < len(self._samples):
            starts.append(schedule.take())
        path = self._cache_path(f"segmentation-{HOP_FRAMES}.npy")
        if not path.exists():
            padded = np.pad(self._samples, (WINDOW_SAMPLES, WINDOW_SAMPLES + schedule.hop_samples))
            said = [
                self._models.get().segment(padded[s + WINDOW_SAMPLES :][:WINDOW_SAMPLES], s, None)[0] for s in starts
            ]
            write_array(path, np.stack(said))
        return list(
            zip((start // FRAME_SAMPLES for start in starts), np.load(path, mmap_mode="r"), strict=True),
        )

    def windows(self) -> Iterator[tuple[int, Bools]]:
        """(first frame, (T, 3) local activity) of every window that is due."""
        for first_frame, logp in self.log_probabilities():
            yield first_frame, activity(logp)

    def reference_frames(self) -> Bools:
        """The reference on the frame grid, (frames, speakers in order of name)."""
        names = self.speakers
        truth = np.zeros((self.end_frame + WINDOW_SAMPLES // FRAME_SAMPLES, len(names)), bool)
        for turn in self.reference:
            start, end = (
                round((at * SAMPLE_RATE_HZ - FRAME_OFFSET_SAMPLES) / FRAME_SAMPLES) for at in (turn.start_s, turn.end_s)
            )
            truth[max(0, start) : end, names.index(turn.speaker)] = True
        return truth

    def embed(self, crop: NDArray[np.int64]) -> F32:
        """Unit-norm embedding of the clean speech in these frames."""
        self.embedded += 1
        key = hashlib.sha256(rows_of_frames(crop).tobytes()).hexdigest()[:24]
        if key not in self._vectors:
            self._vectors[key] = self._new[key] = self.embed_anew(crop)
        return self._vectors[key]

    def embed_all(self, crops: Sequence[NDArray[np.int64]]) -> F32:
        """The same for several, (len(crops), D)."""
        return np.array([self.embed(crop) for crop in crops], np.float32)

    def embed_anew(self, crop: NDArray[np.int64]) -> F32:
        """The same, always by the model, and not kept."""
        if self._features is None:
            self._features = fbank(np.pad(self._samples, (0, WINDOW_SAMPLES)))
        vector: F32 = self._models.get().embed([self._features[rows_of_frames(crop)]])[0]
        return vector

    def keep(self) -> None:
        """Write new embeddings to the cache, beside those that another process may have written meanwhile."""
        if self._new:
            path = self._cache_path("embedding.npz")
            write_array(path, **{**_vectors(path), **self._new})
            self._new = {}

    def kept(self, name: str) -> Path:
        """Where something else about this recording may be kept."""
        return self._cache_path(name)

    def _cache_path(self, name: str) -> Path:
        return self._cache.with_name(f"{self._cache.name}-{name}")


def read_samples(path: Path) -> F32:
    """The whole recording as the engine hears it, (N,) at 16 kHz. Raises AudioError."""
    with AudioFile(path) as recording:
        audio = AudioInput(recording.rate_hz, recording.channels)
        return np.concatenate([*(audio.feed(block) for block in recording.blocks()), audio.flush()])


def read_reference(path: Path) -> Turns:
    """The turns of the recording in an RTTM file beside it, which may hold other recordings too.

    Raises TurnstreamError where there are none.
    """
    try:
        files = parse_rttm(_text(path))
    except OSError:
        raise TurnstreamError(
            f"expected a reference beside the recording in {path}, got none that can be read"
        ) from None
    except TurnstreamError as error:
        raise TurnstreamError(f"{path}: {error}") from None
    if not files:
        raise TurnstreamError(f"{path}: expected at least 1 SPEAKER line, got 0")
    own = rttm_name(path.stem)
    if len(files) > 1 and own not in files:
        raise TurnstreamError(
            f"{path}: expected turns of {own}, got those of {len(files)} others: {', '.join(files)[:60]}"
        )
    return files[own] if own in files else next(iter(files.values()))


def read_extents(path: Path, duration_s: float, recording: str | None = None) -> Extents:
    """The annotated parts in seconds, in order: every line of the UEM file about this recording, else all of it.

    `recording` is called as the file where it is not given.
    """
    if not path.exists():
        return ((0.0, duration_s),)
    try:
        lines = list(enumerate(_text(path).splitlines(), start=1))
    except OSError as error:
        raise TurnstreamError(f"cannot read {path}: {error.strerror or error}") from None
    parts = [_extent(path, number, line) for number, line in lines if line.split() and not line.startswith(";;")]
    own = rttm_name(recording or path.stem)
    names = {name for name, _ in parts}
    found = sorted(extent for name, extent in parts if name == own or len(names) == 1)
    if not found:
        raise TurnstreamError(f"{path}: expected a line about {own}, got lines about {len(names)} others")
    return tuple(found)


def _extent(path: Path, number: int, line: str) -> tuple[str, tuple[float, float]]:
    try:
        name, _, start, end = line.split()
        extent = float(start), float(end)
    except ValueError:
        raise TurnstreamError(f"{path} line {number}: expected `name channel start end`, got {line[:60]!r}") from None
    if not 0 <= extent[0] < extent[1] < float("inf"):
        raise TurnstreamError(f"{path} line {number}: expected a start before the end, got {shown(f'{start} {end}')}")
    return name, extent


def _text(path: Path) -> str:
    """UTF-8 with or without a byte order mark; bytes that are no text stay what they are, for they may be in a name."""
    return read_at_most(path, MOST_BYTES).decode("utf-8-sig", errors="surrogateescape")


def within(times_s: NDArray[np.float64], extents_s: Extents) -> Bools:
    """Which of these times are annotated."""
    found: Bools = np.any([(times_s >= start) & (times_s < end) for start, end in extents_s], axis=0)
    return found


def turns_of(text: str) -> Turns:
    """The turns of an RTTM text of one recording."""
    return [segment for segments in parse_rttm(text).values() for segment in segments]


def write_array(path: Path, array: NDArray[Any] | None = None, **arrays: NDArray[Any]) -> None:
    """Write a `.npy` or `.npz` in one step: a reader finds all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    if array is not None:
        np.save(file, array)
    else:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stubs take any keyword for allow_pickle
    write_whole(path, file.getvalue())


def _vectors(path: Path) -> dict[str, F32]:
    if not path.exists():
        return {}
    with np.load(path) as stored:
        return dict(stored)
