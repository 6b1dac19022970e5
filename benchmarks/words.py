"""How many words get the right speaker: simulated conversations whose words' times and speakers are known.

    python -m benchmarks.words DATA [--conversations 6] [--minutes 2] [--seed 71] [--json FOLDER]

Conversations are made of DATA/speakers, rooms and noises as benchmarks/simulate.py makes them. A speech recognizer
(pocketsphinx, whose package brings its model) hears each speaker alone, as in that room: words, their times and
who said them are known then. The engine hears the mixture. One mapping of speakers for a whole conversation; a word
whose speaker is unknown is wrong. Rows:

    true         the turns are the reference's: what the rule itself loses where people talk at once
    final        the final result's turns
    live         the turns as they were committed 1 s behind the audio, unrevised
    estimated    the final result's turns, but of the words only the utterances' times are known, as in subtitles

Overlapped words are those of which at least half is said while another speaker talks.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder, Endpointer
from scipy.optimize import linear_sum_assignment

from benchmarks.results import Figure, Result, add_json, asked
from benchmarks.sim.acoustics import rooms_in
from benchmarks.sim.speech import F32, audio_files, speaker_names
from benchmarks.simulate import Conversation, Library, Options, conversation
from turnstream import Diarizer, Turn, Word
from turnstream.clients.words.spoken import Turns
from turnstream.clients.words.transcript import estimated
from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.windows import SAMPLE_RATE_HZ

ROWS = ("true", "final", "live", "estimated")


@dataclass(frozen=True, slots=True)
class Said:
    """A word, who said it, and whether somebody else talked meanwhile."""

    word: Word
    speaker: str
    overlapped: bool


@dataclass(frozen=True, slots=True)
class Count:
    """Words, and how many of them got their speaker."""

    words: int = 0
    right: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.words + other.words, self.right + other.right)

    @property
    def percent(self) -> float:
        return 100 * self.right / max(self.words, 1)


def recognized(samples: F32) -> list[list[Word]]:
    """The words of each utterance of one speaker, (N,) at 16 kHz."""
    decoder, endpointer = Decoder(samprate=float(SAMPLE_RATE_HZ)), Endpointer(sample_rate=SAMPLE_RATE_HZ)
    audio = np.clip(samples * 2**15, -(2**15), 2**15 - 1).astype("<i2").tobytes()
    found: list[list[Word]] = []
    begun_s: float | None = None
    for begin in range(0, len(audio), endpointer.frame_bytes):
        frame = audio[begin : begin + endpointer.frame_bytes].ljust(endpointer.frame_bytes, b"\0")
        if (speech := endpointer.process(frame)) is None:
            continue
        if begun_s is None:
            begun_s = endpointer.speech_start
            decoder.start_utt()
        decoder.process_raw(speech)
        if not endpointer.in_speech:
            found.append(_words(decoder, begun_s, len(found)))
            begun_s = None
    if begun_s is not None:
        found.append(_words(decoder, begun_s, len(found)))
    return [words for words in found if words]


def _words(decoder: Decoder, begun_s: float, utterance: int) -> list[Word]:
    decoder.end_utt()
    return [
        Word(begun_s + part.start_frame / 100, begun_s + (part.end_frame + 1) / 100, part.word, utterance)
        for part in decoder.seg()
        if part.word[0].isalpha()
    ]


def said_in(made: Conversation) -> tuple[list[Said], list[Said]]:
    """Every word with its own times, and with those that its place in the utterance suggests."""
    known, guessed = list[Said](), list[Said]()
    for speaker, samples in made.stems.items():
        others = [segment for segment in made.labels if segment.speaker != speaker]
        for words in recognized(samples):
            text = " ".join(word.text for word in words)
            guesses = estimated(text, words[0].start_s, words[-1].end_s, words[0].segment)
            overlapped = [_is_overlapped(word, others) for word in words]
            known += [Said(word, speaker, over) for word, over in zip(words, overlapped, strict=True)]
            guessed += [Said(guess, speaker, over) for guess, over in zip(guesses, overlapped, strict=True)]
    return known, guessed


def _is_overlapped(word: Word, others: Sequence[RttmSegment]) -> bool:
    shared = (min(other.end_s, word.end_s) - max(other.start_s, word.start_s) for other in others)
    return sum(max(each, 0.0) for each in shared) >= (word.end_s - word.start_s) / 2


def counted(said: Sequence[Said], turns: Iterable[Turn]) -> dict[str, Count]:
    """All, single and overlapped words, with the mapping of speakers that is best for all of them."""
    among = Turns(list(turns))
    pairs = [(each, among.speaker_of(each.word)) for each in said]
    votes = Counter((each.speaker, found) for each, found in pairs if found is not None)
    true, found = ({key[n]: None for key in votes} for n in (0, 1))
    table = np.array([[votes[t, f] for f in found] for t in true]).reshape(len(true), len(found))
    rows, columns = linear_sum_assignment(table, maximize=True)
    same = {(list(true)[r], list(found)[c]) for r, c in zip(rows, columns, strict=True)}
    counts = {name: Count() for name in ("all", "single", "overlapped")}
    for each, guess in pairs:
        one = Count(1, int((each.speaker, guess) in same))
        counts["all"] += one
        counts["overlapped" if each.overlapped else "single"] += one
    return counts


def turns_of(segments: Iterable[RttmSegment]) -> list[Turn]:
    """Segments as turns; the label is the speaker."""
    return [
        Turn(f"T{n}", None if s.speaker == "unknown" else s.speaker, None, s.start_s, s.end_s, s.end_s, "final")
        for n, s in enumerate(segments, start=1)
    ]


def measure(diarizer: Diarizer, made: Conversation) -> dict[str, dict[str, Count]]:
    """Every row over one conversation."""
    with diarizer.session() as session:
        session.feed(made.samples)
    live = [segment for found in parse_rttm(session.live_rttm("x")).values() for segment in found]
    known, guessed = said_in(made)
    final = session.close().turns
    turns = {"true": turns_of(made.labels), "final": final, "live": turns_of(live), "estimated": final}
    return {row: counted(guessed if row == "estimated" else known, turns[row]) for row in ROWS}


def main() -> None:
    """Make the conversations, measure and report."""
    arguments, load = _arguments(), os.getloadavg()[0]
    library = Library(arguments.data / "speakers", speaker_names(arguments.data / "speakers"))
    options = Options(
        seed=arguments.seed,
        minutes=(arguments.minutes, arguments.minutes),
        count=(2, 4),
        overlap=0.08,
        snr_db=(10.0, 25.0),
        level_spread_db=3.0,
        noises=tuple(audio_files(arguments.data / "noise")),
        rooms=tuple((name, tuple(paths)) for name, paths in rooms_in(arguments.data / "rir")),
    )
    sums = {row: {name: Count() for name in ("all", "single", "overlapped")} for row in ROWS}
    with Diarizer() as diarizer:
        for number in range(arguments.conversations):
            for row, counts in measure(diarizer, conversation(library, options, number)).items():
                sums[row] = {name: sums[row][name] + count for name, count in counts.items()}
            print(f"{number + 1} of {arguments.conversations}", flush=True)
    report(sums)
    if arguments.json:
        result(sums, arguments, load).write(arguments.json)


def report(sums: dict[str, dict[str, Count]]) -> None:
    """One row for each kind of turns and times."""
    print(f"{'words with the right speaker, %':34}{'all':>10}{'single':>10}{'overlapped':>12}")
    for row, counts in sums.items():
        cells = [f"{counts[name].percent:.1f}" for name in ("all", "single", "overlapped")]
        print(f"{row:34}{cells[0]:>10}{cells[1]:>10}{cells[2]:>12}")
    print(
        f"{'words':34}"
        + "".join(f"{count.words:>{w}}" for count, w in zip(sums["true"].values(), (10, 10, 12), strict=True))
    )


def result(sums: dict[str, dict[str, Count]], arguments: argparse.Namespace, load: float) -> Result:
    """The figures, to be stored."""
    figures = {
        f"{row}.{name}": Figure(count.percent, "%", "error", "higher")
        for row, counts in sums.items()
        for name, count in counts.items()
    }
    figures |= {f"words.{name}": Figure(count.words, "", "count", "neither") for name, count in sums["true"].items()}
    asked_for = {"conversations": arguments.conversations, "minutes": arguments.minutes}
    made = Result("words", asked("benchmarks.words"), figures, asked_for, seed=arguments.seed, load=load)
    return replace(made, libraries=("pocketsphinx",))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with speakers/, rir/ and noise/")
    parser.add_argument("--conversations", type=int, default=6, metavar="N")
    parser.add_argument("--minutes", type=float, default=2.0, metavar="M", help="of each (default: 2)")
    parser.add_argument("--seed", type=int, default=71)
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
