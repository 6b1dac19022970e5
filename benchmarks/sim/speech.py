"""A folder of speakers as clips of speech: read, resampled, trimmed, and annotated to the sample.

Where somebody talks is found in his own clean recording, before anything is mixed: the labels of a conversation are
exact because they are moved with the audio, never guessed from the mixture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import lfilter

from turnstream.errors import AudioError, TurnstreamError
from turnstream.labels import runs_of, smooth_runs
from turnstream.windows import SAMPLE_RATE_HZ

F32 = NDArray[np.float32]
T = TypeVar("T")
STEP_SAMPLES = 80  # 5 ms: how finely energy is looked at
SPAN_SAMPLES = 320  # 20 ms: over which it is measured
PAUSE_S = 0.25  # longer pauses inside an utterance split the annotated speech
ISLAND_MIN_S = 0.06  # shorter bursts are clicks
LOUD_SHARE, SOFT_SHARE = 0.45, 0.22  # of the way in dB from the recording's floor to its speech: core, and its edges
QUIETEST_DB = 40.0  # under the speech: nothing so far down is speech, however silent the floor
EDGE_MAX_S = 0.15  # how far a soft onset or ending may reach beyond the core
LEAD_S, TAIL_S = 0.05, 0.12  # audio kept around a clip, so that nothing is cut off audibly; not annotated
BACKCHANNEL_S = (0.2, 1.2)  # speech of a piece short enough to be one


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of one recording of one speaker: samples (N,) at 16 kHz, and (start, end) of its speech in samples."""

    speaker: str
    name: str
    samples: F32
    islands: tuple[tuple[int, int], ...]

    @property
    def speech_start(self) -> int:
        """Sample at which speech begins."""
        return self.islands[0][0]

    @property
    def speech_end(self) -> int:
        """One past the last sample of speech."""
        return self.islands[-1][1]

    @property
    def speech_samples(self) -> int:
        """From the first to the last sample of speech, short pauses included."""
        return self.speech_end - self.speech_start

    def cut(self, end: int) -> Clip:
        """The same clip broken off at sample `end`, as by somebody who is interrupted."""
        islands = tuple((s, min(e, end)) for s, e in self.islands if s < end)
        return Clip(self.speaker, self.name, self.samples[:end], islands)


def read_audio(path: Path) -> F32:
    """Mono samples at 16 kHz; channels are averaged. Raises AudioError where it cannot be read."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"cannot read {path}: {error}") from None
    if not len(samples):
        raise AudioError(f"cannot use {path}: expected audio, got 0 samples")
    return soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE_HZ).astype(np.float32)


def audio_files(folder: Path) -> list[Path]:
    """Files of a folder that soundfile can read by their name, in order of name. Raises TurnstreamError for none."""
    if not folder.is_dir():
        raise TurnstreamError(f"expected a folder of recordings, got {folder}")
    endings = {f".{kind.lower()}" for kind in soundfile.available_formats()} | {".aif", ".opus"}
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def speaker_names(folder: Path) -> list[str]:
    """Sub-folders with audio, in order of name. Raises TurnstreamError when there are fewer than two."""
    if not folder.is_dir():
        raise TurnstreamError(f"expected a folder with one sub-folder for each speaker, got {folder}")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and audio_files(path))
    if len(names) < 2:
        raise TurnstreamError(f"expected at least 2 sub-folders with audio in {folder}, got {len(names)}")
    return names


def part(items: list[T], number: int, parts: int) -> list[T]:
    """Part `number` (from 1) of `parts`: every `parts`-th item, so that neighbors in the order are shared out."""
    return items[number - 1 :: parts]


def islands_of(samples: F32) -> list[tuple[int, int]]:
    """(start, end) of speech in samples, in one speaker's own recording.

    Energy is taken of the signal and of its differences, which raises the soft hiss of an s or f at an onset. A core
    of speech is loud in either; from there it reaches out as long as the sound is above the soft threshold. Pauses
    of up to 0.25 s stay inside.
    """
    loudness = np.stack([_level_db(samples), _level_db(lfilter([1, -0.97], [1], samples).astype(np.float32))])
    floor, speech = np.percentile(loudness, [5, 95], axis=1, keepdims=True)
    floor = np.maximum(floor, speech - QUIETEST_DB)
    core = (loudness > floor + LOUD_SHARE * (speech - floor)).any(axis=0)
    soft = (loudness > floor + SOFT_SHARE * (speech - floor)).any(axis=0)
    cores = [run for run in runs_of(core) if run[1] - run[0] >= _steps(ISLAND_MIN_S)]
    whole = smooth_runs(_widen(cores, soft), _steps(PAUSE_S) + 1, _steps(ISLAND_MIN_S))
    return [(start * STEP_SAMPLES, min(end * STEP_SAMPLES, len(samples))) for start, end in whole]


def _level_db(samples: F32) -> NDArray[np.float64]:
    """Level around every step of 5 ms, (steps,)."""
    half = (SPAN_SAMPLES - STEP_SAMPLES) // 2
    padded = np.pad(samples.astype(np.float64) ** 2, (half, half + STEP_SAMPLES))
    power = np.lib.stride_tricks.sliding_window_view(padded, SPAN_SAMPLES)[::STEP_SAMPLES].mean(axis=1)
    steps = -(-len(samples) // STEP_SAMPLES)
    return 10 * np.log10(power[:steps] + 1e-10)


def _widen(cores: list[tuple[int, int]], soft: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Cores with their soft edges; those that grow together stay apart and are joined by their order."""
    widest, wide = _steps(EDGE_MAX_S), []
    for start, end in cores:
        before, after = soft[max(0, start - widest) : start][::-1], soft[end : end + widest]
        start -= len(before) if before.all() else int(before.argmin())
        end += len(after) if after.all() else int(after.argmin())
        wide.append((max(start, wide[-1][1]) if wide else start, end))
    return wide


def _steps(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ / STEP_SAMPLES)


def clips_of(speaker: str, path: Path) -> tuple[list[Clip], list[Clip]]:
    """One recording as (utterances, backchannels).

    A short piece at either end that a pause sets apart becomes a backchannel; the rest is the utterance. No sample is
    in two of them. Silent recordings give nothing.
    """
    samples = read_audio(path)
    islands = islands_of(samples)
    groups = [islands] if islands else []
    backs = []
    for at in (0, -1):
        if len(islands) > 2 and BACKCHANNEL_S[0] <= _seconds(islands[at]) <= BACKCHANNEL_S[1]:
            backs.append([islands[at]])
            islands = islands[1:] if at == 0 else islands[:-1]
            groups = [islands]
    pieces = [[_piece(speaker, path, samples, group) for group in found] for found in (groups, backs)]
    return pieces[0], pieces[1]


def _seconds(island: tuple[int, int]) -> float:
    return (island[1] - island[0]) / SAMPLE_RATE_HZ


def _piece(speaker: str, path: Path, samples: F32, islands: list[tuple[int, int]]) -> Clip:
    start = max(0, islands[0][0] - round(LEAD_S * SAMPLE_RATE_HZ))
    end = min(len(samples), islands[-1][1] + round(TAIL_S * SAMPLE_RATE_HZ))
    moved = tuple((s - start, e - start) for s, e in islands)
    return Clip(speaker, f"{path.parent.name}/{path.name}@{start}", samples[start:end], moved)
