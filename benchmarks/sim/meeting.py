"""Long meetings of a few people: who is there when, made part by part with the conversations' own turn-taking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, sosfilt

from benchmarks.sim.acoustics import SPEECH_DBFS, Place, add_noise, limit, places, rooms_in, stems
from benchmarks.sim.dialogue import Dialogue, Placed, labels_of, talking
from benchmarks.sim.speech import F32, Clip, audio_files, clips_of, part, read_audio
from turnstream.rttm import format_rttm
from turnstream.windows import SAMPLE_RATE_HZ

PART_S = 600.0  # at most: bounds memory and the time to draw turns
SNR_DB = (16.0, 20.0)  # a quiet room
LEVEL_SPREAD_DB = 3.0
OVERLAP = 0.05  # share of speech
COPIES = 9  # of every clip, so that half an hour can be made of four minutes of one voice
NOD_EVERY_S = (15.0, 40.0)  # between two words of somebody who only agrees
NOD_S = 0.6  # length of such a word at most
TELEPHONE_HZ = (300.0, 3400.0)
CHORD_S = 0.5
HARMONICS = 6
EDGE_S = 0.7  # of room alone at the end


@dataclass(frozen=True, slots=True)
class Part:
    """Some minutes with the same people, or music with nobody."""

    minutes: float
    people: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A meeting to make: its parts, who only agrees now and then, and how it is recorded."""

    name: str
    parts: tuple[Part, ...]
    sittings: int = 1  # different recordings of each voice that are used
    nods: str | None = None
    telephone: bool = False

    @property
    def people(self) -> list[str]:
        """Everybody heard, in order of name."""
        return sorted({name for part in self.parts for name in part.people} | ({self.nods} if self.nods else set()))


def plans(long: Sequence[str], short: Sequence[str]) -> dict[str, Plan]:
    """Meetings of at least three speakers with minutes of speech (`long`) and eight with one minute (`short`)."""
    one, two, three = long[:3]
    trio = (one, two, three)
    six, left = (*trio, *short[1:4]), (*trio, short[6])
    made = [
        Plan("lecture", (Part(30, (one,)),)),
        Plan("pair", (Part(30, (two, three)),)),
        Plan("four", (Part(45, (*trio, short[0])),)),
        Plan("six", (Part(60, six),)),
        Plan("guest", (Part(15, (one, two)), Part(1 / 3, (short[4],)), Part(15, (one, two)))),
        Plan("nods", (Part(30, (one, three)),), nods=short[5]),
        Plan("returns", (Part(10, left), Part(20, trio), Part(10, left))),
        Plan("telephone", (Part(30, (two, three)),), telephone=True),
        Plan("music", (Part(10, trio), Part(2), Part(8, trio), Part(2), Part(8, trio))),
        Plan("sittings", (Part(30, (one, two)),), sittings=3),
        Plan("day", tuple(Part(30, (*trio, *short[n % 3 :: 3])) for n in range(16))),
    ]
    return {plan.name: plan for plan in made}


def make(plan: Plan, data: Path, split: tuple[int, int], folder: Path) -> Path:
    """Write `folder/NAME.flac` with `.rttm` and `.json`; returns the recording. The same plan gives the same bytes.

    Room and noise are drawn from part `split` of those in `data`, by the plan's name.
    """
    rng = np.random.default_rng([*plan.name.encode()])
    clips = {name: voice_clips(data, name, plan.sittings) for name in plan.people}
    rooms, noises = part(rooms_in(data / "rir"), *split), part(audio_files(data / "noise"), *split)
    where = places(rooms[int(rng.integers(len(rooms)))][1], plan.people, LEVEL_SPREAD_DB, rng)
    pieces: list[F32] = []
    placed: list[Placed] = []
    length = 0
    for piece in _pieces(plan.parts):
        talk = _talk(piece, plan.nods, clips, rng) if piece.people else []
        samples = _mix(talk, where, round(piece.minutes * 60 * SAMPLE_RATE_HZ)) if talk else music(piece.minutes, rng)
        placed += [replace(p, start=p.start + length) for p in talk]
        pieces.append(samples)
        length += len(samples)
    noise = read_audio(noises[int(rng.integers(len(noises)))])
    mixture = add_noise(np.concatenate(pieces), talking(placed, length), noise, float(rng.uniform(*SNR_DB)), rng)
    return _write(plan, telephone_band(mixture) if plan.telephone else mixture, placed, folder)


def voice_clips(data: Path, name: str, sittings: int) -> tuple[list[Clip], list[Clip]]:
    """One speaker's utterances and short words, of the `sittings` with most files, copied so that they do not run out.

    The sitting is the middle number of a file's name; files without one are one sitting.
    """
    folder = next(data / kind / name for kind in ("long_speakers", "speakers") if (data / kind / name).is_dir())
    by_sitting: dict[str, list[Path]] = {}
    for path in audio_files(folder):
        by_sitting.setdefault(path.stem.split("-")[1] if "-" in path.stem else "", []).append(path)
    used = sorted(by_sitting.values(), key=lambda files: -len(files))[:sittings]
    found = [clips_of(name, path) for files in used for path in files]
    utterances, words = ([clip for pair in found for clip in pair[side]] for side in (0, 1))
    copies = [replace(clip, name=f"{clip.name}#{n}") for n in range(COPIES) for clip in utterances]
    return copies, words


def _pieces(parts: Sequence[Part]) -> list[Part]:
    """The parts, cut so that none is longer than PART_S."""
    counts = [max(1, round(part.minutes * 60 / PART_S)) for part in parts]
    return [replace(p, minutes=p.minutes / n) for p, n in zip(parts, counts, strict=True) for _ in range(n)]


def _talk(
    piece: Part, nods: str | None, clips: dict[str, tuple[list[Clip], list[Clip]]], rng: np.random.Generator
) -> list[Placed]:
    length = round(piece.minutes * 60 * SAMPLE_RATE_HZ)
    utterances, words = ({name: clips[name][side] for name in piece.people} for side in (0, 1))
    placed = Dialogue(utterances, words, length, OVERLAP, rng).make()
    if nods is not None:
        placed += _nods(clips[nods], length, rng)
    return sorted(placed, key=lambda p: p.start + p.clip.speech_start)


def _nods(clips: tuple[list[Clip], list[Clip]], length: int, rng: np.random.Generator) -> list[Placed]:
    """Short words at random moments, whoever talks."""
    words = [_word(clip) for clip in clips[0] + clips[1]]
    placed, at = [], 0
    while (at := at + round(rng.uniform(*NOD_EVERY_S) * SAMPLE_RATE_HZ)) < length - SAMPLE_RATE_HZ:
        clip = words[int(rng.integers(len(words)))]
        placed.append(Placed(clip, at - clip.speech_start, "backchannel"))
    return placed


def _word(clip: Clip) -> Clip:
    return clip.cut(min(clip.speech_end, clip.speech_start + round(NOD_S * SAMPLE_RATE_HZ)))


def _mix(placed: list[Placed], where: dict[str, Place], least: int) -> F32:
    end = max(p.start + len(p.clip.samples) for p in placed) + round(EDGE_S * SAMPLE_RATE_HZ)
    single = stems(placed, where, max(end, least))
    return np.sum(list(single.values()), axis=0)


def music(minutes: float, rng: np.random.Generator) -> F32:
    """Chords of three notes with harmonics, each dying away, as loud as speech."""
    length = round(CHORD_S * SAMPLE_RATE_HZ)
    at_s = np.arange(length) / SAMPLE_RATE_HZ
    chords = []
    for _ in range(max(1, round(minutes * 60 / CHORD_S))):
        notes_hz = 110 * 2 ** (rng.choice(36, 3, replace=False) / 12)
        parts = [np.sin(2 * np.pi * hz * k * at_s) / k for hz in notes_hz for k in range(1, HARMONICS + 1)]
        chords.append(np.sum(parts, axis=0) * np.exp(-3 * at_s))
    samples = np.concatenate(chords).astype(np.float32)
    return samples * np.float32(10 ** (SPEECH_DBFS / 20) / np.sqrt(np.mean(samples**2)))


def telephone_band(samples: F32) -> F32:
    """What a telephone line leaves of it."""
    band = butter(4, TELEPHONE_HZ, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return sosfilt(band, samples).astype(np.float32)


def _write(plan: Plan, samples: F32, placed: list[Placed], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.name}.flac"
    labels = labels_of(placed)
    path.with_suffix(".rttm").write_text(format_rttm(plan.name, labels))
    path.with_suffix(".json").write_text(json.dumps(asdict(plan), indent=1) + "\n")
    soundfile.write(path, limit(samples), SAMPLE_RATE_HZ, subtype="PCM_16")
    return path
