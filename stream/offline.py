"""The same models over a whole recording, nothing decided before its end: the reference that live streams end at."""

from __future__ import annotations

from collections.abc import Iterable

from .audio.input import AudioInput, Chunk
from .events import Final
from .models.activity import ActivityPath
from .session import Models, Session
from .stitching.config import StitcherConfig
from .timeline.timeline import Timeline


def diarize(
    models: Models,
    audio: AudioInput,
    chunks: Iterable[Chunk],
    config: StitcherConfig | None = None,
    activity: ActivityPath | None = None,
) -> Final:
    """The turns of a recording, given as chunks of any size that `audio` takes; speakers are numbered as they appear.

    No window is clustered and no label made until all are known. With an activity path, windows in which nobody speaks
    are left out, as a live session with one leaves them out. Raises AudioError for chunks that `audio` refuses.
    """
    session = Session(models, audio, config or StitcherConfig(), Timeline(), activity=activity, live=False)
    for chunk in chunks:
        session.feed(chunk)
    return session.close()
