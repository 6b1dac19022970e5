"""What the commands of turnstream do; their options are in stream/cli.py."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.devices import MicrophoneError, choose_device, input_devices
from clients.file import AudioFile, paced
from clients.microphone import SILENCE_DBFS, Gap, Microphone
from clients.outputs import Outputs, Stdout, complain
from clients.run import choose_display, conclude, engine, follow
from clients.screen import Status
from stream.errors import AudioError
from stream.events import Event
from stream.weights import demo_recording, models_list, models_pull, models_remove, models_where

if TYPE_CHECKING:
    from stream.diarizer import Diarizer, Session

PACED_BLOCK_S, FAST_BLOCK_S = 0.1, 1.0
METER_FALL_DB_PER_S = 20.0


def run_file(args: Namespace) -> int:
    """Diarize recordings one after another; one that cannot be read does not stop the others."""
    return _run_recordings([Path(path) for path in args.paths], args.realtime, args)


def run_demo(args: Namespace) -> int:
    """The demo recording, by default at the pace at which it was spoken."""
    recording, _ = demo_recording()
    return _run_recordings([recording], not args.fast, args)


def run_mic(args: Namespace) -> int:
    """A microphone until Ctrl-C, `--seconds`, or until it is gone; all of them end with the final result."""
    source = Path(args.record or "microphone")
    stdout = Stdout(sys.stdout)
    outputs = Outputs(stdout, args.json, args.rttm, args.live_rttm, [source])
    device = choose_device(args.device)  # before the weights are fetched
    record = Path(args.record) if args.record else None
    with (
        engine(args) as diarizer,
        _quiet_libraries(),
        Microphone(device.number, args.channel or 1, record) as microphone,
        _ctrl_c_stops(microphone),
    ):
        session = diarizer.session(
            sample_rate_hz=microphone.rate_hz,
            channels=microphone.channels,
            channel=_channel(args.channel, microphone.channels, device.name),
            latency_s=args.latency,
        )
        outputs.begin(source, device=device.name, latency_s=args.latency)
        display = choose_display(args, True, stdout, device.name, args.seconds)
        outcome = follow(session, _heard_steps(session, microphone, args.seconds), display, outputs, source)
    conclude(outcome, device.name, args, stdout)
    return 0


def run_serve(args: Namespace) -> int:
    """The websocket server until Ctrl-C or SIGTERM; then sessions finish."""
    from clients.serve import config_of, serve_until_stopped

    config = config_of(args)  # before the weights are fetched
    with engine(args) as diarizer:
        return serve_until_stopped(diarizer, config, args)


def run_devices(args: Namespace) -> int:
    """One line for each microphone, the default one marked."""
    devices = input_devices()
    if not devices:
        return complain("no microphone was found: connect one and check that the system lists it as an input")
    for device in devices:
        mark = "*" if device.is_default else " "
        shape = f"{device.channels} channels, {device.rate_hz} Hz, {device.host_api}"
        print(f"{mark} {device.number:3d}  {device.name:<40}  {shape}")
    return 0


def run_models(args: Namespace) -> int:
    """The weights: list, fetch, find, remove."""
    match args.action:
        case "pull":
            models_pull(args.names)
        case "where":
            print(models_where())
            return 0
        case "remove":
            for path in models_remove(args.names):
                print(f"removed {path}")
            return 0
    for status in models_list():
        size = f"{status.size_bytes / 1e6:.1f} MB" if status.size_bytes else ""
        print(f"{status.name:<14}{status.state:<9}{size:>8}  {status.licence:<11} {status.description}")
    return 0


def run_doctor(args: Namespace) -> int:
    """What turnstream runs on here, and what slows it down."""
    from clients.doctor import examine

    warnings = []
    for finding in examine():
        print(f"{finding.name:<22}{finding.value}", flush=True)
        warnings += [finding.warning] if finding.warning else []
    for warning in warnings:
        print(f"warning: {warning}")
    if not warnings:
        print("all is well")
    return 0


def _run_recordings(paths: list[Path], realtime: bool, args: Namespace) -> int:
    readable = [path for path in paths if _opens(path, args.channel)]  # before the weights are fetched
    code = 0 if len(readable) == len(paths) else 1
    if not readable:
        return code
    stdout = Stdout(sys.stdout)
    outputs = Outputs(stdout, args.json, args.rttm, args.live_rttm, readable)
    with engine(args) as diarizer:
        for path in readable:
            if path is not readable[0] and not args.json:
                stdout.write("\n")
            try:
                _diarize(diarizer, path, realtime, args, outputs, stdout)
            except AudioError as error:
                code = complain(str(error))
            if outputs.unread:
                break
    return code


def _opens(path: Path, channel: int | None) -> bool:
    try:
        with AudioFile(path) as recording:
            _channel(channel, recording.channels, str(path))
    except AudioError as error:
        complain(str(error))
        return False
    return True


def _diarize(diarizer: Diarizer, path: Path, realtime: bool, args: Namespace, outputs: Outputs, stdout: Stdout) -> None:
    """One recording, start to end; raises AudioError where it cannot be read, after what could be."""
    with AudioFile(path) as recording:
        session = diarizer.session(
            sample_rate_hz=recording.rate_hz,
            channels=recording.channels,
            channel=_channel(args.channel, recording.channels, str(path)),
            latency_s=args.latency,
        )
        display = choose_display(args, realtime, stdout, path.name, recording.duration_s)
        outputs.begin(path, latency_s=args.latency, duration_s=round(recording.duration_s, 3))
        begun_s = time.monotonic()
        outcome = follow(session, _steps(session, recording, realtime), display, outputs, path)
        processing_s = None if realtime else time.monotonic() - begun_s
    conclude(outcome, path.name, args, stdout, processing_s)


def _steps(session: Session, recording: AudioFile, realtime: bool) -> Iterator[tuple[list[Event], Status]]:
    blocks = recording.blocks(PACED_BLOCK_S if realtime else FAST_BLOCK_S)
    samples, begun_s = 0, time.monotonic()
    for block in paced(blocks, recording.rate_hz) if realtime else blocks:
        events = session.feed(block)
        samples += len(block)
        position_s = samples / recording.rate_hz
        backlog_s = max(time.monotonic() - begun_s - position_s, 0.0) if realtime else 0.0
        yield events, Status(position_s, recording.duration_s, backlog_s)


def _heard_steps(
    session: Session, microphone: Microphone, limit_s: float | None
) -> Iterator[tuple[list[Event], Status]]:
    samples, level_db, begun_s = 0, SILENCE_DBFS, None
    for heard in microphone:
        begun_s = begun_s or time.monotonic()
        if isinstance(heard, Gap):
            events, length = session.gap(heard.samples), heard.samples
        else:
            events, length = session.feed(heard.samples), len(heard.samples)
            level_db = max(heard.level.peak_dbfs, level_db - METER_FALL_DB_PER_S * length / microphone.rate_hz)
        samples += length
        position_s = samples / microphone.rate_hz
        backlog_s = max(time.monotonic() - begun_s - position_s, 0.0)
        yield events, Status(position_s, limit_s, backlog_s, level_db, microphone.recording_problem or "")
        if limit_s is not None and position_s >= limit_s:
            return
    if microphone.ended:
        raise MicrophoneError(microphone.ended)


@contextlib.contextmanager
def _ctrl_c_stops(microphone: Microphone) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the audio, and the final result still comes; the second one does not wait."""

    def stop(number: int, frame: object) -> None:
        microphone.stop()
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """ALSA and PortAudio write to file descriptor 2, into the live screen; Python's stderr goes on as before."""
    python_stderr, saved, nowhere = sys.stderr, os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    sys.stderr = os.fdopen(saved, "w", buffering=1, errors="replace", closefd=False)
    try:
        yield
    finally:
        sys.stderr = python_stderr
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _channel(number: int | None, channels: int, source: str) -> int | None:
    """The engine's channel, counted from 0, for the user's, counted from 1."""
    if number is not None and number > channels:
        raise AudioError(f"expected a channel of {source} from 1 to {channels}, got {number}")
    return None if number is None else number - 1
