"""Who says what, live: python examples/live_words.py talk.wav (16 kHz, mono; needs pip install pocketsphinx)

A speech recognizer and turnstream hear the same blocks. Words come late, speakers are corrected: the lines follow.
"""

import sys
from collections.abc import Iterator

import numpy as np
import soundfile
from pocketsphinx import Decoder, Endpointer

from turnstream import Diarizer, SpokenLines, Word

RATE_HZ = 16_000


class Recognizer:
    """Pocketsphinx with the English model that its package brings: words with their times, after each utterance."""

    def __init__(self) -> None:
        self.decoder, self.endpointer = Decoder(samprate=float(RATE_HZ)), Endpointer(sample_rate=RATE_HZ)
        self.waiting, self.begun_s = b"", 0.0

    def feed(self, samples: np.ndarray) -> Iterator[Word]:
        """Samples (N,) int16; the words that were understood by them."""
        self.waiting += samples.tobytes()
        while len(self.waiting) >= self.endpointer.frame_bytes:
            frame = self.waiting[: self.endpointer.frame_bytes]
            self.waiting = self.waiting[len(frame) :]
            yield from self.heard(self.endpointer.process(frame))

    def end(self) -> Iterator[Word]:
        """The audio is over: the words of the last utterance."""
        yield from self.heard(self.endpointer.end_stream(self.waiting or bytes(2)))

    def heard(self, speech: bytes | None) -> Iterator[Word]:
        if speech is None:
            return
        if self.begun_s != self.endpointer.speech_start:
            self.begun_s = self.endpointer.speech_start
            self.decoder.start_utt()
        self.decoder.process_raw(speech)
        if not self.endpointer.in_speech:
            self.decoder.end_utt()
            yield from map(self.word, (part for part in self.decoder.seg() if part.word[0].isalpha()))

    def word(self, part) -> Word:
        """10 ms a frame, from the start of the utterance; `the(2)` is another way to say it."""
        start_s, end_s = self.begun_s + part.start_frame / 100, self.begun_s + (part.end_frame + 1) / 100
        return Word(start_s, end_s, part.word.split("(")[0])


def main() -> None:
    samples, _ = soundfile.read(sys.argv[1], dtype="int16")
    lines, recognizer = SpokenLines(), Recognizer()
    with Diarizer() as diarizer, diarizer.session(sample_rate_hz=RATE_HZ) as session:
        for begin in range(0, len(samples), RATE_HZ // 10):  # as a microphone would give it
            block = samples[begin : begin + RATE_HZ // 10]
            show(lines.update(session.feed(block), recognizer.feed(block)), file=sys.stderr)
        show(lines.update(session.flush(), recognizer.end()), file=sys.stderr)
    lines.update([session.close()])
    for line in lines.lines:
        print(f"{line.start_s:7.2f}  {line.label or '?'}: {line.text}")


def show(change, file) -> None:
    """Only what changed: all lines from one on."""
    for n, line in enumerate(change.lines if change else (), start=change.at if change else 0):
        print(f"line {n}  {line.label or '?'}: {line.text}", file=file, flush=True)


if __name__ == "__main__":
    main()
