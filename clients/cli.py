"""The turnstream command: options, exit codes and errors; what the commands do is in clients/commands.py.

Exit codes: 0 done, 1 something the user can mend (one sentence on stderr), 2 wrong options, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from turnstream.errors import TurnstreamError

from .arguments import parser
from .outputs import complain, swallow, warn

if TYPE_CHECKING:
    from .options import ServeOptions

T = TypeVar("T")
PAGE = Path(__file__).parent / "web"
LOCAL, ANY_ADDRESS = "127.0.0.1", "0.0.0.0"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    warnings.showwarning = _show_warning  # no file names and line numbers for users
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # names and bars that the terminal's encoding lacks
    try:
        try:
            return _run(parser().parse_args(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        swallow(sys.stdout)
        return 0
    except TurnstreamError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        return complain("stopped", code=130)


def _run(args: argparse.Namespace) -> int:
    # Imported only now: the help and a wrong option should not wait for the engine.
    match args.command:
        case "file" | "batch" | "demo" | "mic" | "connect":
            return _diarize(args)
        case "enroll":
            from .enroll import enroll
            from .options import EnrollOptions, WeightOptions

            return enroll(options_of(EnrollOptions, args, paths=_paths(args), weights=options_of(WeightOptions, args)))
        case "people":
            from .options import PeopleOptions
            from .people import people

            return people(options_of(PeopleOptions, args))
        case "name" | "words" | "score":
            return _of_results(args)
        case "tune":
            from .evaluation.tune import tune
            from .options import TuneOptions

            return tune(options_of(TuneOptions, args))
        case _:
            return _operate(args)


def _diarize(args: argparse.Namespace) -> int:
    from . import options as of
    from .commands import demo, file, mic
    from .connect import connect

    outputs = options_of(of.OutputOptions, args)
    if args.command == "connect":
        microphone = options_of(of.MicrophoneOptions, args)
        return connect(options_of(of.ConnectOptions, args, microphone=microphone, outputs=outputs))
    engine = options_of(of.EngineOptions, args)
    if args.command == "batch":
        from .archive.batch import batch

        return batch(options_of(of.BatchOptions, args, engine=engine))
    names = options_of(of.NameOptions, args)
    match args.command:
        case "file":
            stdin = options_of(of.InputOptions, args)
            return file(of.FileOptions(_paths(args), args.realtime, stdin, engine, names, outputs))
        case "demo":
            return demo(of.FileOptions((), not args.fast, of.InputOptions(), engine, names, outputs))
        case _:
            return mic(of.MicOptions(options_of(of.MicrophoneOptions, args), engine, names, outputs))


def _of_results(args: argparse.Namespace) -> int:
    from . import options as of
    from .name import name, words

    if args.command == "score":
        from .evaluation.score import score

        return score(options_of(of.ScoreOptions, args))
    options = options_of(of.ResultOptions, args, outputs=options_of(of.OutputOptions, args))
    return name(options) if args.command == "name" else words(options)


def _operate(args: argparse.Namespace) -> int:
    from . import commands
    from .options import ModelOptions

    match args.command:
        case "serve":
            return commands.serve(_serve_options(args))
        case "models":
            return commands.models(options_of(ModelOptions, args))
        case "devices":
            return commands.devices()
        case "completion":
            return commands.completion(args.shell)
        case _:
            return commands.doctor()


def _serve_options(args: argparse.Namespace) -> ServeOptions:
    """Raises ServerError for what does not go together, before the weights are fetched."""
    from turnstream.server.config import ServerConfig
    from turnstream.server.tenants import read_tenants
    from turnstream.stores.store import open_store

    from .access_token import read_token, warn_if_open
    from .options import ServeOptions, WeightOptions

    tenants = read_tenants(args.tenants) if args.tenants else ()
    token = None if tenants and not args.token_file else read_token(args.token_file)
    if args.ray is not None:
        _check_cluster(args)
    config = options_of(ServerConfig, args, token=token, tenants=tenants, page=PAGE)
    if tenants:
        warn_if_open(args.tenants)
    config.tls()  # a wrong certificate is reported now
    if config.store:
        open_store(config.store, config.keep_s).close()  # and a wrong store
    if config.tls_key:
        warn_if_open(config.tls_key)
    return options_of(ServeOptions, args, config=config, weights=options_of(WeightOptions, args))


def _check_cluster(args: argparse.Namespace) -> None:
    """Raises TurnstreamError for what makes no sense on a cluster."""
    if args.host != LOCAL:
        raise TurnstreamError("expected no --host with --ray: each server listens on the address of its node")
    if args.store is None:
        raise TurnstreamError("expected --store with --ray: sessions go from one server to another")
    args.host = ANY_ADDRESS


def options_of(kind: type[T], args: argparse.Namespace, **given: Any) -> T:
    """The dataclass `kind` from the options that are called like its fields, and from what is `given`."""
    names = [entry.name for entry in fields(kind)]  # type: ignore[arg-type]
    return kind(**{**{name: _frozen(getattr(args, name)) for name in names if name in args}, **given})


def _paths(args: argparse.Namespace) -> tuple[Path, ...]:
    return tuple(Path(path) for path in args.paths)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _show_warning(message: Warning | str, *where: object, **more: object) -> None:
    warn(str(message))
