"""How a conversation sounds: levels, one room with a place for each speaker, noise at a given ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from benchmarks.sim.dialogue import Placed
from benchmarks.sim.speech import F32, audio_files, read_audio
from turnstream.windows import SAMPLE_RATE_HZ

SPEECH_DBFS = -26.0  # of the loudness of an average speaker
DIRECT_S = 0.0025  # of a room's response after its peak: what is not reflected
TAIL_DB = (-6.0, 6.0)  # a place further away hears more of the room
TAIL_STRETCH = (0.94, 1.06)  # and its reflections at other times
FADE_S = 0.005  # at both ends of a clip
SEAM_S = 0.25  # of a noise that is shorter than the conversation and goes on from its start
LOUDEST = 0.95


@dataclass(frozen=True, slots=True)
class Place:
    """Where a speaker sits: his level, and the response of the room to there."""

    level_db: float
    response: F32 | None
    response_name: str | None


def rooms_in(folder: Path) -> list[tuple[str, list[Path]]]:
    """(name, responses) of every room: a sub-folder with responses to several places, or a file alone."""
    rooms = [(path.name, [path]) for path in audio_files(folder)]
    rooms += [(path.name, audio_files(path)) for path in folder.iterdir() if path.is_dir()]
    return sorted((name, paths) for name, paths in rooms if paths)


def places(
    room: Sequence[Path], speakers: Sequence[str], level_spread_db: float, rng: np.random.Generator
) -> dict[str, Place]:
    """A place for each speaker in one room; without responses everybody is close to the microphone.

    Where the room has fewer responses than speakers, they are shared, each place with its own strength of the
    reverberation (-6 to 6 dB) and its own timing (within 6 %): as near to other places as one response allows.
    """
    order = rng.permutation(len(room)).tolist()
    made = {}
    for n, speaker in enumerate(speakers):
        level = float(np.clip(rng.normal(0, level_spread_db), -2 * level_spread_db, 2 * level_spread_db))
        path = room[order[n % len(room)]] if room else None
        response = None if path is None else _moved(read_audio(path), rng)
        made[speaker] = Place(level, response, None if path is None else path.name)
    return made


def _moved(response: F32, rng: np.random.Generator) -> F32:
    """The response from its direct sound on (so that labels stay true), its tail stronger or weaker and stretched."""
    peak = int(np.abs(response).argmax())
    direct_end = peak + round(DIRECT_S * SAMPLE_RATE_HZ)
    tail = soxr.resample(response[direct_end:], SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * rng.uniform(*TAIL_STRETCH))
    tail = tail * 10 ** (rng.uniform(*TAIL_DB) / 20)
    return np.concatenate([response[peak:direct_end], tail]).astype(np.float32) / np.abs(response[peak])


def stems(placed: Sequence[Placed], where: dict[str, Place], length: int) -> dict[str, F32]:
    """What the microphone gets of each speaker, (length,) each."""
    made = {speaker: np.zeros(length, np.float32) for speaker in where}
    for p in placed:
        samples = p.clip.samples * np.float32(_gain(p, where[p.clip.speaker].level_db))
        fade = np.linspace(0, 1, round(FADE_S * SAMPLE_RATE_HZ), dtype=np.float32)
        samples[: len(fade)] *= fade[: len(samples)]
        samples[-len(fade) :] *= fade[::-1][-len(samples) :]
        start = max(0, p.start)
        samples = samples[start - p.start : length - p.start]
        made[p.clip.speaker][start : start + len(samples)] += samples
    for speaker, place in where.items():
        if place.response is not None:
            made[speaker] = fftconvolve(made[speaker], place.response)[:length].astype(np.float32)
    return made


def _gain(placed: Placed, level_db: float) -> float:
    clip = placed.clip
    speech = np.concatenate([clip.samples[start:end] for start, end in clip.islands]).astype(np.float64)
    return float(10 ** ((SPEECH_DBFS + level_db) / 20) / np.sqrt(np.mean(speech**2) + 1e-12))


def add_noise(speech: F32, talking: NDArray[np.bool_], noise: F32, snr_db: float, rng: np.random.Generator) -> F32:
    """`speech` with noise so strong that where anybody talks, speech is `snr_db` above it."""
    background = _endless(noise, len(speech), int(rng.integers(len(noise))))
    power = np.mean(speech[talking].astype(np.float64) ** 2) / max(1e-12, np.mean(background.astype(np.float64) ** 2))
    return speech + background * np.float32(np.sqrt(power / 10 ** (snr_db / 10)))


def _endless(noise: F32, length: int, start: int) -> F32:
    """`length` samples of the noise from `start` on, going round with a cross-fade at the seam."""
    seam = min(round(SEAM_S * SAMPLE_RATE_HZ), len(noise) // 4)
    rise = np.sqrt(np.linspace(0, 1, seam, dtype=np.float32))
    loop = noise[seam:].copy()
    loop[-seam:] = loop[-seam:] * rise[::-1] + noise[:seam] * rise
    return np.resize(np.roll(loop, -(start % len(loop))), length)


def limit(samples: F32) -> F32:
    """Scaled down as a whole where it would be clipped."""
    loudest = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(min(1.0, LOUDEST / max(loudest, 1e-9)))
