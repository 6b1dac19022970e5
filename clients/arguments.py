"""The commands of turnstream, their options and the help: everything that argparse knows."""

from __future__ import annotations

import argparse
import math
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from turnstream.errors import TurnstreamError
from turnstream.events import speaker_name, speaker_number
from turnstream.limits import MAX_LATENCY_S, MIN_LATENCY_S
from turnstream.people.naming import check_name

PEOPLE_HELP = "the folder of the people (default: $TURNSTREAM_PEOPLE, else one in your data folder)"


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is; exit code 2."""
        self.exit(2, f"turnstream: {message} (see {self.prog} --help)\n")


class Exactly(argparse.Action):
    """One number for both ends of a range."""

    def __call__(
        self, parser: argparse.ArgumentParser, args: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        """See argparse."""
        args.min_speakers = args.max_speakers = value


def parser() -> Parser:
    """All commands and their options; destinations are named like the fields of clients/options.py."""
    top = Parser(prog="turnstream", description="Who is speaking now: streaming speaker diarization.")
    top.add_argument("--version", action="version", version=f"turnstream {metadata.version('turnstream')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    _add_file(commands.add_parser("file", help="diarize recordings"))
    _add_batch(commands.add_parser("batch", help="diarize a folder of recordings, here or on a cluster"))
    _add_mic(commands.add_parser("mic", help="diarize a microphone, live, until Ctrl-C"))
    commands.add_parser("devices", help="list the microphones")
    _add_serve(commands.add_parser("serve", help="run the websocket server"))
    _add_connect(commands.add_parser("connect", help="diarize on a server: a recording or the microphone"))
    _add_demo(commands.add_parser("demo", help="play the demo recording through the live engine"))
    _add_enroll(commands.add_parser("enroll", help="learn the voice of a person from recordings"))
    _add_people(commands.add_parser("people", help="the people whose voices are known: list, rename, delete, export"))
    _add_models(commands.add_parser("models", help="list, fetch, find or remove the weights"))
    _add_tune(commands.add_parser("tune", help="fit the stitcher to your own annotated recordings"))
    commands.add_parser("doctor", help="what turnstream runs on here, how fast, and what slows it down")
    return top


def _add_file(command: Parser) -> None:
    command.add_argument("paths", nargs="+", metavar="PATH", help="a recording in any format that libsndfile reads")
    command.add_argument("--realtime", action="store_true", help="play at the pace of the audio, with the live display")
    _add_engine(command)
    _add_names(command)
    _add_results(command)


def _add_batch(command: Parser) -> None:
    source = "a folder of recordings, or a text file with the path of one in each line"
    command.add_argument("source", type=Path, metavar="IN", help=source)
    out = "the folder of the results, an .rttm and a .json for each recording; what is there already is not done again"
    command.add_argument("out", type=Path, metavar="OUT", help=out)
    command.add_argument("--jobs", type=_count, metavar="N", help="processes (default: one for each core)")
    retries = "try a recording N times more whose process died (default: 2)"
    command.add_argument("--retries", type=_whole, default=2, metavar="N", help=retries)
    ray = "on the Ray cluster at this address, whose nodes share the folders (needs turnstream[cluster])"
    command.add_argument("--ray", metavar="ADDRESS", help=ray)
    _add_engine(command)


def _add_mic(command: Parser) -> None:
    _add_microphone(command)
    _add_engine(command)
    _add_names(command)
    _add_results(command)


def _add_microphone(command: Parser) -> None:
    command.add_argument("--device", metavar="DEVICE", help="number or part of the name (see turnstream devices)")
    command.add_argument("--seconds", type=_seconds, metavar="S", help="stop after S seconds")
    command.add_argument("--record", type=Path, metavar="PATH", help="keep the audio as a WAV file")


def _add_connect(command: Parser) -> None:
    command.add_argument("url", metavar="URL", help="the server, such as ws://127.0.0.1:8765 or HOST:PORT")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--mic", action="store_true", help="the microphone, live, until Ctrl-C")
    source.add_argument("--file", type=Path, metavar="PATH", help="a recording in any format that libsndfile reads")
    command.add_argument("--token-file", metavar="PATH", help="file with the server's token (or $TURNSTREAM_TOKEN)")
    command.add_argument("--realtime", action="store_true", help="a recording at the pace of the audio")
    _add_microphone(command)
    engine = command.add_argument_group("engine")
    _add_hearing(engine)
    engine.add_argument("--known", nargs="+", default=(), metavar="NAME", help="people whom the server knows by voice")
    _add_results(command)


def _add_serve(command: Parser) -> None:
    add = command.add_argument
    add("--host", default="127.0.0.1", help="listen here (default: 127.0.0.1, this machine only)")
    add("--port", type=int, default=8765, help="(default: 8765; 0: any that is free)")
    add("--token-file", metavar="PATH", help="the token that clients must send (or $TURNSTREAM_TOKEN)")
    tenants = "a token and a number of sessions for each of several tenants, as JSON: see docs/operating.md"
    add("--tenants", type=Path, metavar="PATH", help=tenants)
    no_token = "accept clients without a token even where other machines can reach --host"
    add("--no-token", dest="open_to_all", action="store_true", help=no_token)
    origin = "allow web pages from this origin, or * for any; may be given several times"
    add("--origin", dest="origins", action="append", default=[], metavar="URL", help=origin)
    add("--tls-cert", dest="tls_certificate", type=Path, metavar="PATH", help="serve wss:// with this PEM certificate")
    add("--tls-key", type=Path, metavar="PATH", help="and its PEM key")
    proxy = "believe X-Forwarded-For of the proxy at this address or network; may be given several times"
    add("--proxy", dest="proxies", action="append", default=[], metavar="ADDRESS", help=proxy)
    add("--root", default="turnstream", help="protocol on the path /: turnstream, pyannote or diart")
    store = "keep snapshots of sessions, so that they outlive this process: a folder or redis://HOST:6379/0"
    add("--store", metavar="URL", help=store)
    every = "write a session's snapshot every S seconds (default: 30)"
    add("--snapshots", dest="snapshot_s", type=_seconds, default=30.0, metavar="S", help=every)
    _add_limits(command.add_argument_group("limits"))
    models = command.add_argument_group("engine")
    models.add_argument("--people", type=Path, metavar="DIR", help=PEOPLE_HELP)
    _add_weights(models)


def _add_limits(group: argparse._ArgumentGroup) -> None:
    most = "most sessions at once (default: measured)"
    group.add_argument("--sessions", dest="max_sessions", type=int, metavar="N", help=most)
    for flag, field, count, meaning in (
        ("--sessions-per-address", "max_sessions_per_address", 32, "most sessions of one address"),
        ("--message-bytes", "max_message_bytes", 1 << 20, "longest message"),
    ):
        help_text = f"{meaning} (default: {count})"
        group.add_argument(flag, dest=field, type=int, default=count, metavar="N", help=help_text)
    for flag, field, seconds, meaning in (
        ("--handshake", "handshake_s", 10.0, "time for a client to start"),
        ("--idle", "idle_s", 60.0, "end sessions that send no audio for S seconds"),
        ("--session", "session_s", 28_800.0, "longest session"),
        ("--resume", "resume_s", 60.0, "resume window: time for a lost client to reconnect"),
        ("--shutdown", "shutdown_s", 30.0, "time for sessions to finish at shutdown"),
    ):
        help_text = f"{meaning} (default: {seconds:g})"
        group.add_argument(flag, dest=field, type=_seconds, default=seconds, metavar="S", help=help_text)


def _add_demo(command: Parser) -> None:
    command.add_argument("--fast", action="store_true", help="as fast as possible, not at the pace of the audio")
    _add_engine(command)
    _add_names(command)
    _add_results(command)


def _add_models(command: Parser) -> None:
    command.add_argument("action", nargs="?", choices=("list", "pull", "where", "remove"), default="list")
    command.add_argument("names", nargs="*", metavar="NAME", help="which ones (default: all)")


def _add_enroll(command: Parser) -> None:
    command.add_argument("name", metavar="NAME", help="whose voice it is; more recordings of a known person are added")
    command.add_argument("paths", nargs="+", metavar="FILE", help="recording in which only this person talks")
    command.add_argument("--from", dest="begin_s", type=_time, metavar="S", help="use the recording from here")
    command.add_argument("--to", dest="end_s", type=_time, metavar="S", help="use it up to here")
    command.add_argument(
        "--channel", type=_channel, metavar="N", help="use only this channel, from 1 (default: mix all)"
    )
    _add_store(command)
    _add_weights(command)


def _add_people(command: Parser) -> None:
    actions = ("list", "rename", "delete", "export", "import")
    command.add_argument("action", nargs="?", choices=actions, default="list")
    command.add_argument("names", nargs="*", metavar="NAME", help="names (import: files that export wrote)")
    command.add_argument("--to", metavar="PATH", help="export: write this file (default: standard output)")
    command.add_argument("--people", metavar="DIR", help=PEOPLE_HELP)


def _add_names(command: Parser) -> None:
    group = command.add_argument_group("names")
    known = "name speakers who sound like an enrolled person: all of them, or these; put it after the paths"
    group.add_argument("--known", nargs="*", metavar="NAME", help=known)
    save = "at the end, name a speaker and keep the voice; may be given several times"
    group.add_argument("--save", action="append", default=[], type=_save, metavar="S2=NAME", help=save)
    _add_store(group)


def _add_store(command: argparse._ActionsContainer) -> None:
    command.add_argument("--replace", action="store_true", help="replace the recorded voice instead of adding to it")
    command.add_argument("--people", metavar="DIR", help=PEOPLE_HELP)


def _add_engine(command: Parser) -> None:
    group = command.add_argument_group("engine")
    _add_hearing(group)
    group.add_argument("--force-speaker", action="store_true", help="always assign the most likely speaker")
    every = "at most one batch of revisions in S seconds of audio (default: 1)"
    seconds: dict[str, Any] = {"type": _not_negative, "metavar": "S"}
    group.add_argument("--revisions-every", dest="revision_interval_s", default=1.0, help=every, **seconds)
    reach = "revise no turn that ended more than S seconds ago (default: any turn)"
    group.add_argument("--revision-reach", dest="revision_reach_s", default=math.inf, help=reach, **seconds)
    _add_weights(group)
    group.add_argument("--stitcher", metavar="PATH", help="constants as turnstream tune writes them")


def _add_hearing(group: argparse._ArgumentGroup) -> None:
    latency = f"commit turns S seconds behind the audio, {MIN_LATENCY_S:g} to {MAX_LATENCY_S:g} (default: 1)"
    group.add_argument("--latency", dest="latency_s", type=_latency, default=1.0, metavar="S", help=latency)
    group.add_argument("--channel", type=_channel, metavar="N", help="use only this channel, from 1 (default: mix all)")
    for flag, meaning in (("--min-speakers", "at least N people talk"), ("--max-speakers", "at most N people talk")):
        group.add_argument(flag, type=_count, metavar="N", help=meaning)
    group.add_argument("--speakers", action=Exactly, type=_count, metavar="N", help="exactly N people talk")
    activity = "report every 0.1 s whether anyone speaks and whether speech overlaps"
    group.add_argument("--activity", action="store_true", help=activity)


def _add_weights(group: argparse._ActionsContainer) -> None:
    group.add_argument("--segmentation", metavar="PATH", help="own segmentation checkpoint")
    group.add_argument("--embedding", metavar="PATH", help="own embedding checkpoint")


def _add_tune(command: Parser) -> None:
    command.add_argument("paths", nargs="+", metavar="PATH", help="recordings with an .rttm beside each, or folders")
    command.add_argument("--out", metavar="PATH", help="write the constants found, for --stitcher")
    command.add_argument(
        "--trials", type=_count, default=60, metavar="N", help="sets of constants to try (default: 60)"
    )
    latency = "the latency tuned for, beside the final result (default: 1)"
    command.add_argument("--latency", dest="latency_s", type=_latency, default=1.0, metavar="S", help=latency)
    held_out = "share of the recordings that is only reported on (default: 0.4)"
    command.add_argument("--held-out", type=_share, default=0.4, metavar="SHARE", help=held_out)
    command.add_argument("--seed", type=_whole, default=0, metavar="N", help="of the split and the search (default: 0)")
    _add_weights(command)


def _add_results(command: Parser) -> None:
    group = command.add_argument_group("results")
    group.add_argument("--rttm", metavar="PATH", help="write the final turns; one file each in a folder")
    group.add_argument("--live-rttm", metavar="PATH", help="write the turns as they were committed, unrevised")
    group.add_argument("--json", action="store_true", help="every event as one JSON line on stdout, and nothing else")


def _latency(text: str) -> float:
    value = _number(text)
    if not MIN_LATENCY_S <= value <= MAX_LATENCY_S:
        raise argparse.ArgumentTypeError(f"latency must be {MIN_LATENCY_S:g} to {MAX_LATENCY_S:g} s, got {text}")
    return value


def _not_negative(text: str) -> float:
    value = _number(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"expected 0 seconds or more, got {text}")
    return value


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected more than 0 seconds, got {text}")
    return value


def _time(text: str) -> float:
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected 0 seconds or more, got {text}")
    return value


def _save(text: str) -> tuple[str, str]:
    tag, _, name = text.partition("=")
    speaker = speaker_name(speaker_number(tag))
    if speaker is None or not name:
        raise argparse.ArgumentTypeError(f"expected a speaker and a name like S2=Anna, got {text}")
    try:
        return speaker, check_name(name)
    except TurnstreamError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _share(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text}")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def _channel(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a channel number from 1, got {text}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text}") from None
