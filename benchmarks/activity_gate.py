"""Windows that the activity path saves, and what that costs in DER: the engine itself, with the gate and without."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.results import Figure
from benchmarks.stand_ins import Remembering
from turnstream.audio.input import AudioInput
from turnstream.clients.evaluation.recordings import Extents, LazyModels, Recording, Turns
from turnstream.clients.evaluation.scoring import COLLARS_S, Errors, pooled, score
from turnstream.events import Turn
from turnstream.models.activity import ActivityPath
from turnstream.models.segmentation import POWERSET
from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ

LATENCY_S = 1.0
FEED_SAMPLES = 160  # 10 ms, so that it is known when an event came
TALK_S, PAUSE_S = 60, 60
PAUSE_RMS = 0.002


@dataclass(frozen=True)
class Annotated:
    """A stream with its reference, as `score` wants it."""

    name: str
    wave: NDArray[np.float32]
    reference: list[RttmSegment]
    extents_s: Extents
    windows: dict[int, NDArray[np.bool_]]  # start sample -> local activity, where it is known
    answers: dict[bytes, Any] = field(default_factory=dict)  # of the models, by the bytes they were asked


class Counting(Remembering):
    """The models, with windows and embeddings counted; windows that the stream knows are answered from it."""

    def __init__(self, models: Any, stream: Annotated):
        super().__init__(models, stream.answers)
        self._known = stream.windows
        self.windows = self.embeddings = 0

    def segment(self, window: NDArray[np.float32], start_sample: int, state: Any) -> tuple[NDArray[np.float32], Any]:
        self.windows += 1
        if start_sample in self._known:
            return _log_probabilities(self._known[start_sample]), state
        return super().segment(window, start_sample, None)[0], state  # not the next of a stream, so computed whole

    def embed(self, crops: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        self.embeddings += len(crops)
        return super().embed(crops)


@dataclass
class Onsets:
    """How soon the engine tells that somebody begins to talk after at least a second of silence."""

    known_s: list[float]
    told: int = 0
    retracted: int = 0

    def report(self) -> str:
        if not self.known_s:
            return "no onsets"
        delays = np.array(self.known_s)
        shares = f"{100 * (delays <= 0.3).mean():.0f} % within 0.3 s, {100 * (delays <= 0.6).mean():.0f} % within 0.6 s"
        return f"{len(delays)} onsets, first told {np.median(delays):.2f} s after they begin (median); {shares}"


@dataclass
class Scores:
    """Errors so far, one for each collar."""

    errors: tuple[Errors, ...] = (Errors(),) * len(COLLARS_S)

    def add(self, stream: Annotated | Recording, turns: Turns) -> None:
        """Those of one more stream."""
        self.errors = tuple(pooled(both) for both in zip(self.errors, score(stream, turns), strict=True))  # type: ignore[arg-type]

    def cells(self) -> str:
        """DER, false alarm, missed, confusion in %, by collar."""
        return "   |  ".join("  ".join(f"{100 * share:5.1f}" for share in e.shares) for e in self.errors)


def gate(recordings: list[Recording]) -> dict[str, Figure]:
    """Every recording with and without the activity path; then the first two of them with pauses between minutes."""
    found: dict[str, Figure] = {}
    talks = [_annotated(recording) for recording in recordings]
    models = LazyModels().get()
    paused = [_with_pauses(talk) for talk in talks[:2]]
    titles = (("as_they_are", "as they are", talks), ("paused", f"{TALK_S} s of talk, {PAUSE_S} s of pause", paused))
    for key, name, streams in titles:
        print(f"\n{name}: {sum(len(s.wave) for s in streams) / SAMPLE_RATE_HZ / 60:.0f} min")
        counts: dict[bool, tuple[int, int]] = {}
        for with_gate in (False, True):
            live, final, windows, embeddings, onsets = Scores(), Scores(), 0, 0, Onsets([])
            for stream in streams:
                counting = Counting(models, stream)
                session = _run(stream, counting, with_gate, onsets)
                live.add(stream, _turns(session.live_rttm("x")))
                final.add(stream, _turns(session.close().to_rttm("x")))
                windows, embeddings = windows + counting.windows, embeddings + counting.embeddings
            counts[with_gate] = windows, embeddings
            label = "with the gate" if with_gate else "every window"
            print(f"{label:14} {windows} windows, {embeddings} embeddings; {onsets.report()}")
            print(f"  {'live 1 s':9} {live.cells()}\n  {'final':9} {final.cells()}", flush=True)
            row = f"{key}.{'gate' if with_gate else 'every_window'}"
            found[f"{row}.windows"] = Figure(windows, "windows", "count")
            found[f"{row}.embeddings"] = Figure(embeddings, "embeddings", "count")
            found[f"{row}.live_1s.collar_0.der"] = Figure(100 * live.errors[0].der, "%", "error")
            found[f"{row}.final.collar_0.der"] = Figure(100 * final.errors[0].der, "%", "error")
            if onsets.known_s:
                found[f"{row}.onset.p50"] = Figure(float(np.median(onsets.known_s)), "s", "error")
        saved = 1 - counts[True][0] / counts[False][0]
        told = f"turns told without a speaker {onsets.told}, of them retracted {onsets.retracted}"
        print(f"windows saved: {100 * saved:.1f} %; {told}", flush=True)
        found[f"{key}.windows_saved"] = Figure(100 * saved, "%", "error", "higher")
    return found


def _run(stream: Annotated, models: Counting, with_gate: bool, onsets: Onsets) -> Session:
    path = ActivityPath(models) if with_gate else None
    session = Session(models, AudioInput(), StitcherConfig(), Timeline(LATENCY_S), activity=path)
    begun = _begun_s(stream)
    told: set[str] = set()
    for at in range(0, len(stream.wave), FEED_SAMPLES):
        for event in session.feed(stream.wave[at : at + FEED_SAMPLES]):
            if isinstance(event, Turn):
                new = event.id not in told
                told.add(event.id)
                onsets.told += new and event.speaker is None
                onsets.retracted += event.state == "retracted" and event.speaker is None
                _note(event, (at + FEED_SAMPLES) / SAMPLE_RATE_HZ, begun, onsets)
    session.flush()
    return session


def _begun_s(stream: Annotated) -> list[float]:
    """Where somebody begins to talk in the reference after a second in which nobody did."""
    begun, silent_since = [], -1.0
    for turn in sorted(stream.reference, key=lambda turn: turn.start_s):
        if turn.start_s - silent_since >= 1.0:
            begun.append(turn.start_s)
        silent_since = max(silent_since, turn.end_s)
    return begun


def _note(turn: Turn, now_s: float, begun: list[float], onsets: Onsets) -> None:
    """The first event that tells of an onset: a turn which begins within half a second of it."""
    start_s = (turn.start_frame * FRAME_SAMPLES + FRAME_OFFSET_SAMPLES) / SAMPLE_RATE_HZ
    for onset_s in [s for s in begun if abs(s - start_s) <= 0.5 and turn.state != "retracted"]:
        onsets.known_s.append(now_s - onset_s)
        begun.remove(onset_s)


def _turns(rttm: str) -> list[RttmSegment]:
    return [segment for segments in parse_rttm(rttm).values() for segment in segments]


def _annotated(recording: Recording) -> Annotated:
    wave, _ = soundfile.read(recording.path, dtype="float32")
    windows = {first_frame * FRAME_SAMPLES: active for first_frame, active in recording.windows()}
    return Annotated(recording.path.stem, wave, recording.reference, recording.extents_s, windows)


def _log_probabilities(active: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Such that `activity` reads `active` in them. Shapes: (T, 3) -> (T, 7)."""
    said: NDArray[np.bool_] = (active[:, None] == POWERSET).all(axis=2)
    return np.where(said, 0.0, -20.0).astype(np.float32)


def _with_pauses(talk: Annotated) -> Annotated:
    """The talk with a minute of a quiet room behind every minute of it."""
    rng, waves, reference = np.random.default_rng(0), list[NDArray[np.float32]](), list[RttmSegment]()
    size = TALK_S * SAMPLE_RATE_HZ
    for number, at in enumerate(range(0, len(talk.wave), size)):
        pause = rng.normal(0, PAUSE_RMS, PAUSE_S * SAMPLE_RATE_HZ).astype(np.float32)
        waves += [talk.wave[at : at + size], pause]
        begin_s, shift_s = number * TALK_S, number * PAUSE_S
        for turn in talk.reference:
            start_s, end_s = max(turn.start_s, begin_s), min(turn.end_s, begin_s + TALK_S)
            if start_s < end_s:
                reference.append(RttmSegment(shift_s + start_s, shift_s + end_s, turn.speaker))
    wave = np.concatenate(waves)
    return Annotated(talk.name, wave, reference, ((0.0, len(wave) / SAMPLE_RATE_HZ),), {})
