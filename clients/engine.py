"""The engine as the commands use it: loaded with its options, and one stream of it as a run follows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console

from turnstream import heap
from turnstream.errors import TurnstreamError
from turnstream.events import Event, Final
from turnstream.people.person import Person
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.profile import Profile
from turnstream.weights.artifacts import EMBEDDING, SEGMENTATION
from turnstream.weights.store import models_pull

from .channels import ChannelsStream
from .options import EngineOptions, WeightOptions
from .people import Names
from .sources.source import Source, Step

if TYPE_CHECKING:
    from turnstream.audio.input import AudioInput
    from turnstream.diarizer import Diarizer
    from turnstream.session import Session


def load_engine(weights: WeightOptions) -> Diarizer:
    """The models, fetched where they have to be. Raises WeightsError."""
    # Imported only here: a wrong path or device should be reported at once, not after the engine is loaded.
    from turnstream.diarizer import Diarizer

    fetch_models(weights)
    with Console(stderr=True).status("loading the models (the first time they are compiled, about half a minute)"):
        diarizer = Diarizer(weights.segmentation, weights.embedding)
    heap.leave_to_stay()
    heap.trim()  # the checkpoints that the networks were made from are as large as these
    return diarizer


def fetch_models(weights: WeightOptions) -> None:
    """Fetch the published weights that are asked for and not there yet. Raises WeightsError."""
    own = {SEGMENTATION.name: weights.segmentation, EMBEDDING.name: weights.embedding}
    if missing := [name for name, path in own.items() if path is None]:
        models_pull(missing)  # shows its own progress, where there is anything to fetch


def stitcher_config(options: EngineOptions) -> StitcherConfig:
    """The stitcher's constants that the options ask for. Raises TurnstreamError for a file that has none."""
    config = StitcherConfig.from_json(options.stitcher) if options.stitcher else StitcherConfig()
    config = config.for_people(min_speakers=options.min_speakers, max_speakers=options.max_speakers)
    return replace(config, force_speaker=True) if options.force_speaker else config


def open_stream(
    diarizer: Diarizer,
    options: EngineOptions,
    source: Source,
    known: Sequence[Person],
    names: Names,
    *,
    live: bool,
) -> EngineStream | ChannelsStream:
    """What hears the source: a session, or one for each of its channels; only `live` ones have events on the way.

    Raises TurnstreamError for options that do not go together.
    """
    if not options.speaker_per_channel:
        return EngineStream.open(diarizer, options, source, known, names, live=live)
    if options.channel is not None or known or names.given:
        raise TurnstreamError(
            "--speaker-per-channel names by channel: expected it without --channel, --known and --save"
        )
    one = replace(options, max_speakers=1, min_speakers=None)
    channels = range(source.channels)
    streams = [EngineStream.open(diarizer, one, source, (), names, n, live=live) for n in channels]
    return ChannelsStream([stream.session for stream in streams])


@dataclass(frozen=True, slots=True)
class EngineStream:
    """A session of the engine, whose speakers are named when the audio is over."""

    session: Session
    names: Names

    @classmethod
    def open(
        cls,
        diarizer: Diarizer,
        options: EngineOptions,
        source: Source,
        known: Sequence[Person],
        names: Names,
        channel: int | None = None,
        *,
        live: bool,
    ) -> EngineStream:
        """A session as the options ask for it, for the audio of `source` or for one channel of it, from 0.

        Only a `live` one has events on the way.
        """
        session = diarizer.session(
            sample_rate_hz=source.rate_hz,
            channels=source.channels,
            channel=source.channel if channel is None else channel,
            hop_s=options.hop_s,
            latency_s=options.latency_s,
            revision_interval_s=options.revision_interval_s,
            revision_reach_s=options.revision_reach_s,
            stitcher=stitcher_config(options),
            known=known,
            activity=options.activity,
            live=live,
        )
        return cls(session, names)

    @property
    def audio(self) -> AudioInput:
        """What went in."""
        return self.session.audio

    @property
    def position_s(self) -> float:
        """Seconds of audio received."""
        return self.session.position_s

    @property
    def voices(self) -> Mapping[str, Profile]:
        """The voices of the speakers who have said enough."""
        return self.session.voices

    def keep_names(self, voice_model: str) -> None:
        """Save the voices of those whom the user named."""
        self.names.keep(self.session, voice_model)

    def steps(self, source: Source) -> Iterator[Step]:
        """What becomes known while the source is heard."""
        return source.steps(self.session)

    def flush(self) -> list[Event]:
        """Ends the audio: what becomes known by its last samples, and the names that the user gives."""
        events = self.session.flush()
        heap.trim()  # the result of hours needs memory that the models had
        self.session.close()
        return [*events, *self.names.name(self.session)]

    def close(self) -> Final:
        """The final result."""
        return self.session.close()

    def live_rttm(self, recording: str) -> str:
        """The turns as they were first committed."""
        return self.session.live_rttm(recording)
