"""`turnstream connect`: a recording or the microphone on a server, shown and written as `file` and `mic` do."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from turnstream.events import Event

from .outputs import Outputs, Stdout, report, warn
from .remote.connection import websocket_url
from .remote.session import RemoteSession
from .run import Outcome, Steps, choose_display, conclude, follow
from .sources.devices import choose_device
from .sources.file import AudioFile
from .sources.microphone import Microphone
from .sources.quiet import quiet_libraries
from .steps import ctrl_c_stops, engine_channel, microphone_steps, recording_steps
from .terminal.screen import Status
from .token import read_token


def connect(args: Namespace) -> int:
    """Diarizes on the server that `args.url` names. Raises TurnstreamError."""
    websocket_url(args.url)  # before a microphone is opened
    return _microphone(args) if args.mic else _recording(args)


def _recording(args: Namespace) -> int:
    path, stdout = Path(args.file), Stdout(sys.stdout)
    with AudioFile(path) as recording:
        channel = engine_channel(args.channel, recording.channels, str(path))
        outputs = Outputs(stdout, args.json, args.rttm, args.live_rttm, [path])
        with _session(args, recording.rate_hz, recording.channels, channel) as session:
            display = choose_display(args, args.realtime, stdout, path.name, recording.duration_s)
            outputs.begin(path, latency_s=args.latency, duration_s=round(recording.duration_s, 3))
            steps = recording_steps(session, recording, args.realtime)
            outcome = follow(session, _watched(steps, session, args.realtime), display, outputs, path)
        report(recording)
    return _conclude(outcome, session, path.name, args, stdout)


def _microphone(args: Namespace) -> int:
    source, stdout = Path(args.record or "microphone"), Stdout(sys.stdout)
    outputs = Outputs(stdout, args.json, args.rttm, args.live_rttm, [source])
    device = choose_device(args.device)
    channels, record = args.channel or 1, Path(args.record) if args.record else None
    channel = engine_channel(args.channel, device.channels, device.name)
    with (
        _session(args, device.rate_hz, channels, channel) as session,
        quiet_libraries(),
        Microphone(device.number, channels, record) as microphone,
        ctrl_c_stops(microphone),
    ):
        outputs.begin(source, device=device.name, latency_s=args.latency)
        display = choose_display(args, True, stdout, device.name, args.seconds)
        steps = microphone_steps(session, microphone, args.seconds)
        outcome = follow(session, _watched(steps, session, live=True), display, outputs, source)
    return _conclude(outcome, session, device.name, args, stdout)


def _session(args: Namespace, rate_hz: int, channels: int, channel: int | None) -> RemoteSession:
    return RemoteSession(
        args.url,
        sample_rate_hz=rate_hz,
        channels=channels,
        channel=channel,
        latency_s=args.latency,
        activity=args.activity,
        known=args.known,
        token=read_token(args.token_file),
    )


def _watched(steps: Steps, session: RemoteSession, live: bool) -> Iterator[tuple[list[Event], Status]]:
    """The steps with what the server says of itself, to the final result."""
    status = Status(0.0)
    for events, status in steps:
        yield events, _seen(status, session, live)
    for events in session.rest():
        yield events, _seen(status, session, live)


def _seen(status: Status, session: RemoteSession, live: bool) -> Status:
    """A recording that is not `live` stands where the server is."""
    told = session.status
    position_s = status.position_s if live else told.processed_s if told else 0.0
    backlog_s = max(status.backlog_s, told.backlog_s) if told else status.backlog_s
    notice = f"{session.trouble}, trying again" if session.trouble else status.notice
    return replace(status, position_s=position_s, backlog_s=backlog_s, notice=notice)


def _conclude(outcome: Outcome, session: RemoteSession, title: str, args: Namespace, stdout: Stdout) -> int:
    """The table, what the server had to say about the audio, and why it ended the session, if it did."""
    if session.status and session.status.warning:
        warn(f"{title}: {session.status.warning}")
    conclude(outcome, title, args, stdout)
    return 0
