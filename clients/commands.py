"""What the commands of turnstream do; clients/cli.py reads their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from turnstream.errors import AudioError
from turnstream.weights.store import demo_recording, models_list, models_pull, models_remove, models_where

from .engine import EngineStream, load_engine, stitcher_config
from .options import DemoOptions, FileOptions, MicOptions, ModelOptions, ServeOptions
from .outputs import Outputs, Stdout, complain, say
from .people import Names
from .run import choose_display, conclude, run, standard_output
from .sources.devices import input_devices
from .sources.source import MicrophoneSource, RecordingSource, Source

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer
    from turnstream.people.person import Person


def file(options: FileOptions) -> int:
    """Diarize recordings one after another; one that cannot be read does not stop the others."""
    readable = [path for path in options.paths if _opens(path, options.engine.channel)]  # before weights are fetched
    code = 0 if len(readable) == len(options.paths) else 1
    if not readable:
        return code
    stitcher_config(options.engine)  # before the weights are fetched
    stdout = standard_output()
    outputs = Outputs(stdout, options.outputs, readable)
    names = Names(options.names, len(options.paths))
    with load_engine(options.engine) as diarizer:
        known = names.known(diarizer.voice_model)
        for path in readable:
            if path is not readable[0] and not options.outputs.json:
                stdout.write("\n")
            try:
                with RecordingSource(path, options.engine.channel, options.realtime) as source:
                    _diarize(source, diarizer, options, outputs, stdout, known, names)
            except AudioError as error:
                code = complain(str(error))
            if outputs.unread:
                break
    return code


def demo(options: DemoOptions) -> int:
    """The demo recording, by default at the pace at which it was spoken."""
    recording, _ = demo_recording()
    return file(FileOptions((recording,), options.realtime, options.engine, options.names, options.outputs))


def mic(options: MicOptions) -> int:
    """A microphone until Ctrl-C, `--seconds`, or until it is gone; all of them end with the final result."""
    stitcher_config(options.engine)  # before the weights are fetched
    source = MicrophoneSource(options.microphone, options.engine.channel)
    stdout = standard_output()
    outputs = Outputs(stdout, options.outputs, [source.path])
    names = Names(options.names)
    with load_engine(options.engine) as diarizer, source:
        _diarize(source, diarizer, options, outputs, stdout, names.known(diarizer.voice_model), names)
    return 0


def serve(options: ServeOptions) -> int:
    """The websocket server until Ctrl-C or SIGTERM; then sessions finish."""
    from .serve import serve_until_stopped

    with load_engine(options.weights) as diarizer:
        return serve_until_stopped(diarizer, options)


def devices() -> int:
    """One line for each microphone, the default one marked."""
    found = input_devices()
    if not found:
        return complain("no microphone was found: connect one and check that the system lists it as an input")
    for device in found:
        mark = "*" if device.is_default else " "
        shape = f"{device.channels} channels, {device.rate_hz} Hz, {device.host_api}"
        say(f"{mark} {device.number:3d}  {device.name:<40}  {shape}")
    return 0


def models(options: ModelOptions) -> int:
    """The weights: list, fetch, find, remove."""
    match options.action:
        case "pull":
            models_pull(options.names)
        case "where":
            say(str(models_where()))
            return 0
        case "remove":
            for path in models_remove(options.names):
                say(f"removed {path}")
            return 0
    for status in models_list():
        size = f"{status.size_bytes / 1e6:.1f} MB" if status.size_bytes else ""
        say(f"{status.name:<14}{status.state:<9}{size:>8}  {status.license:<11} {status.description}")
    return 0


def doctor() -> int:
    """What turnstream runs on here, and what slows it down."""
    from .doctor import examine

    warnings = []
    for finding in examine():
        say(f"{finding.name:<22}{finding.value}")
        warnings += [finding.warning] if finding.warning else []
    for warning in warnings:
        say(f"warning: {warning}")
    if not warnings:
        say("all is well")
    return 0


def _opens(path: Path, channel: int | None) -> bool:
    try:
        with RecordingSource(path, channel, realtime=False):
            return True
    except AudioError as error:
        complain(str(error))
        return False


def _diarize(
    source: Source,
    diarizer: Diarizer,
    options: FileOptions | MicOptions,
    outputs: Outputs,
    stdout: Stdout,
    known: list[Person],
    names: Names,
) -> None:
    """One source, start to end; raises what cut it short, after what came before is finished and shown."""
    stream = EngineStream.open(diarizer, options.engine, source, known, names)
    outputs.begin(source.path, latency=options.engine.latency_s, **source.facts)
    display = choose_display(source, options.outputs, options.engine.latency_s, stdout)
    outcome = run(source, stream, outputs, display)
    names.keep(stream.session, diarizer.voice_model)
    conclude(outcome, source, options.outputs, stdout, timed=not source.live)
    names.check()
