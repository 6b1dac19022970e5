"""A recording's final result in one call."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from turnstream.events import Final
from turnstream.people.person import Person
from turnstream.stitching.config import StitcherConfig

from .sources.file import AudioFile
from .sources.source import engine_channel

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer


def diarize(
    path: Path | str,
    *,
    diarizer: Diarizer | None = None,
    channel: int | None = None,
    speakers: int | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
    known: Sequence[Person] = (),
    stitcher: StitcherConfig | None = None,
) -> Final:
    """Who spoke when in a recording: `diarize("meeting.wav").turns`.

    path: any format that `turnstream file` reads; it names the recording in the result. channel: the only one to use,
    counted from 1; None mixes all. diarizer: models that are loaded already, else they are loaded for this call. The
    others are those of `Diarizer.session`. Raises TurnstreamError: AudioError where the file cannot be read to its end.
    """
    with contextlib.ExitStack() as opened:
        recording = opened.enter_context(AudioFile(path))  # a wrong path is reported before the models are loaded
        number = engine_channel(channel, recording.channels, str(path))
        engine = opened.enter_context(_loaded()) if diarizer is None else diarizer
        session = engine.session(
            sample_rate_hz=recording.rate_hz,
            channels=recording.channels,
            channel=number,
            speakers=speakers,
            min_speakers=min_speakers,
            max_speakers=max_speakers,
            known=known,
            live=False,
            stitcher=stitcher,
        )
        for block in recording.blocks():
            session.feed(block)
        return replace(session.close(), recording=recording.path.stem)


def _loaded() -> Diarizer:
    from turnstream.diarizer import Diarizer

    return Diarizer()
