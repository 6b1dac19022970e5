"""What a snapshot costs: its size, and the processor time to write and to read one, as a stream grows.

    python -m benchmarks.snapshots RECORDING.flac... [--minutes 120] [--json FOLDER]

The stream is the recordings again and again; the models answer from memory what they were asked before. Twice a minute
the past is written, as a server does; after 5, 30, 60 and 120 minutes the session is read back and goes on from there.
Checked first: its final result is that of a session that was never written.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.long_stream import play
from benchmarks.results import Figure, Result, recording
from benchmarks.stand_ins import Remembering
from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer
from turnstream.session import Session
from turnstream.snapshot.session import Extents, read, write
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.windows import SAMPLE_RATE_HZ

MARKS_MIN = (5, 30, 60, 120)
EVERY_SAMPLES = 30 * SAMPLE_RATE_HZ


@dataclass
class Kept:
    """A session that is written twice a minute, and what that took."""

    session: Session
    models: Remembering
    past: list[bytes] = field(default_factory=list)
    extents: Extents = ()
    rows: list[dict[str, float]] = field(default_factory=list)

    def keep(self) -> None:
        """Write it; at one of the marks, read it and go on with that."""
        began_s = time.thread_time()
        written = write(self.session, self.models, self.extents)
        wrote_s = time.thread_time() - began_s
        self.past.append(written.past)
        self.extents = written.extents
        minutes = round(self.session.position_s / 60, 2)
        if minutes not in MARKS_MIN:
            return
        began_s = time.thread_time()
        self.session, _ = read(written.head, self.past, self.models)
        row = {"minutes": minutes, "head_mb": len(written.head) / 1e6, "past_mb": sum(map(len, self.past)) / 1e6}
        row |= {"write_ms": 1000 * wrote_s, "read_ms": 1000 * (time.thread_time() - began_s)}
        self.rows.append(row)
        print({name: round(value, 2) for name, value in row.items()}, flush=True)


def main() -> None:
    """Play the stream to both sessions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write snapshots.json there")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with Diarizer() as diarizer:
        models = Remembering(diarizer.models)
        stayed, moved = (Session(models, AudioInput(), StitcherConfig(), Timeline(1.0)) for _ in range(2))
        kept = Kept(moved, models)
        hear(stayed, kept, arguments.recordings, 60 * arguments.minutes * SAMPLE_RATE_HZ)
        assert kept.session.close() == stayed.close(), "the session that was moved came to another result"
    if arguments.json:
        Result(
            "snapshots",
            f"python -m benchmarks.snapshots RECORDING... --minutes {arguments.minutes}",
            figures(kept.rows),
            parameters={"minutes": arguments.minutes},
            data=[recording(path) for path in arguments.recordings],
            load=load,
        ).write(arguments.json)


def hear(stayed: Session, kept: Kept, recordings: list[Path], samples: int) -> None:
    """The first `samples` of the stream, in pieces after which a snapshot is due."""
    for _, sound in play(recordings, samples / SAMPLE_RATE_HZ / 3600, 0):
        while len(sound) and samples:
            due = EVERY_SAMPLES - round(stayed.position_s * SAMPLE_RATE_HZ) % EVERY_SAMPLES
            piece, sound = sound[: min(due, samples)], sound[min(due, samples) :]
            stayed.feed(piece)
            kept.session.feed(piece)
            samples -= len(piece)
            if len(piece) == due:
                kept.keep()


def figures(rows: list[dict[str, float]]) -> dict[str, Figure]:
    """`120_min.head` and so on."""
    found = {}
    for row in rows:
        name = f"{row['minutes']:g}_min"
        found |= {f"{name}.{part}": Figure(row[f"{part}_mb"], "MB", "time") for part in ("head", "past")}
        found |= {f"{name}.{part}": Figure(row[f"{part}_ms"], "ms", "time") for part in ("write", "read")}
    return found


if __name__ == "__main__":
    main()
