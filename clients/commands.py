"""What the commands of turnstream do; clients/cli.py reads their options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from turnstream import heap
from turnstream.errors import AudioError
from turnstream.weights.store import demo_recording, models_list, models_pull, models_remove, models_where

from .batch import Batch, Place
from .engine import load_engine, open_stream, stitcher_config
from .options import FileOptions, MicOptions, ModelOptions, ServeOptions
from .outputs import Outputs, Stdout, complain, say
from .people import Names
from .results import Result, Voices, keep
from .run import choose_display, conclude, run, standard_output
from .sources.devices import input_devices
from .sources.source import MicrophoneSource, Source

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer
    from turnstream.people.person import Person


def file(options: FileOptions) -> int:
    """Diarize recordings one after another; one that cannot be read does not stop the others."""
    batch = Batch(options)  # before weights are fetched
    if not batch.paths:
        return 1
    stitcher_config(options.engine)  # before the weights are fetched
    stdout = standard_output()
    outputs = Outputs(stdout, options.outputs, batch.paths)
    names = Names(options.names, len(options.paths))
    heap.keep_little()
    with load_engine(options.engine) as diarizer:
        run_with = Engine(diarizer, options, outputs, stdout, names.known(diarizer.voice_model), names)
        for place in batch.places():
            if place.number > 1 and not options.outputs.json:
                stdout.write("\n")
            try:
                with batch.open(place.path) as source:
                    run_with.diarize(source, place)
            except AudioError as error:
                batch.failed = bool(complain(str(error)))
                continue
            if outputs.unread or source.stopped:
                break
    return 1 if batch.failed else 0


def demo(options: FileOptions) -> int:
    """The demo recording, by default at the pace at which it was spoken."""
    recording, _ = demo_recording()
    return file(replace(options, paths=(recording,)))


def mic(options: MicOptions) -> int:
    """A microphone until Ctrl-C, `--seconds`, or until it is gone; all of them end with the final result."""
    stitcher_config(options.engine)  # before the weights are fetched
    source = MicrophoneSource(options.microphone, options.engine.channel)
    stdout = standard_output()
    outputs = Outputs(stdout, options.outputs, [source.path])
    names = Names(options.names)
    with load_engine(options.engine) as diarizer, source:
        Engine(diarizer, options, outputs, stdout, names.known(diarizer.voice_model), names).diarize(source)
    return 0


def serve(options: ServeOptions) -> int:
    """The websocket server until Ctrl-C or SIGTERM; then sessions finish. Or servers on a cluster."""
    if options.ray is not None:
        from .cluster.deployment import deploy

        return deploy(options)
    from .serve import serve_until_stopped

    heap.limit_arenas()
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


def completion(shell: str) -> int:
    """The script that completes the command in this shell."""
    import shtab

    from .arguments import parser

    print(shtab.complete(parser(), shell))
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


@dataclass(frozen=True, slots=True)
class Engine:
    """The loaded engine, and all that a run of it over one source needs."""

    diarizer: Diarizer
    options: FileOptions | MicOptions
    outputs: Outputs
    stdout: Stdout
    known: list[Person]
    names: Names

    def diarize(self, source: Source, place: Place | None = None) -> None:
        """One source, start to end; raises what cut it short, after what came before is finished and shown."""
        options = self.options
        followed = source.live or options.outputs.json or options.outputs.live_rttm is not None
        stream = open_stream(self.diarizer, options.engine, source, self.known, self.names, live=followed)
        self.outputs.begin(source.path, latency=options.engine.latency_s, **source.facts)
        display = choose_display(source, options.outputs, options.engine.latency_s, self.stdout, place)
        outcome = run(source, stream, self.outputs, display)
        stream.keep_names(self.diarizer.voice_model)
        if options.outputs.keep:
            voices = Voices(self.diarizer.voice_model, stream.voices)
            keep(options.outputs.keep, Result(outcome.final, voices))
        conclude(outcome, source, options.outputs, self.stdout, timed=not source.live)
        self.names.check()
