"""What a listener is told of one conversation, beside its reference and the result at its end: one picture's data.

    python -m benchmarks.timeline_picture [RECORDING] [--seconds 120] [--json FOLDER]

The first two minutes of the recording (default: the demo recording, whole) go through the engine at the default
latency. Kept as series: the turns of the reference, of the final result (frame by frame that of `offline.py`, as
tests/test_diarizer.py holds it to), those told live as they were committed, and each revision with the audio heard
when it was told, the stretches it renamed, and who they were and became.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, Result, add_json, asked
from benchmarks.results import recording as data_of
from turnstream.clients.evaluation.recordings import Turns, read_reference, read_samples, turns_of
from turnstream.diarizer import Diarizer
from turnstream.events import Event, Revision, Turn
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ

CHUNK_SAMPLES = 1600
LATENCY_S = 1.0
SECONDS = 120.0


def revisions(told: Iterable[tuple[float, Event]]) -> list[dict[str, Any]]:
    """Every revision of turns that are known by then: `at_s` of audio heard, `old` and `new` speaker, `spans` in s."""
    turns: dict[str, Turn] = {}
    found = []
    for at_s, event in told:
        if isinstance(event, Turn):
            turns[event.id] = event
        elif isinstance(event, Revision):
            spans = [[turns[i].start_s, turns[i].end_s] for i in event.turns]
            old, new = event.old or "?", event.new or "?"
            found.append({"at_s": round(at_s, 3), "old": old, "new": new, "spans": spans})
    return found


def rows_of(turns: Turns, end_s: float) -> list[dict[str, Any]]:
    """Turns as they are stored, cut at the end."""
    return [
        {"speaker": turn.speaker, "start_s": round(turn.start_s, 3), "end_s": round(min(turn.end_s, end_s), 3)}
        for turn in turns
        if turn.start_s < end_s
    ]


def measure(path: Path, seconds: float) -> tuple[dict[str, Figure], dict[str, Any]]:
    """One live stream."""
    samples = read_samples(path)[: round(seconds * SAMPLE_RATE_HZ)]
    duration_s, told = len(samples) / SAMPLE_RATE_HZ, list[tuple[float, Event]]()
    with Diarizer() as diarizer:
        session = diarizer.session(latency_s=LATENCY_S)
        for start in range(0, len(samples), CHUNK_SAMPLES):
            events = session.feed(samples[start : start + CHUNK_SAMPLES])
            told += [(session.position_s, event) for event in events]
        told += [(duration_s, event) for event in session.flush()]
        final, live = session.close(), turns_of(session.live_rttm("x"))
    found = revisions(told)
    series: dict[str, Any] = {
        "duration_s": duration_s,
        "reference": rows_of(read_reference(path.with_suffix(".rttm")), duration_s),
        "offline": rows_of(turns_of(final.to_rttm("x")), duration_s),
        "live": rows_of(live, duration_s),
        "revisions": found,
    }
    figures = {
        "turns": Figure(len(series["offline"]), "turns", "count", "neither"),
        "revisions": Figure(len(found), "revisions", "error"),
        "speakers": Figure(len({turn["speaker"] for turn in series["offline"]}), "speakers", "error", "neither"),
    }
    return figures, series


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "recording", type=Path, nargs="?", help="with its .rttm beside it (default: the demo recording)"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS)
    add_json(parser)
    arguments, load = parser.parse_args(words), os.getloadavg()[0]
    path = arguments.recording or demo_recording()[0]
    figures, series = measure(path, arguments.seconds)
    print(f"{path.name}:", ", ".join(f"{figure.value:g} {figure.unit}" for figure in figures.values()))
    if arguments.json:
        parameters = {"seconds": arguments.seconds, "latency_s": LATENCY_S}
        command, data = asked("benchmarks.timeline_picture", words), [data_of(path)]
        Result("timeline", command, figures, parameters, series, data, load=load).write(arguments.json)


if __name__ == "__main__":
    main()
