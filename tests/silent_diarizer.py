"""A diarizer without weights for tests of the server around it: it hears tones, and answers at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tone_speakers import ToneModels

from turnstream.audio.input import AudioInput
from turnstream.models.batcher import Counts
from turnstream.people.naming import Known, Naming
from turnstream.people.person import Person
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import hop_at_most

MODEL = "a" * 64


class SilentModels(ToneModels):
    """Of all sessions; `then` is called before each window."""

    then: Callable[[], object] = staticmethod(lambda: None)
    live, threads, is_alive, stalled_s, waiting_s = True, 1, True, 0.0, 0.0

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()

    def client(self) -> SilentModels:
        return self

    def initial_state(self) -> None: ...

    def segment(self, window: np.ndarray, start: int, state: object) -> tuple[np.ndarray, None]:
        self.then()
        return super().segment(window, start, state)


class SilentDiarizer:
    """In the place of `Diarizer`."""

    voice_model = MODEL

    def __init__(self) -> None:
        self.models = SilentModels()

    def session(
        self,
        *,
        sample_rate_hz: int,
        channels: int,
        encoding: str,
        latency_s: float,
        hop_s: float = 0.5,
        known: Sequence[Person] = (),
        models: Any = None,
        activity: bool = False,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
    ) -> Session:
        assert not activity
        assert min_speakers is None
        assert max_speakers is None
        naming = Naming([Known(person.name, person.profile_for(MODEL)) for person in known])
        audio = AudioInput(sample_rate_hz, channels, encoding)
        asked, timeline = models or self.models, Timeline(latency_s)
        return Session(asked, audio, StitcherConfig(), timeline, naming, hop_frames=hop_at_most(hop_s))


def steady() -> SilentDiarizer:
    """Its models answer by the question alone, however often they are asked."""
    made = SilentDiarizer()
    made.models._noise = 0.0
    return made
