"""What a better right edge of the segmentation would gain, and cost: more windows, other windows, invented audio.

    python -m benchmarks.right_edge RECORDING_OR_FOLDER... [--json FOLDER]

The newest frames lie at a window's right edge, where the model has heard nothing of what follows. Every way below
changes what each hop says of them; the local speakers are given to the reference speakers they fit best
(`oracle` in benchmarks/der.py), so that nothing but the segmentation differs. Printed: DER and its parts without a
collar, at each latency, and the time that segmentation takes for a hop against that of the plain window, the ways
taking turns on the same windows.

    plain           a window of 10 s
    and 5 s         and another of the newest 5 s; and 2.5 s: of the newest 2.5 s
    and 0.27 s ago  and another that ended 0.27 s earlier: the mean of shifted windows
    silence 0.5 s   0.5 s of zeros stand for what follows, and the window begins so much later
    mirrored 0.5 s  the newest 0.5 s backwards instead
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks import results
from benchmarks.accuracy.oracle import Live, columns, said_by, turns_from
from benchmarks.accuracy.recordings import add_recordings, cache_folder, labelled
from turnstream.clients.evaluation.recordings import LazyModels, Recording, read_samples
from turnstream.clients.evaluation.scoring import Errors, pooled, score
from turnstream.errors import TurnstreamError
from turnstream.models.segmentation import PyanNet, activity
from turnstream.stitching.aggregation import Aggregator, edge_trust
from turnstream.stitching.config import StitcherConfig
from turnstream.weights.store import segmentation_weights
from turnstream.windows import FRAME_SAMPLES, WINDOW_SAMPLES, WindowSchedule

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
View = tuple[int, Bools, F32]  # first frame, local activity, weight of each frame
LATENCIES_S = [0.5, 1.0, 2.0]
PAD_FRAMES, SHIFT_FRAMES = 30, 16
WAYS = ("plain", "and 5 s", "and 2.5 s", "and 0.27 s ago", "silence 0.5 s", "mirrored 0.5 s")


class Windows:
    """Windows of one length that end at each hop, or so many frames before; the filterbank is carried along."""

    def __init__(self, model: PyanNet, samples: F32, length: int = WINDOW_SAMPLES, before_frames: int = 0):
        self._model, self._length, self._before = model, length, before_frames * FRAME_SAMPLES
        self._samples = np.pad(samples, (2 * WINDOW_SAMPLES, 2 * WINDOW_SAMPLES))
        self._state = model.initial_window_state(window_samples=length)

    def __call__(self, start: int) -> View:
        """The window for the hop whose plain window begins at sample `start`."""
        own = start + WINDOW_SAMPLES - self._length - self._before
        window = self._samples[own + 2 * WINDOW_SAMPLES :][: self._length]
        logp, [self._state] = self._model.window_step(window[None], [own], [self._state])
        active = activity(np.asarray(logp)[0])
        return own // FRAME_SAMPLES, active, edge_trust(len(active), StitcherConfig())


class Padded:
    """Windows that reach PAD_FRAMES beyond what is known; what they say of the time beyond is left out."""

    def __init__(self, model: PyanNet, samples: F32, invent: Callable[[F32], F32]):
        self._model, self._invent = model, invent
        self._samples = np.pad(samples, (WINDOW_SAMPLES, 2 * WINDOW_SAMPLES))

    def __call__(self, start: int) -> View:
        """The window for the hop whose plain window begins at sample `start`."""
        pad = PAD_FRAMES * FRAME_SAMPLES
        known = self._samples[start + pad + WINDOW_SAMPLES :][: WINDOW_SAMPLES - pad]
        window = np.concatenate([known, self._invent(known[-pad:])])
        active = activity(np.asarray(self._model(window[None]))[0])
        kept = len(active) - PAD_FRAMES
        return start // FRAME_SAMPLES + PAD_FRAMES, active[:kept], edge_trust(len(active), StitcherConfig())[:kept]


def makers(model: PyanNet, samples: F32) -> dict[str, Windows | Padded]:
    """What each way computes beside the plain window, or in place of it."""
    frames_5_s, frames_2_s = 296, 148
    beyond = WINDOW_SAMPLES % FRAME_SAMPLES  # so that shorter windows stand on the same frame grid
    return {
        "plain": Windows(model, samples),
        "and 5 s": Windows(model, samples, frames_5_s * FRAME_SAMPLES + beyond),
        "and 2.5 s": Windows(model, samples, frames_2_s * FRAME_SAMPLES + beyond),
        "and 0.27 s ago": Windows(model, samples, before_frames=SHIFT_FRAMES),
        "silence 0.5 s": Padded(model, samples, np.zeros_like),
        "mirrored 0.5 s": Padded(model, samples, lambda known: known[::-1]),
    }


def hops(
    model: PyanNet, recording: Recording, spent_s: dict[str, list[float]]
) -> Iterator[tuple[int, dict[str, View]]]:
    """For each hop, one past its newest frame and what each way's own window says; seconds go into `spent_s`."""
    samples, schedule = read_samples(recording.path), WindowSchedule()
    ways = makers(model, samples)
    while schedule.frames_end < len(samples):
        start = schedule.take()
        views = {}
        for way, view in ways.items():
            began = time.perf_counter()
            views[way] = view(start)
            spent_s[way].append(time.perf_counter() - began)
        yield schedule.frames_end // FRAME_SAMPLES, views


def measure(model: PyanNet, recording: Recording, spent_s: dict[str, list[float]]) -> dict[str, Errors]:
    """Errors of each way at each latency, over one recording, without a collar."""
    truth = recording.reference_frames()
    votes = {way: Aggregator(StitcherConfig(), 0) for way in WAYS}
    live = {way: Live(LATENCIES_S, truth.shape) for way in WAYS}
    labels = dict.fromkeys(WAYS, np.zeros_like(truth))
    for horizon, views in hops(model, recording, spent_s):
        for way in WAYS:
            used = [views["plain"], views[way]] if way.startswith("and") else [views[way]]
            for first_frame, active, trust in used:
                votes[way].add(first_frame, trust, said_by(first_frame, active, truth))
            labels[way] = columns(votes[way].labels(), truth.shape)
            live[way].update(labels[way], horizon)
    rows = {}
    for way in WAYS:
        live[way].finish(labels[way])
        for latency, decided in live[way].decided.items():
            rows[f"{way}, {latency:g} s"] = score(recording, turns_from(decided, recording.end_frame))[0]
    return rows


def main() -> None:
    """Run over the recordings and print the table."""
    arguments = _arguments()
    load = os.getloadavg()[0]
    try:
        paths, models = labelled(arguments.recordings), LazyModels()
        recordings = [Recording(path, cache_folder(arguments.cache), models) for path in paths]
        model = PyanNet(segmentation_weights())
    except TurnstreamError as error:
        sys.exit(f"right_edge: {error}")
    spent_s: dict[str, list[float]] = defaultdict(list)
    rows: dict[str, list[Errors]] = defaultdict(list)
    for recording in recordings:
        for row, errors in measure(model, recording, spent_s).items():
            rows[row].append(errors)
        print(recording.name, flush=True)
    figures = figures_of({row: pooled(errors) for row, errors in rows.items()}, spent_s)
    if arguments.json:
        data = [results.recording(path) for path in paths]
        command = results.asked("benchmarks.right_edge")
        results.Result("right_edge", command, figures, data=data, load=load).write(arguments.json)


def figures_of(rows: dict[str, Errors], spent_s: dict[str, list[float]]) -> dict[str, results.Figure]:
    """All that was measured, printed on the way."""
    figures = {}
    plain = np.array(spent_s["plain"])
    print(f"\n{'':18} segmentation   {'   '.join(f'{s:g} s: DER, fa, miss, conf' for s in LATENCIES_S)}")
    for way in WAYS:
        own = np.array(spent_s[way]) + (plain if way.startswith("and") else 0)
        cost = float(np.median(own / plain))
        figures[f"{way}.cost"] = results.Figure(cost, "x plain", "ratio")
        cells = []
        for latency in LATENCIES_S:
            shares = [100 * share for share in rows[f"{way}, {latency:g} s"].shares]
            figures[f"{way}.{latency:g}_s.der"] = results.Figure(shares[0], "%", "error")
            cells.append("  ".join(f"{share:5.1f}" for share in shares))
        print(f"{way:18} {cost:8.2f} x      {'    '.join(cells)}")
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_recordings(parser)
    results.add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
