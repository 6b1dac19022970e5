"""`turnstream connect`: a recording or the microphone on a server, shown and written as `file` and `mic` do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from turnstream.events import Event, Final

from .access_token import read_token
from .options import ConnectOptions
from .outputs import Outputs, warn
from .remote.connection import websocket_url
from .remote.session import RemoteAudio, RemoteSession
from .run import choose_display, conclude, run, standard_output
from .sources.source import MicrophoneSource, RecordingSource, Source, Step
from .terminal.screen import RunStatus


class RemoteStream:
    """A session on a server, with what the server reports about itself in the status of the run."""

    def __init__(self, session: RemoteSession, live: bool):
        self._session, self._live = session, live

    @property
    def audio(self) -> RemoteAudio:
        """What went in."""
        return self._session.audio

    @property
    def position_s(self) -> float:
        """Seconds of audio given."""
        return self._session.position_s

    def steps(self, source: Source) -> Iterator[Step]:
        """What becomes known, up to the final result. Raises TurnstreamError."""
        status = RunStatus(0.0)
        for events, status in source.steps(self._session):
            yield events, self._seen(status)
        for events in self._session.rest():
            yield events, self._seen(status)

    def flush(self) -> list[Event]:
        """The audio is over; what became known by its rest, as far as the server could report it."""
        return self._session.flush()

    def close(self) -> Final:
        """The final result; where the session was lost, what was known then."""
        return self._session.close()

    def live_rttm(self, recording: str) -> str:
        """The turns as they were first committed."""
        return self._session.live_rttm(recording)

    def _seen(self, status: RunStatus) -> RunStatus:
        """A recording that is not `live` stands where the server is."""
        reported, trouble = self._session.status, self._session.trouble
        position_s = status.position_s if self._live else reported.processed_s if reported else 0.0
        backlog_s = max(status.backlog_s, reported.backlog_s) if reported else status.backlog_s
        notice = f"{trouble}, trying again" if trouble else status.notice
        return replace(status, position_s=position_s, backlog_s=backlog_s, notice=notice)


def connect(options: ConnectOptions) -> int:
    """Diarizes on the server that `options.url` names. Raises TurnstreamError."""
    websocket_url(options.url)  # before a microphone is opened
    source = _source(options)
    stdout = standard_output()
    outputs = Outputs(stdout, options.outputs, [source.path])
    with _session(options, source) as session, source:
        outputs.begin(source.path, latency=options.latency_s, **source.facts)
        display = choose_display(source, options.outputs, options.latency_s, stdout)
        outcome = run(source, RemoteStream(session, source.live), outputs, display)
    if session.status and session.status.warning:
        warn(f"{source.title}: {session.status.warning}")
    conclude(outcome, source, options.outputs, stdout, timed=False)
    return 0


def _source(options: ConnectOptions) -> Source:
    if options.file is None:
        return MicrophoneSource(options.microphone, options.channel)
    return RecordingSource(options.file, options.channel, options.realtime)


def _session(options: ConnectOptions, source: Source) -> RemoteSession:
    return RemoteSession(
        options.url,
        sample_rate_hz=source.rate_hz,
        channels=source.channels,
        channel=source.channel,
        hop_s=options.hop_s,
        latency_s=options.latency_s,
        activity=options.activity,
        min_speakers=options.min_speakers,
        max_speakers=options.max_speakers,
        known=options.known,
        token=read_token(options.token_file),
    )
