"""Embeddings of a folder of speakers, one sub-folder each, as the engine would make them; kept in a cache.

The utterances of a speaker are in two sides that share nothing: the first half by time (of the files in order of name)
is for enrolment, the rest is for the test. Three conditions:
    clean     both as recorded
    noisy     enrolled as recorded, heard in a room with noise, drawn for each speaker
    meeting   all enrolled and heard in one room with one noise: strangers are most alike there
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from turnstream.audio.fbank import fbank, rows_of_frames
from turnstream.models.batcher import Batcher
from turnstream.models.embedding import EMBEDDING_SIZE
from turnstream.models.segmentation import activity
from turnstream.stitching.config import FRAME_S, StitcherConfig, frames
from turnstream.stitching.profile import Profile
from turnstream.weights.cache import cache_dir
from turnstream.weights.store import embedding_weights, segmentation_weights
from turnstream.windows import FRAME_SAMPLES, WINDOW_FRAMES, WINDOW_SAMPLES

Floats = NDArray[np.float32]
SNR_DB = (5.0, 20.0)  # noise of the room, drawn evenly
MEETING_SEED = 7  # of the one room
CONDITIONS = ("clean", "noisy", "meeting")


Piece = tuple[Profile, Profile]


@dataclass(frozen=True)
class Voice:
    """One speaker: pieces of about 2 s of speech in order of time, enrolled and heard in each of CONDITIONS.

    A piece is a pair: the whole, and its first second, for stretches of an odd number of seconds.
    """

    name: str
    enrolled: dict[str, list[Piece]]
    heard: dict[str, list[Piece]]


def speaker_folders(data: Path) -> list[Path]:
    """The speakers' folders in order of name."""
    return sorted(path for path in (data / "speakers").iterdir() if path.is_dir())


def digests(data: Path) -> list[dict[str, Any]]:
    """Entries of a result's `data`, one for each speaker: the hash of all files, one after another."""
    found = []
    for folder in speaker_folders(data):
        files = sorted(folder.glob("*.flac"))
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        length_s = sum(soundfile.info(file).duration for file in files)
        found.append({"name": f"speakers/{folder.name}", "sha256": digest, "duration_s": round(length_s, 3)})
    return found


def load(data: Path, cache: Path | None = None) -> list[Voice]:
    """Every speaker's voice, in order of name."""
    models = Batcher(segmentation_weights(), embedding_weights())
    try:
        return [voice(folder, data, models, cache or cache_dir() / "identify") for folder in speaker_folders(data)]
    finally:
        models.close()


def halves(folder: Path) -> tuple[list[Path], list[Path]]:
    """A speaker's files for enrolment and for the test."""
    files = sorted(folder.glob("*.flac"))
    ends_s = np.cumsum([soundfile.info(file).duration for file in files])
    middle = int(np.searchsorted(ends_s, ends_s[-1] / 2)) + 1
    return files[:middle], files[middle:]


def read(files: list[Path]) -> Floats:
    """The files one after another, (N,) float32 at 16 kHz."""
    return np.concatenate([soundfile.read(file, dtype="float32")[0] for file in files])


def voice(folder: Path, data: Path, models: Batcher, cache: Path) -> Voice:
    """A speaker's pieces; computed where they are not in the cache."""
    enrolment, test = halves(folder)
    key = hashlib.sha256("".join(file.name for file in [*enrolment, *test]).encode()).hexdigest()[:8]
    path = cache / f"voice-{folder.name}-{key}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **_computed(read(enrolment), read(test), data, int(key, 16), models))
    kept = np.load(path)

    def profiles(side: str) -> list[Profile]:
        return [Profile(v, float(s)) for v, s in zip(kept[f"{side}-vectors"], kept[f"{side}-seconds"], strict=True)]

    def pieces(side: str) -> list[Piece]:
        return list(zip(profiles(side), profiles(f"{side}-begin"), strict=True))

    enrolled = {"clean": pieces("enrolled"), "noisy": pieces("enrolled"), "meeting": pieces("enrolled-meeting")}
    return Voice(folder.name, enrolled, {condition: pieces(condition) for condition in CONDITIONS})


def _computed(enrolment: Floats, test: Floats, data: Path, seed: int, models: Batcher) -> dict[str, Floats]:
    sides = {
        "enrolled": enrolment,
        "enrolled-meeting": in_a_room(enrolment, data, MEETING_SEED),
        "clean": test,
        "noisy": in_a_room(test, data, seed),
        "meeting": in_a_room(test, data, MEETING_SEED),
    }
    return {f"{side}-{part}": a for side, samples in sides.items() for part, a in _pieces(samples, models).items()}


def in_a_room(samples: Floats, data: Path, seed: int) -> Floats:
    """The same speech in one of the rooms of data/rir with one of the noises of data/noise."""
    rng = np.random.default_rng(seed)
    room, noise = (
        soundfile.read(rng.choice(_recordings(data / kind)), dtype="float32")[0] for kind in ("rir", "noise")
    )
    heard = fftconvolve(samples, room / np.abs(room).max())[: len(samples)]
    start = rng.integers(len(noise))
    noise = np.resize(np.roll(noise, -start), len(samples))
    gain = np.sqrt(np.mean(heard**2) / np.mean(noise**2) / 10 ** (rng.uniform(*SNR_DB) / 10))
    mixed: Floats = (heard + gain * noise).astype(np.float32)
    return mixed / np.float32(max(1.0, float(np.abs(mixed).max())))


def _recordings(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.iterdir() if path.suffix in (".flac", ".wav"))


def _pieces(samples: Floats, models: Batcher) -> dict[str, Floats]:
    """Embeddings and seconds of the speech that the segmentation finds, in pieces as long as the stitcher's."""
    speech = np.flatnonzero(_speech(samples, models))
    features = fbank(np.pad(samples, (0, WINDOW_SAMPLES)))
    length = frames(StitcherConfig().run_piece_s)
    crops = [speech[at : at + length] for at in range(0, len(speech), length)]
    crops = [crop for crop in crops if len(crop) >= frames(1.0)]
    begins = [crop[: frames(1.0)] for crop in crops]
    found = {}
    for part, some in (("", crops), ("begin-", begins)):
        vectors = models.embed([features[rows_of_frames(crop)] for crop in some])
        found[f"{part}vectors"] = vectors.reshape(-1, EMBEDDING_SIZE)
        found[f"{part}seconds"] = np.array([len(crop) * FRAME_S for crop in some], np.float32)
    return found


def _speech(samples: Floats, models: Batcher) -> NDArray[np.bool_]:
    """Frames in which exactly one local speaker is active, from windows whose middles lie side by side."""
    step = WINDOW_FRAMES // 2
    margin = (WINDOW_FRAMES - step) // 2
    count = -(-len(samples) // FRAME_SAMPLES)
    padded = np.pad(samples, (margin * FRAME_SAMPLES, 2 * WINDOW_SAMPLES))
    found = []
    for first in range(0, count, step):
        window = padded[first * FRAME_SAMPLES :][:WINDOW_SAMPLES]
        active = activity(models.segment(window, first * FRAME_SAMPLES, models.initial_state())[0])
        found.append((active.sum(axis=1) == 1)[margin : margin + step])
    return np.concatenate(found)[:count]
