"""Live against offline: how far what a listener was told in time is from what the whole recording says.

Every recording as a stream of its own, then all of them as one long stream (`streams.shuffled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.drifts.compare import Span, boundaries, errors_in, mapped, speakers, talk_seconds
from benchmarks.drifts.streams import Source, Stream, Told, hear, lay, shuffled
from benchmarks.results import Figure
from turnstream import offline
from turnstream.audio.input import AudioInput
from turnstream.clients.evaluation.recordings import LazyModels, Turns, turns_of
from turnstream.clients.evaluation.scoring import Errors, pooled
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import FRAME_SAMPLES, SAMPLE_RATE_HZ

LATENCIES_S = (0.5, 1.0, 2.0, 5.0)
MINUTES = (1, 5)
CHUNK_SAMPLES = 320


@dataclass
class Row:
    """One latency: what is pooled over streams."""

    errors: dict[str, list[Errors]] = field(default_factory=dict)
    distances: list[NDArray[np.float64]] = field(default_factory=list)
    unmatched: int = 0
    live_s: float = 0.0
    offline_s: float = 0.0
    live_speakers: int = 0
    offline_speakers: int = 0

    def add(self, told: Turns, reference: Turns, spans: dict[str, Span]) -> None:
        """One stream, and the places in it that are of interest."""
        said = mapped(reference, told)
        for (name, _), errors in zip(spans.items(), errors_in(reference, said, list(spans.values())), strict=True):
            self.errors.setdefault(name, []).append(errors)
        distances, unmatched = boundaries(reference, said)
        self.distances.append(distances)
        self.unmatched += unmatched
        self.live_s += talk_seconds(told)
        self.offline_s += talk_seconds(reference)
        self.live_speakers += speakers(told)
        self.offline_speakers += speakers(reference)

    def figures(self, name: str) -> dict[str, Figure]:
        """Under `NAME.`."""
        distances = np.concatenate(self.distances)
        share = self.unmatched / max(1, self.unmatched + len(distances))
        made = {f"der.{place}": _percent(pooled(errors).der) for place, errors in self.errors.items()}
        if len(distances):
            made["boundary.p50"], made["boundary.p95"] = (
                Figure(float(np.percentile(distances, p)), "s", "error") for p in (50, 95)
            )
        made["boundary.unmatched"] = _percent(share)
        made["talk"] = Figure(self.live_s / max(self.offline_s, 1e-9), "of offline", "error", "neither")
        made["speakers"] = Figure(self.live_speakers, "speakers", "count", "neither")
        return {f"{name}.{key}": figure for key, figure in made.items()}


def places(duration_s: float) -> dict[str, Span]:
    """All of a stream, its first and fifth minute, and, where it lasts longer than an hour, its hours."""
    found = {"all": (0.0, duration_s)}
    found |= {f"minute_{n}": (60.0 * (n - 1), 60.0 * n) for n in MINUTES if 60 * n <= duration_s}
    if duration_s > 3600:
        edges = [*range(0, int(duration_s), 3600), duration_s]
        edges = edges[:-2] + edges[-1:] if edges[-1] - edges[-2] < 1800 else edges  # no hour of a few minutes
        found |= {f"hour_{n}": (float(start), float(end)) for n, (start, end) in enumerate(pairwise(edges), 1)}
        found["last_hour"] = (duration_s - 3600, duration_s)
    return found


def compare(streams: Sequence[Stream]) -> tuple[dict[float, Row], int]:
    """Every latency pooled over streams, and frames in which a final result was not the offline one."""
    rows, different = {latency: Row() for latency in LATENCIES_S}, 0
    for stream in streams:
        told = hear(stream, LATENCIES_S)
        different += told.different_frames
        add(rows, told, stream.duration_s)
    return rows, different


def add(rows: dict[float, Row], told: Told, duration_s: float) -> None:
    """One stream to the rows of all latencies."""
    for latency, row in rows.items():
        row.add(told.live[latency], told.offline, places(duration_s))


def from_audio(source: Source, models: LazyModels) -> int:
    """Frames in which the engine, from audio, does not end at what `streams.hear` says from kept windows.

    They may differ where somebody talks when the recording ends: in `hear` silence follows. Raises SystemExit where
    the live session does not end at the result of `turnstream.offline`, to the byte.
    """
    samples, _ = soundfile.read(source.recording.path, dtype="float32")
    chunks = [samples[at : at + CHUNK_SAMPLES] for at in range(0, len(samples), CHUNK_SAMPLES)]
    live = Session(models.get(), AudioInput(), StitcherConfig(), Timeline(1.0))
    for chunk in chunks:
        live.feed(chunk)
    final = live.close().to_rttm("x")
    if _unnumbered(final) != _unnumbered(offline.diarize(models.get(), AudioInput(), chunks).to_rttm("x")):
        raise SystemExit(f"drift decisions: {source.recording.name}: expected final = offline, they differ")
    reference = turns_of(final)
    kept = mapped(reference, hear(lay([source]), [1.0], offline=False).final)
    (errors,) = errors_in(reference, kept, [(0.0, source.recording.duration_s)])
    wrong_s = errors.false_alarm_s + errors.missed_s + errors.confusion_s
    return round(wrong_s * SAMPLE_RATE_HZ / FRAME_SAMPLES)


def _unnumbered(rttm: str) -> list[tuple[float, float, int]]:
    """Turns with speakers numbered in order of appearance."""
    numbers: dict[str, int] = {}
    return [(turn.start_s, turn.end_s, numbers.setdefault(turn.speaker, len(numbers))) for turn in turns_of(rttm)]


def measure(sources: Sequence[Source], models: LazyModels, hours: float, seed: int) -> dict[str, Figure]:
    """Figures; no long stream where `hours` is 0. Raises SystemExit where final is not offline."""
    shortest = min(sources, key=lambda source: source.frames)
    apart = from_audio(shortest, models)
    rows, different = compare([lay([source]) for source in sources])
    found = {"recordings": rows}
    if hours:
        found["stream"], more = compare([shuffled(sources, hours, seed)])
        different += more
    figures = {
        "final_not_offline": Figure(different, "frames", "count"),
        "from_audio_not_from_cache": Figure(apart, "frames", "count"),
    }
    for kind, of_kind in found.items():
        any_row = of_kind[LATENCIES_S[0]]
        figures[f"{kind}.offline_speakers"] = Figure(any_row.offline_speakers, "speakers", "count", "neither")
        for latency, row in of_kind.items():
            figures |= row.figures(f"{kind}.{latency:g}s")
    if different:
        raise SystemExit(f"drift decisions: expected final = offline, got {different} frames that differ")
    return figures


def table(figures: dict[str, Figure]) -> str:
    """For people."""
    lines = [
        f"final result against offline: {figures['final_not_offline'].value:g} frames differ;"
        f" from audio against from cache: {figures['from_audio_not_from_cache'].value:g}"
    ]
    for kind in ("recordings", "stream"):
        head = f"{kind}.{LATENCIES_S[0]:g}s.der."
        spots = [name.removeprefix(head) for name in figures if name.startswith(head)]
        if not spots:
            continue
        count = figures[f"{kind}.offline_speakers"].value
        lines.append(f"\n{kind}: DER against offline, %, collar 0 ({count:g} speakers offline)")
        lines.append(f"{'':6}" + "".join(f"{spot:>11}" for spot in spots) + "   boundary p50  p95 s  unmatched %  talk")
        for latency in LATENCIES_S:
            key = f"{kind}.{latency:g}s"
            at = [figures[f"{key}.der.{spot}"].value for spot in spots]
            p50, p95 = (figures[f"{key}.boundary.{p}"].value for p in ("p50", "p95"))
            rest = f"{p50:15.3f}{p95:7.3f}{figures[f'{key}.boundary.unmatched'].value:13.1f}"
            talk, told = figures[f"{key}.talk"].value, figures[f"{key}.speakers"].value
            lines.append(
                f"{latency:4g} s" + "".join(f"{v:11.1f}" for v in at) + f"{rest}{talk:6.3f}  {told:g} speakers"
            )
    return "\n".join(lines)


def _percent(share: float) -> Figure:
    return Figure(100 * share, "%", "error")
