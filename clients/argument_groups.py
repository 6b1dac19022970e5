"""Groups of options that commands share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from turnstream.limits import MAX_LATENCY_S, MIN_LATENCY_S, SAMPLE_BYTES

from . import argument_values as values
from .argument_parser import Exactly, Parser

PEOPLE_HELP = "the folder of the people (default: $TURNSTREAM_PEOPLE, else one in your data folder)"


def add_engine(command: Parser) -> None:
    """What is heard and how it is stitched."""
    group = command.add_argument_group("engine")
    add_hearing(group)
    group.add_argument("--force-speaker", action="store_true", help="always assign the most likely speaker")
    every = "at most one batch of revisions in S seconds of audio (default: 1)"
    seconds: dict[str, Any] = {"type": values.not_negative, "metavar": "S"}
    group.add_argument("--revisions-every", dest="revision_interval_s", default=1.0, help=every, **seconds)
    reach = "revise no turn that ended more than S seconds ago (default: any turn)"
    group.add_argument("--revision-reach", dest="revision_reach_s", default=math.inf, help=reach, **seconds)
    add_weights(group)
    group.add_argument("--stitcher", metavar="PATH", help="constants as turnstream tune writes them")


def add_hearing(group: argparse._ArgumentGroup) -> None:
    """What of the engine a server's client may set too."""
    hop = "look at the audio every S seconds while it comes, 0.34 to 2 (default: 0.5); longer hops cost less"
    group.add_argument("--hop", dest="hop_s", type=values.hop, default=0.5, metavar="S", help=hop)
    latency = f"commit turns S seconds behind the audio, {MIN_LATENCY_S:g} to {MAX_LATENCY_S:g} (default: 1)"
    group.add_argument("--latency", dest="latency_s", type=values.latency, default=1.0, metavar="S", help=latency)
    group.add_argument(
        "--channel", type=values.channel, metavar="N", help="use only this channel, from 1 (default: mix all)"
    )
    for flag, meaning in (("--min-speakers", "at least N people talk"), ("--max-speakers", "at most N people talk")):
        group.add_argument(flag, type=values.count, metavar="N", help=meaning)
    group.add_argument("--speakers", action=Exactly, type=values.count, metavar="N", help="exactly N people talk")
    activity = "report every 0.1 s whether anyone speaks and whether speech overlaps"
    group.add_argument("--activity", action="store_true", help=activity)


def add_weights(group: argparse._ActionsContainer) -> None:
    """Checkpoints of one's own."""
    group.add_argument("--segmentation", metavar="PATH", help="own segmentation checkpoint")
    group.add_argument("--embedding", metavar="PATH", help="own embedding checkpoint")


def add_microphone(command: Parser) -> None:
    """Which one, for how long, and whether it is kept."""
    command.add_argument("--device", metavar="DEVICE", help="number or part of the name (see turnstream devices)")
    command.add_argument("--seconds", type=values.seconds, metavar="S", help="stop after S seconds")
    command.add_argument("--record", type=Path, metavar="PATH", help="keep the audio as a WAV file")


def add_stdin(group: argparse._ArgumentGroup) -> None:
    """Bare samples."""
    group.add_argument("--raw", action="store_true", help="bare samples, not a WAV")
    rate, channels = "of the bare samples (default: 16000)", "of the bare samples, interleaved (default: 1)"
    group.add_argument("--rate", dest="rate_hz", type=values.count, default=16_000, metavar="HZ", help=rate)
    group.add_argument("--channels", type=values.count, default=1, metavar="N", help=channels)
    encoding = "of the bare samples (default: pcm_s16le)"
    group.add_argument("--encoding", choices=sorted(SAMPLE_BYTES), default="pcm_s16le", help=encoding)


def add_limits(group: argparse._ArgumentGroup) -> None:
    """Of a server."""
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
        group.add_argument(flag, dest=field, type=values.seconds, default=seconds, metavar="S", help=help_text)


def add_names(command: Parser) -> None:
    """Known people, and names that are kept."""
    group = command.add_argument_group("names")
    known = "name speakers who sound like an enrolled person: all of them, or these; put it after the paths"
    group.add_argument("--known", nargs="*", metavar="NAME", help=known)
    kept = "write a result into this folder that turnstream name can name later, with the voices (never audio)"
    group.add_argument("--keep", type=Path, metavar="DIR", help=kept)
    save = "at the end, name a speaker and keep the voice; may be given several times"
    group.add_argument("--save", action="append", default=[], type=values.saved, metavar="S2=NAME", help=save)
    add_store(group)


def add_store(command: argparse._ActionsContainer) -> None:
    """The people's folder."""
    command.add_argument("--replace", action="store_true", help="replace the recorded voice instead of adding to it")
    command.add_argument("--people", metavar="DIR", help=PEOPLE_HELP)


def add_results(command: Parser) -> argparse._ArgumentGroup:
    """Files, events and the picture."""
    group = command.add_argument_group("results")
    add_files(group)
    group.add_argument("--live-rttm", metavar="FILE", help="write the turns as they were committed, unrevised")
    renumber = "in the files, number the speakers S1, S2, ... without gaps (default: as they were told)"
    group.add_argument("--renumber", action="store_true", help=renumber)
    group.add_argument("--json", action="store_true", help="every event as one JSON line on stdout, and nothing else")
    return group


def add_files(group: argparse._ArgumentGroup) -> None:
    """Results by their ending."""
    out = "write the final result in the format of the ending: .rttm, .json, .srt, .vtt, .csv, .txt, .labels.txt "
    out += "(Audacity), .TextGrid (Praat), .eaf (ELAN); {name} is the recording's; may be given several times"
    group.add_argument("--out", action="append", default=[], metavar="FILE", help=out)
    picture = "draw who spoke when: .png or .svg"
    group.add_argument("--picture", action="append", default=[], metavar="FILE", help=picture)


def add_transcript(group: argparse._ArgumentGroup) -> None:
    """Words that get speakers."""
    words = "a transcript of the recording, whose words get speakers: JSON of whisper, faster-whisper, whisper.cpp or "
    words += "WhisperX, SRT, WebVTT; --out FILE of the same ending is the transcript with speakers"
    group.add_argument("--words", metavar="FILE", help=words)


def add_cluster(group: argparse._ArgumentGroup) -> None:
    """Servers on a cluster."""
    ray = "one server on each node of the Ray cluster at this address, or new ones in their place (needs "
    ray += "turnstream[cluster] and --store); turnstream ends, the servers stay"
    group.add_argument("--ray", metavar="ADDRESS", help=ray)
    count = "N servers, or MIN-MAX by how full they are (default: as many as there are nodes)"
    group.add_argument("--replicas", type=values.replicas, metavar="N", help=count)
