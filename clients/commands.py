"""What the commands of turnstream do; their options are in clients/cli.py."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from turnstream.errors import AudioError
from turnstream.people.person import Person
from turnstream.weights.store import demo_recording, models_list, models_pull, models_remove, models_where

from .outputs import Outputs, Stdout, complain, report
from .people import Names
from .run import choose_display, conclude, engine, follow, open_session, stitcher_config
from .sources.devices import choose_device, input_devices
from .sources.file import AudioFile
from .sources.microphone import Microphone
from .sources.quiet import quiet_libraries
from .steps import ctrl_c_stops, engine_channel, microphone_steps, recording_steps

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer


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
    stitcher_config(args)  # before the weights are fetched
    device = choose_device(args.device)
    names = Names(args)
    record = Path(args.record) if args.record else None
    with (
        engine(args) as diarizer,
        quiet_libraries(),
        Microphone(device.number, args.channel or 1, record) as microphone,
        ctrl_c_stops(microphone),
    ):
        channel = engine_channel(args.channel, microphone.channels, device.name)
        session = open_session(
            diarizer, args, microphone.rate_hz, microphone.channels, channel, names.known(diarizer.voice_model)
        )
        outputs.begin(source, device=device.name, latency_s=args.latency)
        display = choose_display(args, True, stdout, device.name, args.seconds)
        steps = microphone_steps(session, microphone, args.seconds)
        outcome = follow(session, steps, display, outputs, source, lambda: names.name(session))
        names.keep(session, diarizer.voice_model)
    conclude(outcome, device.name, args, stdout)
    names.check()
    return 0


def run_enroll(args: Namespace) -> int:
    """Learn a voice from recordings of one person."""
    from .people import enroll

    return enroll(args)


def run_people(args: Namespace) -> int:
    """The people whose voices are known."""
    from .people import people

    return people(args)


def run_serve(args: Namespace) -> int:
    """The websocket server until Ctrl-C or SIGTERM; then sessions finish."""
    from .serve import config_of, serve_until_stopped

    config = config_of(args)  # before the weights are fetched
    with engine(args) as diarizer:
        return serve_until_stopped(diarizer, config, args)


def run_connect(args: Namespace) -> int:
    """A recording or a microphone, diarized by a server."""
    from .connect import connect

    return connect(args)


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
        print(f"{status.name:<14}{status.state:<9}{size:>8}  {status.license:<11} {status.description}")
    return 0


def run_tune(args: Namespace) -> int:
    """Search the stitcher's constants on labelled recordings, and say what that gained on others."""
    from .evaluation.tune import tune

    return tune(args)


def run_doctor(args: Namespace) -> int:
    """What turnstream runs on here, and what slows it down."""
    from .doctor import examine

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
    stitcher_config(args)  # before the weights are fetched
    stdout = Stdout(sys.stdout)
    outputs = Outputs(stdout, args.json, args.rttm, args.live_rttm, readable)
    names = Names(args, len(paths))
    with engine(args) as diarizer:
        known = names.known(diarizer.voice_model)
        for path in readable:
            if path is not readable[0] and not args.json:
                stdout.write("\n")
            try:
                _diarize(diarizer, path, realtime, args, outputs, stdout, known, names)
            except AudioError as error:
                code = complain(str(error))
            if outputs.unread:
                break
    return code


def _opens(path: Path, channel: int | None) -> bool:
    try:
        with AudioFile(path) as recording:
            engine_channel(channel, recording.channels, str(path))
    except AudioError as error:
        complain(str(error))
        return False
    return True


def _diarize(
    diarizer: Diarizer,
    path: Path,
    realtime: bool,
    args: Namespace,
    outputs: Outputs,
    stdout: Stdout,
    known: Sequence[Person],
    names: Names,
) -> None:
    """One recording, start to end; raises AudioError where it cannot be read, after what could be."""
    with AudioFile(path) as recording:
        channel = engine_channel(args.channel, recording.channels, str(path))
        session = open_session(diarizer, args, recording.rate_hz, recording.channels, channel, known)
        display = choose_display(args, realtime, stdout, path.name, recording.duration_s)
        outputs.begin(path, latency_s=args.latency, duration_s=round(recording.duration_s, 3))
        begun_s = time.monotonic()
        outcome = follow(
            session, recording_steps(session, recording, realtime), display, outputs, path, lambda: names.name(session)
        )
        report(recording)
        processing_s = None if realtime else time.monotonic() - begun_s
    names.keep(session, diarizer.voice_model)
    conclude(outcome, path.name, args, stdout, processing_s)
    names.check()
