"""Names in whole streams, by the engine as it is: who is named rightly, wrongly, not at all, and how soon.

    python -m benchmarks.identify_streams DATA                 # conversations made of utterances never enrolled from
    python -m benchmarks.identify_streams DATA d00.flac ...    # annotated recordings of the same speakers

Without recordings: conversations of four people of half B, two of them enrolled beside three who are absent, made of
utterances of the test side (benchmarks/voices.py), in a room with noise; enrolment from 15 s of clean speech, through
`Diarizer.enroll`. With recordings (sim_dev): every second speaker of each is enrolled from 15 s, beside three who are
absent. sim_dev is made of the very utterances that are enrolled from, heard in another room: rates on it are better
than they would be on words never heard.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.results import Figure, Result, add_json, asked, recording
from benchmarks.voices import digests, halves, in_a_room, read, speaker_folders
from turnstream.diarizer import Diarizer
from turnstream.errors import EnrollmentError
from turnstream.events import Final, Speaker
from turnstream.people.person import Person
from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.stitching.linear_assignment import best_pairs
from turnstream.windows import SAMPLE_RATE_HZ

Floats = NDArray[np.float32]
ENROLLED_S, PEOPLE, ABSENT, LENGTH_S = 15, 4, 3, 75.0
PAUSE_S = (0.2, 1.0)
SEED = 4


@dataclass
class Heard:
    """What became of the speakers of all streams: counts, and when names were given after a speaker appeared."""

    known: int = 0
    strangers: int = 0
    right: int = 0
    missed: int = 0
    wrong: int = 0
    accepted: int = 0
    ever_wrong: int = 0
    ever_accepted: int = 0
    delays_s: tuple[float, ...] = ()


def enrolled(diarizer: Diarizer, folders: Sequence[Path]) -> dict[str, Person]:
    """People learned from the first seconds of their enrolment sides; those whom the engine refuses are left out."""
    people = {}
    for folder in folders:
        try:
            voice = diarizer.enroll(read(halves(folder)[0])[: ENROLLED_S * SAMPLE_RATE_HZ])
        except EnrollmentError as error:
            print(f"{folder.name}: {error}")
            continue
        people[folder.name] = Person(folder.name, diarizer.voice_model, (voice,), ("",))
    return people


def conversations(data: Path, count: int) -> Iterator[tuple[str, Floats, list[RttmSegment]]]:
    """Made anew: people of half B take turns with pauses between, the whole in a room with noise."""
    rng = np.random.default_rng(SEED)
    folders = speaker_folders(data)[1::2]
    for number in range(count):
        here = [folders[n] for n in rng.choice(len(folders), PEOPLE, replace=False)]
        files = {folder.name: list(rng.permutation(halves(folder)[1])) for folder in here}
        pieces, turns, at_s, last = [], [], 0.0, ""
        while at_s < LENGTH_S and (left := [name for name in files if files[name] and name != last]):
            last = str(rng.choice(left))
            samples, _ = soundfile.read(files[last].pop(), dtype="float32")
            pause = np.zeros(round(rng.uniform(*PAUSE_S) * SAMPLE_RATE_HZ), np.float32)
            turns.append(RttmSegment(at_s, at_s + len(samples) / SAMPLE_RATE_HZ, last))
            pieces += [samples, pause]
            at_s += (len(samples) + len(pause)) / SAMPLE_RATE_HZ
        yield f"made {number}", in_a_room(np.concatenate(pieces), data, SEED + number), turns


def annotated(paths: Sequence[Path]) -> Iterator[tuple[str, Floats, list[RttmSegment]]]:
    """Recordings with an RTTM beside each."""
    for path in paths:
        samples, _ = soundfile.read(path, dtype="float32")
        turns = [turn for turns in parse_rttm(path.with_suffix(".rttm").read_text()).values() for turn in turns]
        yield path.stem, samples, turns


def listen(diarizer: Diarizer, samples: Floats, known: Sequence[Person]) -> tuple[list[Speaker], Final]:
    """One stream at the default latency."""
    session = diarizer.session(known=known)
    events = [*session.feed(samples), *session.flush()]
    return [event for event in events if isinstance(event, Speaker)], session.close()


def count(heard: Heard, events: list[Speaker], final: Final, turns: list[RttmSegment], known: set[str]) -> None:
    """Add one stream; a true speaker is the found one who shares most time with him, one to one."""
    names = sorted({turn.speaker for turn in turns})
    found = [talk.speaker for talk in final.speakers if talk.speaker is not None]
    shared = np.zeros((len(names), len(found)))
    for turn in turns:
        for said in final.turns:
            if said.speaker is not None:
                overlap = max(0.0, min(said.end_s, turn.end_s) - max(said.start_s, turn.start_s))
                shared[names.index(turn.speaker), found.index(said.speaker)] += overlap
    who = {found[column]: names[row] for row, column in best_pairs(shared)}
    told = {talk.speaker: talk.name for talk in final.speakers if talk.name}
    heard.known += sum(name in known for name in names)
    heard.strangers += sum(name not in known for name in names)
    heard.missed += len(set(names) & known)
    for speaker, name in told.items():
        true = who.get(speaker)
        heard.missed -= true in known
        heard.right += true == name
        heard.wrong += true in known and true != name
        heard.accepted += true not in known
    ever = {(event.id, event.name) for event in events if event.state == "named" and event.name}
    heard.ever_wrong += len({s for s, name in ever if who.get(s) in known and who[s] != name})
    heard.ever_accepted += len({s for s, _ in ever if who.get(s) not in known})
    heard.delays_s += tuple(_delays(events, who))


def _delays(events: list[Speaker], who: dict[str, str]) -> Iterator[float]:
    """Seconds from the appearance of a speaker to his right name, where he got it while the stream ran."""
    appeared_s = {event.id: event.at_s for event in events if event.state == "appeared"}
    for speaker, true in who.items():
        named_s = [e.at_s for e in events if (e.id, e.state, e.name) == (speaker, "named", true)]
        if named_s and speaker in appeared_s:
            yield named_s[0] - appeared_s[speaker]


def main() -> None:
    """Run the streams and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with speakers/, rir/ and noise/")
    parser.add_argument("recordings", type=Path, nargs="*", help="annotated recordings of these speakers")
    parser.add_argument("--count", type=int, default=8, help="conversations to make (default: 8)")
    add_json(parser)
    arguments, load = parser.parse_args(), os.getloadavg()[0]
    folders = speaker_folders(arguments.data)
    rng, heard = np.random.default_rng(SEED), Heard()
    with Diarizer() as diarizer:
        people = enrolled(diarizer, folders if arguments.recordings else folders[1::2])
        made = conversations(arguments.data, arguments.count)
        for title, samples, turns in annotated(arguments.recordings) if arguments.recordings else made:
            here = sorted({turn.speaker for turn in turns})
            absent = [name for name in people if name not in here]
            known = {
                *(name for name in here[::2] if name in people),
                *rng.choice(absent, ABSENT, replace=False).tolist(),
            }
            events, final = listen(diarizer, samples, [people[name] for name in sorted(known)])
            count(heard, events, final, turns, known)
            told = ", ".join(f"{t.speaker} {t.name} {t.confidence:.2f}" for t in final.speakers if t.name)
            print(
                f"{title}: enrolled {', '.join(here[::2])}; strangers {', '.join(here[1::2])}; told {told}", flush=True
            )
    _print(heard)
    if arguments.json:
        data = [*digests(arguments.data), *(recording(path) for path in arguments.recordings)]
        parameters = {"count": arguments.count, "enrolled_s": ENROLLED_S, "absent": ABSENT}
        command = asked("benchmarks.identify_streams")
        result = Result("identify_streams", command, _figures(heard), parameters, data=data, seed=SEED, load=load)
        result.write(arguments.json)


def _figures(heard: Heard) -> dict[str, Figure]:
    directions = {"known": "neither", "strangers": "neither", "right": "higher"}
    counts = [name for name in Heard.__dataclass_fields__ if name != "delays_s"]
    found = {
        name: Figure(getattr(heard, name), "speakers", "error", directions.get(name, "lower"))  # type: ignore[arg-type]
        for name in counts
    }
    for percent in (50, 90) if heard.delays_s else ():
        found[f"delay.p{percent}"] = Figure(float(np.percentile(heard.delays_s, percent)), "s", "error")
    return found


def _print(heard: Heard) -> None:
    print(f"\nenrolled speakers {heard.known}: named rightly {heard.right}, wrongly {heard.wrong}, not {heard.missed};")
    print(f"wrongly at any time {heard.ever_wrong}")
    print(f"strangers {heard.strangers}: named at the end {heard.accepted}, at any time {heard.ever_accepted}")
    if heard.delays_s:
        median, p90 = np.percentile(heard.delays_s, [50, 90])
        print(f"a right name came {median:.1f} s after the speaker appeared (median; 90 %: {p90:.1f} s)")


if __name__ == "__main__":
    main()
