"""The engine without the models: its stitchers and a timeline for each latency over what the models said."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from benchmarks.accuracy.stability import Listener
from turnstream.clients.evaluation.recordings import Recording, Turns, turns_of
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.stitchers import Stitchers
from turnstream.timeline.timeline import Timeline
from turnstream.windows import FRAME_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES


@dataclass
class Outcome:
    """Hypotheses of one recording by row name, and what else was seen."""

    turns: dict[str, Turns] = field(default_factory=dict)
    listeners: dict[float, Listener] = field(default_factory=dict)
    stitch_s: list[float] = field(default_factory=list)
    speakers: int = 0  # in the final result
    told: int = 0  # ids told at any time
    alive_s: dict[int, float] = field(default_factory=dict)  # talk of the ids that have turns when the stream ends

    @property
    def revised_s(self) -> dict[float, float]:
        """Seconds of committed speech whose speaker was changed, by latency."""
        return {latency: listener.revised_s for latency, listener in self.listeners.items()}


def run(recording: Recording, latencies_s: list[float], config: StitcherConfig) -> Outcome:
    """Every window of a recording, then the final result."""
    stitchers, timelines = Stitchers(config), {latency: Timeline(latency) for latency in latencies_s}
    outcome = Outcome(listeners={latency: Listener(recording.end_frame) for latency in latencies_s})
    for first_frame, active in recording.windows():
        started = time.perf_counter()
        crops = stitchers.observe(first_frame, active)
        seen = time.perf_counter()
        vectors = recording.embed_all(crops)
        embedded = time.perf_counter()
        labels = stitchers.assign(vectors)
        horizon = max(0, first_frame + len(active))
        told = {latency: timeline.update(labels, horizon) for latency, timeline in timelines.items()}
        outcome.stitch_s.append(time.perf_counter() - embedded + seen - started)
        heard_s = min(recording.duration_s, (first_frame * FRAME_SAMPLES + WINDOW_SAMPLES) / SAMPLE_RATE_HZ)
        for latency, records in told.items():
            outcome.listeners[latency].hear(records, horizon, heard_s)
    final_labels = stitchers.finish(recording.embed_all)
    recording.keep()
    for latency, timeline in timelines.items():
        outcome.turns[f"revised {latency:g} s"] = turns_of(timeline.rttm("x"))
        outcome.told = len(timeline.speakers)
        outcome.alive_s = talk_s(timeline)
        final = timeline.finish(final_labels, recording.end_frame)
        outcome.turns[f"live {latency:g} s"] = turns_of(timeline.live_rttm("x"))
        outcome.turns["first"] = outcome.listeners[latency].first_turns()
        outcome.turns["final"] = turns_of(timeline.rttm("x"))
        outcome.listeners[latency].end(final.turns, recording.duration_s)
        outcome.speakers = len([speaker for speaker, _ in final.talk_frames if speaker is not None])
    return outcome


def talk_s(timeline: Timeline) -> dict[int, float]:
    """Seconds of each speaker's turns as they stand."""
    talk: dict[int, float] = {}
    for turn in timeline.turns:
        if turn.speaker is not None:
            frames = turn.end_frame - turn.start_frame
            talk[turn.speaker] = talk.get(turn.speaker, 0.0) + frames * FRAME_SAMPLES / SAMPLE_RATE_HZ
    return talk
