"""A recording, as fast as it can be computed: python examples/file.py talk.wav > talk.rttm

Events go to standard error as they become known, the final result to standard output.
"""

import sys

import soundfile

from turnstream import Diarizer, Revision, Turn


def main(path: str) -> None:
    with soundfile.SoundFile(path) as recording, Diarizer() as diarizer:
        session = diarizer.session(sample_rate_hz=recording.samplerate, channels=recording.channels)
        for block in recording.blocks(recording.samplerate, dtype="float32", always_2d=True):
            for event in session.feed(block):
                show(event)
        for event in session.flush():
            show(event)
        print(session.close().to_rttm("talk"), end="")


def show(event: object) -> None:
    """Committed turns, and what later audio corrects."""
    match event:
        case Turn(state="committed"):
            print(f"{event.start_s:8.2f} - {event.end_s:8.2f}  {event.speaker or '?'}", file=sys.stderr)
        case Revision():
            print(f"{', '.join(event.turns)}: {event.old or '?'} -> {event.new or '?'}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
