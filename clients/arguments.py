"""The commands of turnstream, their options and the help."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import shtab

from . import argument_groups as groups
from . import argument_values as values
from .argument_groups import PEOPLE_HELP
from .argument_parser import Parser
from .logs import FORMATS, LEVELS
from .option_file import COMMANDS

RECORDING = "a recording: wav, flac, mp3, m4a, mp4, webm, ... (those of videos and phones need PyAV or ffmpeg)"
CONFIG_HELP = "a TOML file of options in a table with the command's name; the command line overrides it"


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
    _add_name(
        commands.add_parser("name", help="name the speakers of a result, and correct who talks, without another run")
    )
    _add_words(commands.add_parser("words", help="give the words of a transcript to the speakers of a result"))
    _add_score(commands.add_parser("score", help="how far a result is from a reference: DER, its parts, JER"))
    _add_tune(commands.add_parser("tune", help="fit the stitcher to your own annotated recordings"))
    for name in COMMANDS:
        commands.choices[name].add_argument("--config", metavar="PATH", help=CONFIG_HELP)
    commands.add_parser("doctor", help="what turnstream runs on here, how fast, and what slows it down")
    _add_completion(commands.add_parser("completion", help="print what makes the shell complete this command"))
    return top


def _add_file(command: Parser) -> None:
    command.add_argument("paths", nargs="+", metavar="PATH", help=f"{RECORDING}; - is standard input")
    command.add_argument("--realtime", action="store_true", help="play at the pace of the audio, with the live display")
    each = "each channel is one person's, as in recorded calls: S1 is channel 1"
    command.add_argument("--speaker-per-channel", action="store_true", help=each)
    groups.add_stdin(command.add_argument_group("standard input"))
    groups.add_engine(command)
    groups.add_names(command)
    groups.add_transcript(groups.add_results(command))


def _add_name(command: Parser) -> None:
    command.add_argument("result", type=Path, metavar="RESULT", help="JSON, as --keep or --out FILE.json wrote it")
    who = "S2= takes the name away; S3=S2 makes them one; T5=S2 or T5=new says whose a turn is"
    command.add_argument("corrections", nargs="+", type=values.correction, metavar="S2=NAME", help=who)
    save = "keep the voices of those who are named, to be recognized by --known (needs a result of --keep)"
    command.add_argument("--save", action="store_true", help=save)
    groups.add_store(command)
    group = command.add_argument_group("results")
    groups.add_files(group)
    groups.add_transcript(group)


def _add_words(command: Parser) -> None:
    command.add_argument("result", type=Path, metavar="RESULT", help="an RTTM file, or a result in JSON")
    words = "JSON of whisper, faster-whisper, whisper.cpp or WhisperX, SRT, WebVTT"
    command.add_argument("words", metavar="TRANSCRIPT", help=words)
    groups.add_files(command.add_argument_group("results (default: the transcript with speakers, on standard output)"))


def _add_score(command: Parser) -> None:
    for name, meaning in (("reference", "what is true"), ("hypothesis", "what was found")):
        text = f"{meaning}: RTTM, or a result in JSON"
        command.add_argument(name, type=Path, metavar=name[:3].upper(), help=text)
    command.add_argument("--uem", type=Path, metavar="FILE", help="the parts that count (default: everything)")


def _add_completion(command: Parser) -> None:
    command.add_argument("shell", choices=shtab.SUPPORTED_SHELLS, help="for example: turnstream completion bash")


def _add_batch(command: Parser) -> None:
    source = "a folder of recordings, or a text file with the path of one in each line"
    command.add_argument("source", type=Path, metavar="IN", help=source)
    out = "the folder of the results, an .rttm and a .json for each recording; what is there already is not done again"
    command.add_argument("out", type=Path, metavar="OUT", help=out)
    command.add_argument("--jobs", type=values.count, metavar="N", help="processes (default: one for each core)")
    retries = "try a recording N times more whose process died (default: 2)"
    command.add_argument("--retries", type=values.whole, default=2, metavar="N", help=retries)
    ray = "on the Ray cluster at this address, whose nodes share the folders (needs turnstream[cluster])"
    command.add_argument("--ray", metavar="ADDRESS", help=ray)
    groups.add_engine(command)


def _add_mic(command: Parser) -> None:
    groups.add_microphone(command)
    groups.add_engine(command)
    groups.add_names(command)
    groups.add_results(command)


def _add_connect(command: Parser) -> None:
    command.add_argument("url", metavar="URL", help="the server, such as ws://127.0.0.1:8765 or HOST:PORT")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--mic", action="store_true", help="the microphone, live, until Ctrl-C")
    source.add_argument("--file", type=Path, metavar="PATH", help=RECORDING)
    command.add_argument("--token-file", metavar="PATH", help="file with the server's token (or $TURNSTREAM_TOKEN)")
    command.add_argument("--realtime", action="store_true", help="a recording at the pace of the audio")
    groups.add_microphone(command)
    engine = command.add_argument_group("engine")
    groups.add_hearing(engine)
    engine.add_argument("--known", nargs="+", default=(), metavar="NAME", help="people whom the server knows by voice")
    groups.add_transcript(groups.add_results(command))


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
    add("--root", default="turnstream", help="protocol on the path /: turnstream, pyannote or diart")
    proxy = "a proxy, or network of them, whose X-Forwarded-For is believed; may be given several times"
    add("--trusted-proxy", dest="trusted_proxies", action="append", default=[], metavar="ADDRESS", help=proxy)
    header = "trusted proxies begin every connection with a PROXY header, version 1 or 2, which names the client"
    add("--proxy-protocol", action="store_true", help=header)
    add("--log-level", choices=LEVELS, default="info", help="log this and worse (default: info)")
    add("--log-format", choices=FORMATS, default="text", help="json: one object a line (default: text)")
    store = (
        "keep snapshots of sessions, so that they outlive this process: a folder, redis://HOST:6379/0 or s3://BUCKET"
    )
    add("--store", metavar="URL", help=store)
    every = "write a session's snapshot every S seconds (default: 30)"
    add("--snapshots", dest="snapshot_s", type=values.seconds, default=30.0, metavar="S", help=every)
    groups.add_limits(command.add_argument_group("limits"))
    groups.add_cluster(command.add_argument_group("cluster"))
    models = command.add_argument_group("engine")
    models.add_argument("--people", type=Path, metavar="DIR", help=PEOPLE_HELP)
    groups.add_weights(models)


def _add_demo(command: Parser) -> None:
    command.add_argument("--fast", action="store_true", help="as fast as possible, not at the pace of the audio")
    groups.add_engine(command)
    groups.add_names(command)
    groups.add_results(command)


def _add_models(command: Parser) -> None:
    command.add_argument("action", nargs="?", choices=("list", "pull", "where", "remove"), default="list")
    command.add_argument("names", nargs="*", metavar="NAME", help="which ones (default: all)")


def _add_enroll(command: Parser) -> None:
    command.add_argument("name", metavar="NAME", help="whose voice it is; more recordings of a known person are added")
    command.add_argument("paths", nargs="+", metavar="FILE", help="recording in which only this person talks")
    command.add_argument("--from", dest="begin_s", type=values.moment, metavar="S", help="use the recording from here")
    command.add_argument("--to", dest="end_s", type=values.moment, metavar="S", help="use it up to here")
    command.add_argument(
        "--channel", type=values.channel, metavar="N", help="use only this channel, from 1 (default: mix all)"
    )
    groups.add_store(command)
    groups.add_weights(command)


def _add_people(command: Parser) -> None:
    actions = ("list", "rename", "delete", "export", "import")
    command.add_argument("action", nargs="?", choices=actions, default="list")
    command.add_argument("names", nargs="*", metavar="NAME", help="names (import: files that export wrote)")
    command.add_argument("--to", metavar="PATH", help="export: write this file (default: standard output)")
    command.add_argument("--people", metavar="DIR", help=PEOPLE_HELP)


def _add_tune(command: Parser) -> None:
    command.add_argument("paths", nargs="+", metavar="PATH", help="recordings with an .rttm beside each, or folders")
    command.add_argument("--out", metavar="PATH", help="write the constants found, for --stitcher")
    command.add_argument(
        "--trials", type=values.count, default=60, metavar="N", help="sets of constants to try (default: 60)"
    )
    latency = "the latency tuned for, beside the final result (default: 1)"
    command.add_argument("--latency", dest="latency_s", type=values.latency, default=1.0, metavar="S", help=latency)
    held_out = "share of the recordings that is only reported on (default: 0.4)"
    command.add_argument("--held-out", type=values.share, default=0.4, metavar="SHARE", help=held_out)
    command.add_argument(
        "--seed", type=values.whole, default=0, metavar="N", help="of the split and the search (default: 0)"
    )
    groups.add_weights(command)
