"""Hours of one stream: does a hop stay as cheap, the memory as small and the speakers as true as in the first hour?

    python -m benchmarks.long_stream RECORDING.flac... [--hours 8] [--seed 0] [--json FOLDER]

The stream is the recordings again and again, in a new order each time, each followed by silence up to a whole minute
(of windows and of pieces of runs). Their windows and crops are then the same bytes every time, and the models answer
them from memory after the first time: what is timed is everything else, which is what could grow (the models' own cost
a hop does not depend on the past), as processor time of its thread, which other programs do not disturb.
Printed for each hour: mean, 95th and 99.9th percentile and maximum of a hop without the models, resident memory,
segments kept and speakers told of; at the end, the time for the final result, and where the recordings have references
beside them (`.rttm`; speakers of one name in several recordings are one person) DER, also of the first and last hour,
and how many speakers there are.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from benchmarks.drifts.compare import errors_in, mapped, speakers
from benchmarks.results import Figure, Result, recording
from benchmarks.stand_ins import Remembering
from turnstream import heap
from turnstream.audio.input import AudioInput
from turnstream.clients.evaluation.recordings import Turns, turns_of
from turnstream.diarizer import Diarizer
from turnstream.events import Final
from turnstream.rttm import RttmSegment
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig, frames
from turnstream.timeline.timeline import Timeline
from turnstream.windows import FRAME_SAMPLES, HOP_FRAMES, HOP_SAMPLES, SAMPLE_RATE_HZ

# After this, windows and the places where runs are cut are where they were: about a minute.
PERIOD_SAMPLES = math.lcm(HOP_FRAMES, frames(StitcherConfig().run_piece_s)) * FRAME_SAMPLES

F32 = NDArray[np.float32]


class FromMemory(Remembering):
    """`seconds` is what the models took, remembered answers included."""

    seconds = 0.0

    def segment(self, *window: Any) -> tuple[F32, Any]:
        """See `Models`."""
        return self._timed(super().segment, *window)

    def embed(self, crops: list[F32]) -> F32:
        """See `Models`."""
        return self._timed(super().embed, crops)

    def _timed(self, ask: Callable[..., Any], *asked: Any) -> Any:
        began = time.thread_time()
        answer = ask(*asked)
        self.seconds += time.thread_time() - began
        return answer


@dataclass
class Hour:
    """What was measured in one hour of the stream."""

    hop_ms: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    segments: int = 0
    speakers: int = 0

    def row(self) -> dict[str, float]:
        """The figures printed."""
        p95, p999 = np.percentile(self.hop_ms, [95, 99.9])
        figures = {"mean": np.mean(self.hop_ms), "p95": p95, "p99.9": p999, "max": max(self.hop_ms)}
        hop = {f"hop_ms_{name}": round(float(figure), 2) for name, figure in figures.items()}
        return {**hop, "memory_mib": round(self.memory_mib), "segments": self.segments, "speakers": self.speakers}


def play(paths: list[Path], hours: float, seed: int) -> Iterator[tuple[Path, F32]]:
    """The recordings in random order, again and again, each a whole number of periods long."""
    rng = np.random.default_rng(seed)
    sounds = {}
    for path in paths:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        if rate_hz != SAMPLE_RATE_HZ or samples.ndim != 1:
            raise SystemExit(f"{path}: expected mono audio of {SAMPLE_RATE_HZ} Hz, got {samples.shape} of {rate_hz} Hz")
        sounds[path] = np.pad(samples, (0, -len(samples) % PERIOD_SAMPLES))
    left = round(hours * 3600 * SAMPLE_RATE_HZ)
    while left > 0:
        for number in rng.permutation(len(paths)).tolist():
            if left > 0:
                yield paths[number], sounds[paths[number]]
                left -= len(sounds[paths[number]])


def measure(session: Session, models: FromMemory, samples: F32, hours: list[Hour]) -> None:
    """Feed one recording hop by hop and note each hop in its hour."""
    for start in range(0, len(samples), HOP_SAMPLES):
        hour = int(session.position_s // 3600)
        if hour == len(hours):
            hours.append(Hour())
        models.seconds, began = 0.0, time.thread_time()
        session.feed(samples[start : start + HOP_SAMPLES])
        hours[hour].hop_ms.append(1000 * (time.thread_time() - began - models.seconds))
    hours[-1].memory_mib = psutil.Process().memory_info().rss / 2**20
    hours[-1].segments = len(session._pipeline._stitchers.live.store.segments)
    hours[-1].speakers = len(session.timeline.speakers)


def reference(path: Path, at_s: float) -> list[RttmSegment]:
    """The turns of a recording that starts at `at_s`; none where it has no reference."""
    rttm = path.with_suffix(".rttm")
    turns = turns_of(rttm.read_text()) if rttm.exists() else ()
    return [RttmSegment(at_s + turn.start_s, at_s + turn.end_s, turn.speaker) for turn in turns]


@dataclass(frozen=True, slots=True)
class Played:
    """A whole stream: its hours, seconds for the final result, RTTM live and final, speakers, and what is true."""

    hours: list[Hour]
    finish_s: float
    live: str
    final: Final
    truth: Turns
    position_s: float


def play_all(recordings: list[Path], hours_asked: float, seed: int) -> Played:
    """Play the stream and print a line an hour."""
    hours: list[Hour] = []
    truth: list[RttmSegment] = []
    with Diarizer() as diarizer:
        heap.leave_to_stay()  # as the commands do
        models = FromMemory(diarizer.models)
        session = Session(models, AudioInput(), StitcherConfig(), Timeline(1.0))
        for path, samples in play(recordings, hours_asked, seed):
            known = len(hours)
            truth += reference(path, session.position_s)
            measure(session, models, samples, hours)
            if len(hours) > known > 0:
                print(f"hour {known}: {hours[known - 1].row()}", flush=True)
        live, began = session.live_rttm("x"), time.perf_counter()
        final = session.close()
        finish_s = time.perf_counter() - began
    del hours[max(1, round(hours_asked)) :]  # the last recording may reach into another one
    return Played(hours, finish_s, live, final, truth, session.position_s)


def errors(played: Played) -> dict[str, Figure]:
    """DER and speakers where the recordings have references, one mapping for the whole stream; prints them."""
    if not played.truth:
        return {}
    texts = {"live_1s": played.live, "final": played.final.to_rttm("x")}
    parts = {row: by_part(played, text) for row, text in texts.items()}
    ders = {f"der.{row}{part}": value for row, found in parts.items() for part, value in found.items()}
    counts = {"told": played.hours[-1].speakers, "final": len(played.final.speakers), "true": speakers(played.truth)}
    print("collar 0:", ", ".join(f"{name} {value:.1f} %" for name, value in ders.items()))
    print("speakers:", ", ".join(f"{count} {name}" for name, count in counts.items()))
    figures = {name: Figure(value, "%", "error") for name, value in ders.items()}
    return figures | {f"speakers.{name}": Figure(n, "speakers", "error", "neither") for name, n in counts.items()}


def by_part(played: Played, text: str) -> dict[str, float]:
    """DER in percent of all, of the first and of the last hour of an RTTM text, no collar, overlap scored."""
    end_s, said = played.position_s, mapped(played.truth, turns_of(text))
    parts = {"": (0.0, end_s), ".first_hour": (0.0, 3600.0), ".last_hour": (max(0.0, end_s - 3600), end_s)}
    return {
        part: 100 * found.der
        for part, found in zip(parts, errors_in(played.truth, said, [*parts.values()]), strict=True)
    }


def main() -> None:
    """Play the stream, print a line an hour and what it comes to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write long_stream.json there")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    played = play_all(arguments.recordings, arguments.hours, arguments.seed)
    report(played.hours, played.finish_s)
    found = figures(played.hours, played.finish_s) | errors(played)
    if arguments.json:
        Result(
            "long_stream",
            f"python -m benchmarks.long_stream RECORDING... --hours {arguments.hours:g} --seed {arguments.seed}",
            found,
            parameters={"hours": arguments.hours},
            series={"hours": [hour.row() for hour in played.hours]},
            data=[recording(path) for path in arguments.recordings],
            seed=arguments.seed,
            load=load,
        ).write(arguments.json)


def figures(hours: list[Hour], finish_s: float) -> dict[str, Figure]:
    """`hop.first_hour.mean` and so on, processor time without the models; the first hour fills the models' memory."""
    rows = {"first_hour": hours[0].row(), "last_hour": hours[-1].row()}
    found = {
        f"hop.{name}.{part}": Figure(row[f"hop_ms_{part}"], "ms", "time")
        for name, row in rows.items()
        for part in ("mean", "p95", "p99.9", "max")
    }
    first, last = (row["hop_ms_mean"] for row in rows.values())
    found["hop.longest"] = Figure(max(hour.row()["hop_ms_max"] for hour in hours), "ms", "time")
    found["hop.last_over_first"] = Figure(last / first, "ratio", "ratio")
    if len(hours) > 2:
        growth = (hours[-1].memory_mib - hours[0].memory_mib) / (len(hours) - 1)
        found["memory_growth"] = Figure(growth, "MiB/h", "time")
    found["final"] = Figure(finish_s, "s", "time")
    return found


def report(hours: list[Hour], finish_s: float) -> None:
    """The last line and what it comes to."""
    first, last = hours[0].row(), hours[-1].row()
    print(f"hour {len(hours)}: {last}")
    print(f"mean hop, last hour against first: {last['hop_ms_mean'] / first['hop_ms_mean']:.2f};", end=" ")
    if len(hours) > 2:  # the first hour fills the models' memory
        growth = (hours[-1].memory_mib - hours[0].memory_mib) / (len(hours) - 1)
        print(f"memory grows by {growth:.1f} MiB an hour;", end=" ")
    print(f"the final result took {finish_s:.1f} s")


if __name__ == "__main__":
    main()
