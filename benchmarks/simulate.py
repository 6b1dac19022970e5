"""Conversations made anew from any folder of speakers, with exact labels.

    python -m benchmarks.simulate OUT --speech FOLDER [--noise FOLDER] [--rooms FOLDER] [--conversations 10] ...

FOLDER has one sub-folder for each speaker, with recordings of him alone in any format that soundfile reads. Written
for each conversation: `NAME.flac` (16 kHz, mono), `NAME.rttm` (who really talks when: pauses of more than 0.25 s are
no speech) and `NAME.json` (everything that was drawn, file by file). The same folder, options and seed give the same
bytes (of one version of the libraries, which the JSON names); conversation 3 does not depend on how many are made.

To tune on one part and report on another, take `--split 1/2` for the one and `--split 2/2` for the other: every second
speaker, noise and room in order of name. `--speakers A B C` names the speakers instead. No utterance comes twice in a
conversation unless its speaker has no others left: then `repeated` in the JSON names it. Lengths are shortened,
down to the least one asked for, before that happens.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy
import soundfile
import soxr

from benchmarks.sim.acoustics import add_noise, limit, places, rooms_in, stems
from benchmarks.sim.dialogue import Dialogue, Placed, labels_of, shares, talking
from benchmarks.sim.speech import F32, Clip, audio_files, clips_of, part, read_audio, speaker_names
from turnstream.errors import TurnstreamError
from turnstream.rttm import RttmSegment, format_rttm
from turnstream.windows import SAMPLE_RATE_HZ

T = TypeVar("T")
SPEECH_SHARE = 0.9  # of a conversation, about: what speech a length asks for


@dataclass(frozen=True, slots=True)
class Options:
    """What conversations are drawn from, and between which limits."""

    seed: int
    minutes: tuple[float, float]
    count: tuple[int, int]
    overlap: float
    snr_db: tuple[float, float]
    level_spread_db: float
    noises: tuple[Path, ...] = ()
    rooms: tuple[tuple[str, tuple[Path, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """The mixture (N,), what each speaker adds to it, his speech in seconds, and what was drawn."""

    samples: F32
    stems: dict[str, F32]
    labels: list[RttmSegment]
    drawn: dict[str, Any]


class Library:
    """Clips of all speakers, read once."""

    def __init__(self, folder: Path, names: list[str]):
        self.utterances: dict[str, list[Clip]] = {}
        self.backchannels: dict[str, list[Clip]] = {}
        for name in names:
            found = [clips_of(name, path) for path in audio_files(folder / name)]
            self.utterances[name] = [clip for clips, _ in found for clip in clips]
            self.backchannels[name] = [clip for _, backs in found for clip in backs]
            if not self.utterances[name]:
                raise TurnstreamError(f"expected speech in {folder / name}, got silence")

    def seconds(self, names: list[str]) -> float:
        """Speech of these speakers."""
        return sum(clip.speech_samples for name in names for clip in self.utterances[name]) / SAMPLE_RATE_HZ


def conversation(library: Library, options: Options, number: int) -> Conversation:
    """Conversation `number` of this seed."""
    rng = np.random.default_rng([options.seed, number])
    names = _drawn_speakers(library, options, number, rng)
    least, most = (60 * minutes for minutes in options.minutes)
    length_s = max(least, min(float(rng.uniform(least, most)), library.seconds(names) / SPEECH_SHARE))
    utterances = {name: library.utterances[name] for name in names}
    backchannels = {name: library.backchannels[name] for name in names}
    dialogue = Dialogue(utterances, backchannels, round(length_s * SAMPLE_RATE_HZ), options.overlap, rng)
    placed = sorted(dialogue.make(), key=lambda p: p.start + p.clip.speech_start)
    return _mixed(placed, dialogue.repeated, names, options, number, rng)


def _dealt(kind: str, items: Sequence[T], seed: int, number: int) -> T:
    """What conversation `number` gets: all of the items in random order, then all of them in another order."""
    order = np.random.default_rng([seed, number // len(items), *kind.encode()]).permutation(len(items))
    return items[order[number % len(items)]]


def _drawn_speakers(library: Library, options: Options, number: int, rng: np.random.Generator) -> list[str]:
    known, (least, most) = sorted(library.utterances), options.count
    if least > len(known):
        raise TurnstreamError(f"expected at least {least} speakers to choose from, got {len(known)}")
    count = _dealt("speakers", range(least, min(most, len(known)) + 1), options.seed, number)
    return sorted(known[n] for n in rng.permutation(len(known))[:count])


def _mixed(
    placed: list[Placed],
    repeated: list[str],
    names: list[str],
    options: Options,
    number: int,
    rng: np.random.Generator,
) -> Conversation:
    end = max(p.start + len(p.clip.samples) for p in placed)
    length = end + round(rng.uniform(0.3, 1.0) * SAMPLE_RATE_HZ)
    name, responses = _dealt("room", options.rooms, options.seed, number) if options.rooms else (None, ())
    where = places(responses, names, options.level_spread_db, rng)
    single = stems(placed, where, length)
    mixture = np.sum(list(single.values()), axis=0)
    drawn: dict[str, Any] = {"room": name, "noise": None, "snr_db": None}
    if options.noises:
        noise = _dealt("noise", options.noises, options.seed, number)
        drawn |= {"noise": noise.name, "snr_db": round(float(rng.uniform(*options.snr_db)), 2)}
        mixture = add_noise(mixture, talking(placed, length), read_audio(noise), drawn["snr_db"], rng)
    talk, heard = shares(placed), sorted({p.clip.speaker for p in placed})
    drawn |= {
        "length_s": round(length / SAMPLE_RATE_HZ, 3),
        "speech_s": round(talk.speech_s, 2),
        "overlap_share_of_speech": round(talk.overlap_share, 4),
        "repeated": repeated,
        "speakers": {n: {"level_db": round(where[n].level_db, 2), "response": where[n].response_name} for n in heard},
        "placed": [
            {"at_s": round(p.speech[0][0] / SAMPLE_RATE_HZ, 3), "clip": p.clip.name, "kind": p.kind} for p in placed
        ],
    }
    return Conversation(limit(mixture), single, labels_of(placed), drawn)


def write(folder: Path, name: str, made: Conversation, options: dict[str, Any]) -> None:
    """The three files of one conversation."""
    soundfile.write(folder / f"{name}.flac", made.samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    (folder / f"{name}.rttm").write_text(format_rttm(name, made.labels))
    (folder / f"{name}.json").write_text(json.dumps({"name": name, **options, **made.drawn}, indent=1) + "\n")


def main() -> None:
    """Make the conversations asked for."""
    arguments = _arguments()
    try:
        _make(arguments)
    except TurnstreamError as error:
        sys.exit(f"simulate: {error}")


def _make(arguments: argparse.Namespace) -> None:
    names = chosen_speakers(speaker_names(arguments.speech), arguments.speakers, arguments.split)
    noises = part(audio_files(arguments.noise), *arguments.split) if arguments.noise else []
    rooms = part(rooms_in(arguments.rooms), *arguments.split) if arguments.rooms else []
    for kind, folder, found in (("noise", arguments.noise, noises), ("room", arguments.rooms, rooms)):
        if folder and not found:
            raise TurnstreamError(f"expected a {kind} for every part of the split in {folder}, got too few files")
    drawn = {key: getattr(arguments, key) for key in ("minutes", "count", "overlap", "snr_db", "level_spread_db")}
    options = Options(
        seed=arguments.seed, noises=tuple(noises), rooms=tuple((n, tuple(paths)) for n, paths in rooms), **drawn
    )
    library = Library(arguments.speech, names)
    arguments.out.mkdir(parents=True, exist_ok=True)
    versions = {module.__name__: module.__version__ for module in (np, scipy, soundfile, soxr)}
    split = "/".join(map(str, arguments.split))
    told = {"seed": arguments.seed, "options": {**drawn, "from": names, "split": split}, "versions": versions}
    for number in range(arguments.conversations):
        made = conversation(library, options, number)
        write(arguments.out, f"{arguments.prefix}{number:02d}", made, {"number": number, **told})
        print(_told(f"{arguments.prefix}{number:02d}", made.drawn), flush=True)


def _told(name: str, drawn: dict[str, Any]) -> str:
    noise = f"{drawn['noise']} at {drawn['snr_db']:.0f} dB" if drawn["noise"] else "no noise"
    repeated = f"; {len(drawn['repeated'])} utterances repeated" if drawn["repeated"] else ""
    talk = f"{100 * drawn['speech_s'] / drawn['length_s']:.0f} % speech, "
    talk += f"{100 * drawn['overlap_share_of_speech']:.1f} % of it overlapping"
    people = f"{len(drawn['speakers'])} speakers"
    return f"{name}: {drawn['length_s']:.0f} s, {people}, {talk}; room {drawn['room']}, {noise}{repeated}"


def chosen_speakers(known: list[str], picked: list[str] | None, split: tuple[int, int]) -> list[str]:
    """The speakers picked by name, or part of all. Raises TurnstreamError for unknown ones and for fewer than two."""
    missing = sorted(set(picked or []) - set(known))
    if missing:
        raise TurnstreamError(f"expected speakers among {', '.join(known)}, got {', '.join(missing)}")
    names = sorted(set(picked)) if picked else part(known, *split)
    if len(names) < 2:
        raise TurnstreamError(f"expected at least 2 speakers, got {len(names)}")
    return names


def split_of(text: str) -> tuple[int, int]:
    """`1/2` as (1, 2)."""
    number, slash, parts = text.partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise argparse.ArgumentTypeError(f"expected a part like 1/2, got {text}")
    return int(number), int(parts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--speech", type=Path, required=True, help="folder with one sub-folder for each speaker")
    parser.add_argument("--noise", type=Path, help="folder of noises")
    parser.add_argument("--rooms", type=Path, help="folder of impulse responses; a sub-folder is one room")
    parser.add_argument("--speakers", nargs="+", metavar="NAME", help="only these speakers")
    parser.add_argument("--split", type=split_of, default=(1, 1), metavar="N/M", help="only part N of M")
    parser.add_argument("--conversations", type=int, default=10)
    parser.add_argument("--prefix", default="c", help="of the names of the conversations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, nargs=2, default=(3.0, 8.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--count", type=int, nargs=2, default=(2, 8), metavar=("LEAST", "MOST"), help="of speakers")
    overlap = "share of speech time with two or more talking to aim at; the JSON tells what came of it"
    parser.add_argument("--overlap", type=float, default=0.07, help=overlap)
    parser.add_argument("--snr-db", type=float, nargs=2, default=(5.0, 20.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--level-spread-db", type=float, default=3.0, help="standard deviation of speakers' levels")
    arguments = parser.parse_args()
    _check(parser, arguments)
    return arguments


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    for name, low in (("minutes", 0.1), ("count", 2), ("snr_db", -20)):
        least, most = value = tuple(getattr(arguments, name))
        setattr(arguments, name, value)
        if not low <= least <= most:
            parser.error(f"--{name.replace('_', '-')}: expected {low} or more, the least first, got {least} {most}")
    if not 0 <= arguments.overlap <= 0.5:
        parser.error(f"--overlap: expected 0 to 0.5, got {arguments.overlap}")
    if arguments.level_spread_db < 0 or arguments.conversations < 1 or arguments.seed < 0:
        parser.error("expected a spread and a seed of 0 or more and at least one conversation")


if __name__ == "__main__":
    main()
