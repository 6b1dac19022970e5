"""The engine: `Diarizer` holds the models and their threads, and opens a `Session` for each stream of audio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .audio.input import AudioInput, Chunk
from .models.activity import ActivityPath
from .models.batcher import Batcher, ModelClient
from .people.enrollment import sole_voice
from .people.naming import Known, Naming
from .people.person import Person, weights_id
from .session import Session
from .stitching.config import StitcherConfig
from .stitching.profile import Profile
from .timeline.timeline import Timeline
from .weights.store import embedding_weights, segmentation_weights
from .windows import RECORD_FRAMES, SAMPLE_RATE_HZ, hop_at_most


class Diarizer:
    """Loads the weights once, warms up, and makes sessions. Use as a context manager, or call `close()`.

    segmentation, embedding: own checkpoints (`.bin`, `.pt`, `.ckpt`, `.safetensors`); by default the published
    weights, fetched on first use. Raises WeightsError when they cannot be had.
    """

    def __init__(self, segmentation: Path | str | None = None, embedding: Path | str | None = None):
        voices = embedding_weights(embedding)
        self.voice_model = weights_id(voices)  # profiles made with other weights cannot be compared
        self.models = Batcher(segmentation_weights(segmentation), voices)

    def session(
        self,
        *,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        channels: int = 1,
        channel: int | None = None,
        encoding: str = "pcm_s16le",
        hop_s: float = 0.5,
        latency_s: float = 1.0,
        revision_interval_s: float = 1.0,
        revision_reach_s: float = math.inf,
        stitcher: StitcherConfig | None = None,
        speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        known: Sequence[Person] = (),
        activity: bool = False,
        live: bool = True,
        models: ModelClient | None = None,
    ) -> Session:
        """A new stream; many can be open at once, in as many threads. Raises TurnstreamError for a number out of range
        (see `AudioInput`, `Timeline`, `StitcherConfig`) and for a person enrolled with another embedding model.

        known: speakers who sound like one of these people get their name.
        speakers, min_speakers, max_speakers: how many people there are, as far as that is known. Nobody beyond the most
        is ever reported; the least is kept in the final result.
        hop_s: audio between two windows. A shorter hop tells sooner who is speaking and costs more; it does not change
        the final result. The longest possible hop that is not longer is taken (`Session.hop_s`).
        live: False gives no event before the final result, which is the same, in a fraction of the time.
        activity: report as well whether anyone speaks and whether speech overlaps, every 0.1 s (`Activity` events) and
        onsets of speech within 0.3 s; and compute no window in which nobody speaks.
        models: a client of `self.models`, where the stream's requests are not always live.
        """
        audio = AudioInput(sample_rate_hz, channels, encoding, channel)
        timeline = Timeline(latency_s, revision_interval_s=revision_interval_s, revision_reach_s=revision_reach_s)
        naming = Naming([Known(person.name, person.profile_for(self.voice_model)) for person in known])
        path = ActivityPath(models or self.models) if activity else None
        config = (stitcher or StitcherConfig()).for_people(speakers, min_speakers, max_speakers)
        hop_frames = hop_at_most(hop_s) if live else RECORD_FRAMES
        return Session(models or self.models, audio, config, timeline, naming, path, hop_frames=hop_frames, live=live)

    def enroll(self, samples: Chunk, *, sample_rate_hz: int = SAMPLE_RATE_HZ, channels: int = 1) -> Profile:
        """The voice of the one person who talks in these samples (see `Session.feed`); save it with a PeopleStore.

        Raises EnrollmentError where several people talk, or nobody for long enough.
        """
        session = self.session(sample_rate_hz=sample_rate_hz, channels=channels, live=False)
        session.feed(samples)
        return sole_voice(session)

    def close(self) -> None:
        """Ends the model threads; sessions still open cannot go on."""
        self.models.close()

    def __enter__(self) -> Diarizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
