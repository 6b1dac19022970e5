"""Local speakers of every window with one embedding each: what the baselines cluster."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from turnstream.audio.fbank import rows_of_frames
from turnstream.clients.evaluation.recordings import Recording, write_array
from turnstream.models.embedding import EMBEDDING_SIZE
from turnstream.models.segmentation import POWERSET, activity
from turnstream.windows import FRAME_SAMPLES, SAMPLE_RATE_HZ

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
CLEAN_LEAST_FRAMES = round(0.25 / FRAME_S)  # with less clean speech, all of a local speaker's speech is taken
SAME_SHARE = 0.6  # of all frames of two crops that are in both: then one embedding does for both
CROP_LEAST_FRAMES = 6  # 0.1 s, flicker below
CROP_MOST_FRAMES = round(5.0 / FRAME_S)  # the newest of it; diart's own windows are 5 s long

Embedded = tuple[NDArray[np.int64], NDArray[np.float32]]  # the frames of a crop, and their embedding


@dataclass(frozen=True, slots=True)
class Locals:
    """All windows of a recording.

    Shapes:
        first_frames: (W,); soft: (W, T, S) probability that a local speaker talks; active: (W, T, S) the most probable
        clean_s: (W, S) seconds in which only he talks; vectors: (W, S, D) unit norm, nan where he hardly talks
    """

    first_frames: NDArray[np.int64]
    soft: NDArray[np.float32]
    active: NDArray[np.bool_]
    clean_s: NDArray[np.float32]
    vectors: NDArray[np.float32]


def locals_of(recording: Recording) -> Locals:
    """Read or made: one embedding for every local speaker of every window.

    It is renewed when two fifths of its frames are no longer those it was made of; renewing it at every hop costs
    three times as much.
    """
    said = recording.log_probabilities()
    first_frames = np.array([first for first, _ in said])
    logp = np.stack([window for _, window in said])
    soft = np.exp(logp.astype(np.float32)) @ POWERSET.astype(np.float32)
    heard = first_frames[:, None] + np.arange(logp.shape[1]) >= 0
    active = activity(logp) & heard[..., None]
    clean = active & (active.sum(axis=2) == 1)[..., None]
    crops = [[_crop(n, active, clean, first_frames, local) for local in range(3)] for n in range(len(said))]
    return Locals(first_frames, soft, active, clean.sum(axis=1) * np.float32(FRAME_S), _vectors(recording, crops))


def _crop(
    n: int, active: NDArray[np.bool_], clean: NDArray[np.bool_], first_frames: NDArray[np.int64], local: int
) -> NDArray[np.int64]:
    frames = np.flatnonzero(clean[n, :, local])
    if len(frames) < CLEAN_LEAST_FRAMES:
        frames = np.flatnonzero(active[n, :, local])
    return frames[-CROP_MOST_FRAMES:] + first_frames[n] if len(frames) >= CROP_LEAST_FRAMES else frames[:0]


def _vectors(recording: Recording, crops: list[list[NDArray[np.int64]]]) -> NDArray[np.float32]:
    """Embeddings of the crops, kept in one file that is good only for these very feature rows."""
    rows = [rows_of_frames(crop).tobytes() for window in crops for crop in window]
    key = hashlib.sha256(b"|".join([*rows, str(SAME_SHARE).encode()])).hexdigest()[:16]
    path = recording.kept(f"locals-{key}.npy")
    if path.exists():
        return np.load(path)
    vectors = np.full((len(crops), 3, EMBEDDING_SIZE), np.nan, np.float32)
    embedded: list[Embedded] = []  # of the window before
    for n, window in enumerate(crops):
        now = {local: _embedded(recording, crop, embedded) for local, crop in enumerate(window) if len(crop)}
        for local, (_, vector) in now.items():
            vectors[n, local] = vector
        embedded = list(now.values())
    write_array(path, vectors)
    return vectors


def _embedded(recording: Recording, crop: NDArray[np.int64], before: list[Embedded]) -> Embedded:
    """The embedding of a crop; that of the window before, while most of the frames it was made of are the same."""
    for frames, vector in before:
        shared = len(np.intersect1d(frames, crop, assume_unique=True))
        if shared >= SAME_SHARE * (len(frames) + len(crop) - shared):
            return frames, vector
    return crop, recording.embed_anew(crop)
