"""`turnstream enroll`: learn a voice from recordings of one person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from turnstream.errors import EnrollmentError, TurnstreamError
from turnstream.people.enrollment import sole_voice
from turnstream.people.naming import NamingConfig, check_name, log_odds
from turnstream.people.store import PeopleStore
from turnstream.stitching.profile import Profile, mean_profile

from .engine import load_engine
from .options import EnrollOptions
from .outputs import report, say
from .sources.file import AudioFile
from .sources.reader import Floats
from .sources.source import engine_channel

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer


def enroll(options: EnrollOptions) -> int:
    """Learn a voice from recordings of one person, and keep it."""
    store, name, paths = PeopleStore(options.people), check_name(options.name), options.paths
    if (options.begin_s is not None or options.end_s is not None) and len(paths) > 1:
        raise TurnstreamError(f"--from and --to are for one recording: expected 1, got {len(paths)}")
    for path in paths:  # before the weights are fetched
        with AudioFile(path) as recording:
            engine_channel(options.channel, recording.channels, str(path))
            _bounds(recording, options.begin_s, options.end_s)
    with load_engine(options.weights) as diarizer:
        voices: list[Profile] = []
        for path in paths:
            voice = _voice(diarizer, path, options)
            if voices and float(log_odds([voice], [mean_profile(voices)], NamingConfig())[0, 0]) < 0:
                raise EnrollmentError(f"{path} does not sound like {paths[0]}: expected recordings of one person")
            voices.append(voice)
        person = store.save(name, mean_profile(voices), diarizer.voice_model, replace_old=options.replace)
    say(f"{person.name}: known by {person.clean_s:.1f} s of clean speech")
    return 0


def _voice(diarizer: Diarizer, path: Path, options: EnrollOptions) -> Profile:
    """The voice of the one person in a recording; raises EnrollmentError, which names it."""
    with AudioFile(path) as recording:
        channel = engine_channel(options.channel, recording.channels, str(path))
        session = diarizer.session(sample_rate_hz=recording.rate_hz, channels=recording.channels, channel=channel)
        with Console(stderr=True).status(f"listening to {path.name}"):
            for block in _section(recording, options.begin_s, options.end_s):
                session.feed(block)
        report(recording)
        try:
            return sole_voice(session)
        except EnrollmentError as error:
            raise EnrollmentError(f"{path}: {error}") from None


def _bounds(recording: AudioFile, begin_s: float | None, end_s: float | None) -> tuple[int, int]:
    """The samples from `begin_s` to `end_s`. Raises TurnstreamError where there are none."""
    start = round((begin_s or 0.0) * recording.rate_hz)
    end = recording.total_samples if end_s is None else min(round(end_s * recording.rate_hz), recording.total_samples)
    if start >= end:
        shown = f"{start / recording.rate_hz:g} to {end / recording.rate_hz:g} s of {recording.duration_s:.1f} s"
        raise TurnstreamError(f"{recording.path}: expected --from before --to and before the end, got {shown}")
    return start, end


def _section(recording: AudioFile, begin_s: float | None, end_s: float | None) -> Iterator[Floats]:
    """The blocks of a recording from `begin_s` to `end_s`."""
    start, end = _bounds(recording, begin_s, end_s)
    at = 0
    for block in recording.blocks():
        piece = block[max(0, start - at) : max(0, end - at)]
        if len(piece):
            yield piece
        at += len(block)
        if at >= end:
            return
