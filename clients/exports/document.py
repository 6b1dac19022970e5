"""What is exported: a final result and, where a transcript was at hand, who said what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from turnstream.events import Final, speaker_number

from ..words.spoken import Line, lines_of
from ..words.transcript import Transcript

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Spoken:
    """A stretch of one speaker's talk; `text` is empty where no words are known."""

    start_s: float
    end_s: float
    label: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """`recording` names the audio. `lines` are those of `transcript`, none without one."""

    recording: str
    final: Final
    lines: tuple[Line, ...] = ()
    transcript: Transcript | None = None

    @classmethod
    def of(cls, recording: str, final: Final, transcript: Transcript | None) -> Document:
        """The result, with the transcript's words given to its speakers."""
        lines = lines_of(transcript.words, final, pause_s=None) if transcript else ()
        return cls(recording, final, lines, transcript)

    @property
    def spoken(self) -> Sequence[Spoken]:
        """The lines of the transcript; without one the turns, by start."""
        if self.transcript:
            return [Spoken(line.start_s, line.end_s, line.label or UNKNOWN, line.text) for line in self.lines]
        turns = sorted(self.final.turns, key=lambda turn: (turn.start_s, turn.end_s, turn.id))
        return [Spoken(turn.start_s, turn.end_s, turn.name or turn.speaker or UNKNOWN) for turn in turns]

    @property
    def labels(self) -> Sequence[str]:
        """Everybody in `spoken`: speakers by number or name in order of appearance, the unknown last."""
        talks = sorted(self.final.speakers, key=lambda talk: speaker_number(talk.speaker or "") or 0)
        known = [talk.name or talk.speaker for talk in talks if talk.speaker]
        said = {spoken.label: None for spoken in self.spoken}
        ordered = [*(label for label in known if label in said), *said]
        return list(dict.fromkeys([*(label for label in ordered if label != UNKNOWN), *ordered]))

    @property
    def line_fields(self) -> list[dict[str, Any]]:
        """The lines as JSON has them."""
        return [
            {
                "speaker": line.speaker,
                "name": line.name,
                "start": round(line.start_s, 3),
                "end": round(line.end_s, 3),
                "text": line.text,
            }
            for line in self.lines
        ]
