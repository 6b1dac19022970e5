"""A session that corrections are made in, its listener, and conversations of tones for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from silent_diarizer import SilentModels
from tone_speakers import TONES_HZ, conversation

from turnstream.audio.input import AudioInput
from turnstream.events import Event, Final, Revision, Speaker, Turn
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import SAMPLE_RATE_HZ

Spans = list[tuple[float, float, int]]


class Heard:
    """A session and a listener who keeps the rules of docs/protocol.md."""

    def __init__(self, audio: np.ndarray, models: SilentModels | None = None, config: StitcherConfig | None = None):
        self.audio = audio
        self.session = Session(models or SilentModels(), AudioInput(), config or StitcherConfig(), Timeline(1.0))
        self.table: dict[str, Turn] = {}
        self.speakers: set[str] = set()  # who appeared and was not merged
        self.gone: set[str] = set()  # whom the user merged
        self.events: list[Event] = []

    def hear(self, start_s: float, end_s: float) -> None:
        self.take(self.session.feed(self.audio[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]))

    def take(self, events: list[Event]) -> list[Event]:
        self.events += events
        for event in events:
            match event:
                case Turn(state="retracted"):
                    self.table.pop(event.id, None)
                case Turn():
                    self.table[event.id] = event
                    assert event.speaker is None or event.speaker in self.speakers
                case Revision():
                    assert event.new != event.old
                    assert event.new is None or event.new in self.speakers
                    for id_ in event.turns:
                        assert self.table[id_].speaker == event.old
                        self.table[id_] = replace(self.table[id_], speaker=event.new)
                case Speaker(state="appeared"):
                    assert event.id not in self.speakers
                    self.speakers.add(event.id)
                case Speaker(state="merged"):
                    assert event.into is None or event.into in self.speakers
                    self.speakers.remove(event.id)
                    assert all(turn.speaker != event.id for turn in self.table.values())
        assert not self.gone & self.speakers, "somebody who was merged was told of again"
        return events

    def longest(self, speaker: str | None = None) -> Turn:
        turns = [turn for turn in self.table.values() if speaker in (None, turn.speaker)]
        return max(turns, key=lambda turn: turn.end_s - turn.start_s)

    def end(self) -> Final:
        self.take(self.session.flush())
        return self.session.close()


def hummed(turns: Spans, length_s: float | None = None) -> np.ndarray:
    """(N,) float32: who hums (start, end, tone)."""
    length = round((length_s or max(end for _, end, _ in turns) + 0.7) * SAMPLE_RATE_HZ)
    samples = 1e-4 * np.random.default_rng(0).standard_normal(length)
    for start, end, tone in turns:
        place = np.arange(round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ))
        samples[place] += 0.1 * np.sin(2 * np.pi * TONES_HZ[tone] * place / SAMPLE_RATE_HZ)
    return samples.astype(np.float32)


def plain(final: Final) -> list[tuple[float, float, str | None, str | None]]:
    return [(turn.start_s, turn.end_s, turn.speaker, turn.name) for turn in final.turns]


def alike(final: Final, other: Final) -> bool:
    """Whether both are the same but for what speakers are called."""
    pairs = {(a.speaker, b.speaker) for a, b in zip(final.turns, other.turns, strict=True)}
    times = [[(turn.start_s, turn.end_s) for turn in one.turns] for one in (final, other)]
    return times[0] == times[1] and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def share(final: Final, turn: Turn, speaker: str) -> float:
    """Of the speech in the middle of a turn, how much is this speaker's."""
    here = [(t, min(t.end_s, turn.end_s) - max(t.start_s, turn.start_s)) for t in final.turns]
    said = sum(part for t, part in here if part > 0)
    return sum(part for t, part in here if part > 0 and t.speaker == speaker) / said


TALK = hummed(conversation(3, 16))
HALF_S, WHOLE_S = len(TALK) / SAMPLE_RATE_HZ / 2, len(TALK) / SAMPLE_RATE_HZ


def halfway() -> Heard:
    heard = Heard(TALK)
    heard.hear(0, HALF_S)
    assert len(heard.speakers) == 3
    return heard
