"""An old question: what does the LSTM's state at the start of a window do?"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.der import Recording
from benchmarks.results import Figure
from turnstream.kernels.lstm import bilstm
from turnstream.models.activity import AHEAD_FRAMES, CHUNK_SAMPLES, FIRST_SAMPLES
from turnstream.models.carried_state import CarriedState
from turnstream.models.segmentation import PyanNet, activity
from turnstream.models.speech_prior import voice_like
from turnstream.windows import FRAME_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES

EVERY_S, HEARD_S = 20, 60  # a window is begun every 20 s, each time after 60 s of carried state
PARTS = ("other_class", "other_class_renamed", "other_speech", "other_overlap", "median_difference")
SPANS_S = ((0.0, 0.5), (0.5, 2.0), (2.0, 5.0), (5.0, 9.9))


def state(network: PyanNet, recordings: list[Recording]) -> dict[str, Figure]:
    """Zero state against none, then windows from a carried state against the same windows from zero."""
    none = _zero_against_none(network)
    found = {"zero_against_none.largest_difference": Figure(none, "log-probability", "error")}
    print(f"explicit zero state against no state: largest difference {none:g}\n")
    print(
        "10 s in one chunk from a carried state against the same from zero, norms and audio equal; share of frames, %"
    )
    print(f"{'cells':14}{'after':12}  other class  the same renamed  other speech  other overlap  median |diff. log p|")
    for name, memory_s in (("never faded", None), ("fading (engine)", 3.0)):
        pairs = [pair for recording in recordings for pair in _pairs(network, recording, memory_s)]
        for begin_s, end_s in SPANS_S:
            cells = np.mean([_compare(*pair, begin_s, end_s) for pair in pairs], axis=0).tolist()
            row = f"{name.split()[0]}.{begin_s:g}_{end_s:g}s"
            for part, value in zip(PARTS, cells, strict=True):
                unit = "%" if part != "median_difference" else "log-probability"
                found[f"{row}.{part}"] = Figure(value, unit, "error", "neither")
            after = f"{begin_s:g}-{end_s:g} s"
            print(
                f"{name:16}{after:12}{cells[0]:10.1f}{cells[1]:18.1f}{cells[2]:14.1f}{cells[3]:15.1f}{cells[4]:18.3f}",
                flush=True,
            )
    return found


def _zero_against_none(network: PyanNet) -> float:
    x: Any = np.random.default_rng(0).standard_normal((3, 589, 60)).astype(np.float32)
    worst = 0.0
    for layer in network.lstm:
        zeros = np.zeros((3, 2, layer.hidden), np.float32)
        (y, ends), (same, same_ends) = bilstm(x, layer), bilstm(x, layer, (zeros, zeros))
        pairs = ((y, same), *zip(ends, same_ends, strict=True))
        worst = max(worst, *(float(np.abs(np.array(a) - np.array(b)).max()) for a, b in pairs))
        x = y
    return worst


def _pairs(network: PyanNet, recording: Recording, memory_s: float | None) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Log-probabilities (589, 7) of windows from a carried state and from zero."""
    wave, _ = soundfile.read(recording.path, dtype="float32")
    found, kept, at = [], network.expecting(voice_like()), 0
    due = HEARD_S * SAMPLE_RATE_HZ
    while at + WINDOW_SAMPLES <= len(wave):
        end = at + CHUNK_SAMPLES if at else FIRST_SAMPLES
        _, (kept,) = network.step(wave[None, at:end], [kept], AHEAD_FRAMES)
        kept = kept if memory_s is None else kept.faded(end - at, memory_s)
        at = end
        if at >= due and at + WINDOW_SAMPLES <= len(wave):
            due += EVERY_S * SAMPLE_RATE_HZ
            zero = replace(kept, h=kept.h * 0, c=kept.c * 0)
            found.append(_windows(network, wave[at : at + WINDOW_SAMPLES], [kept, zero]))
    return found


def _windows(network: PyanNet, wave: NDArray[np.float32], states: list[CarriedState]) -> tuple[Any, Any]:
    logp, _ = network.step(np.stack([wave] * 2), states)
    both = np.array(logp)
    return both[0], both[1]


def _compare(carried: Any, zero: Any, begin_s: float, end_s: float) -> list[float]:
    """Percent of frames with another class, the same under the best renaming, other speech, other overlap; |diff.|."""
    span = slice(*(round(s * SAMPLE_RATE_HZ / FRAME_SAMPLES) for s in (begin_s, end_s)))
    one, two = activity(carried), activity(zero)
    order = min(permutations(range(3)), key=lambda order: int((one[:, order] != two).any(axis=1).sum()))
    other = [
        (one != two).any(axis=1),
        (one[:, order] != two).any(axis=1),
        one.any(axis=1) != two.any(axis=1),
        (one.sum(axis=1) > 1) != (two.sum(axis=1) > 1),
    ]
    return [*(100 * float(mask[span].mean()) for mask in other), float(np.median(np.abs(carried - zero)[span]))]
