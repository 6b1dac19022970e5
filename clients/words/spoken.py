"""Who said which words: words and events in any order go in, lines of one speaker each come out.

A pure state machine: it knows no recognizer, no socket and no model. Whatever was known in between, the lines at the
end are those that the words and the final result alone give.

The rule: a word belongs to the speaker who talks for most of it. Where several talk all the time, it is theirs who
began first and still goes on. A word outside any turn belongs to the nearest turn within `REACH_S`, else to nobody,
as does one in a turn whose speaker is unknown.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from turnstream.events import Event, Final, Revision, Speaker, Turn

REACH_S = 1.0  # recognizers put words a little before or behind where they are heard
PAUSE_S = 1.5  # in live talk a longer silence begins a new line
LEAST_S = 0.001  # a word without length is looked at for this long


@dataclass(frozen=True, slots=True)
class Word:
    """A word as a recognizer heard it, in seconds of the stream.

    segment: what the recognizer gave as one piece; a line never goes beyond it. place: orders words of one start.

    >>> Word(1.0, 1.4, "hello").text
    'hello'
    """

    start_s: float
    end_s: float
    text: str
    segment: int = 0
    place: int = 0

    @property
    def order(self) -> tuple[int, float, int, float, str]:
        """Sorts words as they were said."""
        return self.segment, self.start_s, self.place, self.end_s, self.text


@dataclass(frozen=True, slots=True)
class Line:
    """Words of one speaker (None: nobody known) in a row.

    >>> Line("S1", "Anna", (Word(1.0, 1.4, "Hello"), Word(1.5, 1.9, "Ben."))).text
    'Hello Ben.'
    """

    speaker: str | None
    name: str | None
    words: tuple[Word, ...]

    @property
    def start_s(self) -> float:
        return self.words[0].start_s

    @property
    def end_s(self) -> float:
        return max(word.end_s for word in self.words)

    @property
    def text(self) -> str:
        """The words with a blank between them."""
        return " ".join(word.text.strip() for word in self.words)

    @property
    def label(self) -> str | None:
        """The name, or `S1` where there is none."""
        return self.name or self.speaker


@dataclass(frozen=True, slots=True)
class Change:
    """What to do with a list of lines to have the newest: `lines[at:] = change.lines`."""

    at: int
    lines: tuple[Line, ...]


class SpokenLines:
    """The lines of one stream. `pause_s`: a longer silence between two words begins a new line; None: none does."""

    def __init__(self, pause_s: float | None = PAUSE_S) -> None:
        self.lines: tuple[Line, ...] = ()
        self._pause_s = pause_s
        self._words: list[Word] = []
        self._speakers: dict[Word, str | None] = {}  # of the words that need not be looked at again
        self._turns: dict[str, Turn] = {}
        self._names: dict[str, str] = {}
        self._touched: list[tuple[float, float]] = []

    def update(self, events: Iterable[Event] = (), words: Iterable[Word] = ()) -> Change | None:
        """Takes events, in the order they came, and words in any; what changed of `lines`, None where nothing did."""
        for event in events:
            self._apply(event)
        for word in words:
            insort(self._words, word, key=lambda known: known.order)
        self._forget_touched()
        self._attribute()
        return self._changed(tuple(self._grouped()))

    def _apply(self, event: Event) -> None:
        match event:
            case Turn():
                self._replace(event)
            case Revision():
                for turn in [self._turns[i] for i in event.turns if i in self._turns]:
                    self._replace(replace(turn, speaker=event.new, name=self._names.get(event.new or "")))
            case Speaker(state="named"):
                self._name(event.id, event.name)
            case Final():
                self._turns = {turn.id: turn for turn in event.turns}
                self._names = {talk.speaker: talk.name for talk in event.speakers if talk.speaker and talk.name}
                self._speakers.clear()

    def _replace(self, turn: Turn) -> None:
        for each in [known for known in (self._turns.get(turn.id), turn) if known]:
            self._touched.append((each.start_s - REACH_S, each.end_s + REACH_S))
        if turn.state == "retracted":
            self._turns.pop(turn.id, None)
            return
        self._turns[turn.id] = turn
        if turn.speaker and turn.name:
            self._name(turn.speaker, turn.name)

    def _name(self, speaker: str, name: str | None) -> None:
        self._names.pop(speaker, None)
        if name is not None:
            self._names[speaker] = name

    def _forget_touched(self) -> None:
        """Words near turns that changed are looked at again."""
        spans, self._touched = _joined(self._touched), []
        if spans:
            starts = [start for start, _ in spans]
            for word in [word for word in self._speakers if _meets(word, spans, starts)]:
                del self._speakers[word]

    def _attribute(self) -> None:
        if new := [word for word in self._words if word not in self._speakers]:
            turns = Turns(self._turns.values())
            self._speakers.update((word, turns.speaker_of(word)) for word in new)

    def _grouped(self) -> Iterator[Line]:
        group: list[Word] = []
        for word in self._words:
            if group and self._parts(group[-1], word):
                yield self._line(group)
                group = []
            group.append(word)
        if group:
            yield self._line(group)

    def _parts(self, before: Word, word: Word) -> bool:
        """Whether a new line begins between these words."""
        if before.segment != word.segment or self._speakers[before] != self._speakers[word]:
            return True
        return self._pause_s is not None and word.start_s - before.end_s > self._pause_s

    def _line(self, words: Sequence[Word]) -> Line:
        speaker = self._speakers[words[0]]
        return Line(speaker, self._names.get(speaker or ""), tuple(words))

    def _changed(self, lines: tuple[Line, ...]) -> Change | None:
        pairs = zip(self.lines, lines, strict=False)
        same = next((n for n, (old, new) in enumerate(pairs) if old != new), min(len(self.lines), len(lines)))
        unchanged = same == len(self.lines) == len(lines)
        self.lines = lines
        return None if unchanged else Change(same, lines[same:])


@dataclass(slots=True)
class Turns:
    """Turns by time, and who said a word that was heard among them."""

    turns: Iterable[Turn]
    _sorted: list[Turn] = field(init=False)
    _starts: list[float] = field(init=False)
    _ends: list[float] = field(init=False)  # the latest end of this turn and all before it

    def __post_init__(self) -> None:
        self._sorted = sorted(self.turns, key=lambda turn: (turn.start_s, turn.end_s, turn.id))
        self._starts = [turn.start_s for turn in self._sorted]
        self._ends = list(accumulate((turn.end_s for turn in self._sorted), max))

    def speaker_of(self, word: Word) -> str | None:
        """See the rule above."""
        start_s, end_s = word.start_s, max(word.end_s, word.start_s + LEAST_S)
        shares_s: dict[str | None, float] = {}
        since_s: dict[str | None, float] = {}
        for turn in self._between(start_s, end_s):
            share_s = min(turn.end_s, end_s) - max(turn.start_s, start_s)
            shares_s[turn.speaker] = shares_s.get(turn.speaker, 0.0) + share_s
            since_s.setdefault(turn.speaker, turn.start_s)
        if not shares_s:
            return self._nearest(start_s, end_s)
        most_s = max(shares_s.values())
        equal = [speaker for speaker, share_s in shares_s.items() if share_s > most_s - LEAST_S]
        return min(equal, key=lambda speaker: (speaker is None, since_s[speaker], speaker or ""))

    def _between(self, start_s: float, end_s: float) -> list[Turn]:
        """The turns that overlap this time."""
        first, last = bisect_right(self._ends, start_s), bisect_left(self._starts, end_s)
        return [turn for turn in self._sorted[first:last] if turn.end_s > start_s]

    def _nearest(self, start_s: float, end_s: float) -> str | None:
        near = self._between(start_s - REACH_S, end_s + REACH_S)
        distances = [(max(turn.start_s - end_s, start_s - turn.end_s), n) for n, turn in enumerate(near)]
        return near[min(distances)[1]].speaker if distances else None


def lines_of(words: Iterable[Word], final: Final, pause_s: float | None = PAUSE_S) -> tuple[Line, ...]:
    """The lines of words whose stream is over."""
    spoken = SpokenLines(pause_s)
    spoken.update([final], words)
    return spoken.lines


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans):
        if joined and start_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((start_s, end_s))
    return joined


def _meets(word: Word, spans: Sequence[tuple[float, float]], starts: Sequence[float]) -> bool:
    """Whether a word lies in one of these spans, or at its edge."""
    at = bisect_right(starts, max(word.end_s, word.start_s + LEAST_S))
    return at > 0 and spans[at - 1][1] >= word.start_s
