"""Who says what when: turn-taking with pauses, overlap, interruptions and backchannels, and speakers who come back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmarks.sim.speech import Clip
from turnstream.rttm import RttmSegment
from turnstream.windows import SAMPLE_RATE_HZ

Kind = Literal["turn", "goes on", "early", "interruption", "backchannel"]
STEP_SAMPLES = 160  # 10 ms: how finely overlap is counted

# Medians and spreads (of the natural logarithm) in seconds: most answers come within half a second, some much later.
GAP_S, GAP_SPREAD = 0.30, 0.9
EARLY_S, EARLY_SPREAD = 0.45, 0.6  # longer where more overlap is asked for than such answers make ...
EARLY_SHARE = 0.05  # ... which is this
BREATH_S, BREATH_SPREAD = 0.35, 0.6  # between two utterances of one turn
TURN_S, TURN_SPREAD = 4.5, 0.8
LONGEST_GAP_S = 6.0
PHASE_S = (25.0, 70.0)  # the same few people talk this long, then others; shorter, if not all would be heard
PHASE_SPEAKERS = (2, 4)
SAME_AGAIN = 0.12  # chance that nobody answers and the same speaker goes on
OVERLAPS = 0.85  # chance that a change of speaker overlaps while there is less overlap than asked for
INTERRUPTIONS = 0.3  # share of such changes in which the other one is broken off; the rest only start early
BACKCHANNELS = 0.5  # chance of one inside a turn, under the same condition
CUT_OFF_S = (0.25, 0.9)  # how long the interrupted one still talks


@dataclass(frozen=True, slots=True)
class Placed:
    """A clip whose first sample is sample `start` of the conversation."""

    clip: Clip
    start: int
    kind: Kind

    @property
    def speech(self) -> list[tuple[int, int]]:
        """(start, end) of its speech in samples of the conversation."""
        return [(self.start + s, self.start + e) for s, e in self.clip.islands]

    @property
    def speech_end(self) -> int:
        """One past its last sample of speech."""
        return self.start + self.clip.speech_end


class Pool:
    """One speaker's clips in random order, none twice before all were used; `repeated` names those that were."""

    def __init__(self, clips: Sequence[Clip], rng: np.random.Generator):
        self._clips = list(clips)
        self._rng = rng
        self._left: list[Clip] = [clips[n] for n in rng.permutation(len(clips))]
        self._seen: set[str] = set()
        self.repeated: list[str] = []

    @property
    def fresh(self) -> bool:
        """Whether a clip is left that was not used."""
        return bool(self._left) and self._left[-1].name not in self._seen

    def take(self) -> Clip:
        """The next one."""
        if not self._left:
            self._left = [self._clips[n] for n in self._rng.permutation(len(self._clips))]
        clip = self._left.pop()
        if clip.name in self._seen:
            self.repeated.append(clip.name)
        self._seen.add(clip.name)
        return clip


class Dialogue:
    """Makes one conversation of about `length` samples; `placed` holds it, in the order of making."""

    def __init__(
        self,
        utterances: dict[str, list[Clip]],
        backchannels: dict[str, list[Clip]],
        length: int,
        overlap_share: float,
        rng: np.random.Generator,
    ):
        self._rng = rng
        self._length = length
        self._overlap_share = overlap_share
        self._pools = {name: Pool(clips, rng) for name, clips in utterances.items()}
        self._backs = {name: Pool(clips, rng) for name, clips in backchannels.items() if clips}
        self._talkative = dict(zip(utterances, rng.uniform(0.5, 1.5, len(utterances)).tolist(), strict=True))
        self._last_heard = dict.fromkeys(utterances, -1)
        self._group: list[str] = []  # the first of them begins
        self._begins = False
        self._phase_end = 0
        self.placed: list[Placed] = []

    @property
    def repeated(self) -> list[str]:
        """Clips used more than once, because their speaker had no others left."""
        return sorted(name for pools in (self._pools, self._backs) for pool in pools.values() for name in pool.repeated)

    def make(self) -> list[Placed]:
        """Turn after turn until the length is reached."""
        end = self._samples(self._rng.uniform(0.3, 1.2))
        while end < self._length:
            if end >= self._phase_end:
                self._next_phase(end)
            end = self._turn(end)
        return self.placed

    def _next_phase(self, now: int) -> None:
        """The next few people: the one not heard for longest, and any others; those with unused speech first."""
        names = sorted(self._pools, key=lambda name: (self._last_heard[name], self._rng.random()))
        low, high = (min(count, len(names)) for count in PHASE_SPEAKERS)
        names[1:] = [names[1:][n] for n in self._rng.permutation(len(names) - 1)]
        names.sort(key=lambda name: not self._pools[name].fresh)
        self._group = names[: int(self._rng.integers(low, high + 1))]
        self._begins = True
        self._phase_end = now + min(self._samples(self._rng.uniform(*PHASE_S)), self._length // (len(names) + 1))

    def _turn(self, end: int) -> int:
        """Place a turn after (or somewhat before) the sample `end`; the sample at which it ends."""
        last = self.placed[-1].clip.speaker if self.placed else None
        speaker = self._speaker(last, end)
        kind, start = self._transition(last, speaker, end)
        wanted = self._samples(self._drawn_s(TURN_S, TURN_SPREAD))
        turn_start, pieces = start, 0
        while pieces == 0 or (start - turn_start < wanted and self._pools[speaker].fresh):
            clip = self._pools[speaker].take()
            self.placed.append(Placed(clip, start - clip.speech_start, kind if pieces == 0 else "goes on"))
            end, pieces = self.placed[-1].speech_end, pieces + 1
            start = end + self._samples(self._drawn_s(BREATH_S, BREATH_SPREAD))
        self._last_heard[speaker] = end
        self._backchannel(speaker, turn_start, end)
        return end

    def _fresh(self, last: str | None) -> list[str]:
        return [name for name in self._group if name != last and self._pools[name].fresh]

    def _speaker(self, last: str | None, end: int) -> str:
        """Whoever begins a phase; then anyone but the last, unless he goes on; when all is said, the next phase."""
        if not (self._begins or self._fresh(last)):
            self._next_phase(end)
        if self._begins:
            self._begins = False
            return self._group[0]
        if last in self._group and self._rng.random() < SAME_AGAIN and self._pools[last].fresh:
            return last
        fresh = self._fresh(last)
        weights = np.array([self._talkative[name] for name in fresh])
        return fresh[int(self._rng.choice(len(fresh), p=weights / weights.sum()))]

    def _transition(self, last: str | None, speaker: str, end: int) -> tuple[Kind, int]:
        """How a turn follows the last one, and the sample at which its speech starts."""
        gap = min(LONGEST_GAP_S, self._drawn_s(GAP_S, GAP_SPREAD))
        kind: Kind = "goes on" if last == speaker else self._change() if last else "turn"
        start, floor = end + self._samples(gap), self._free_from(speaker)
        if kind == "early":
            median_s = EARLY_S * max(1.0, self._overlap_share / EARLY_SHARE)
            start = end - self._samples(self._drawn_s(median_s, EARLY_SPREAD))
            start = max(start, end - self.placed[-1].clip.speech_samples // 2)
        elif kind == "interruption":
            start = self._break_off(self.placed[-1])
        return kind if start >= floor else "turn", max(start, floor)

    def _change(self) -> Kind:
        """How another speaker takes over."""
        if not self._overlaps(OVERLAPS):
            return "turn"
        return "interruption" if self._rng.random() < INTERRUPTIONS else "early"

    def _overlaps(self, chance: float) -> bool:
        """With this chance, while there is less overlap than asked for."""
        return self._rng.random() < chance and shares(self.placed).overlap_share < self._overlap_share

    def _break_off(self, placed: Placed) -> int:
        """Cut the last clip short; the sample at which the interrupter starts."""
        clip = placed.clip
        talks_on = self._samples(self._rng.uniform(*CUT_OFF_S))
        cut = clip.speech_start + round(clip.speech_samples * self._rng.uniform(0.5, 0.9))
        cut = max(cut, clip.speech_start + 2 * talks_on)
        if cut < clip.speech_end:
            self.placed[-1] = replace(placed, clip=clip.cut(cut))
        return max(placed.start + clip.speech_start, self.placed[-1].speech_end - talks_on)

    def _backchannel(self, speaker: str, start: int, end: int) -> None:
        """Perhaps a short word of a listener inside a turn."""
        listeners = [n for n in self._group if n != speaker and n in self._backs and self._backs[n].fresh]
        if not listeners or not self._overlaps(BACKCHANNELS):
            return
        name = listeners[int(self._rng.integers(len(listeners)))]
        clip = self._backs[name].take()
        room = end - start - clip.speech_samples
        at = start + int(room * self._rng.uniform(0.2, 0.9))
        if room > 0 and at >= self._free_from(name):
            last = self.placed.pop()  # stays the last one: the next turn follows it
            self.placed += [Placed(clip, at - clip.speech_start, "backchannel"), last]
            self._last_heard[name] = at + clip.speech_samples

    def _free_from(self, speaker: str) -> int:
        """Sample from which a speaker can talk again: nobody overlaps himself."""
        breath = self._samples(0.1)
        return max((p.speech_end + breath for p in self.placed if p.clip.speaker == speaker), default=0)

    def _drawn_s(self, median_s: float, spread: float) -> float:
        return float(median_s * math.exp(spread * self._rng.standard_normal()))

    @staticmethod
    def _samples(seconds: float) -> int:
        return round(seconds * SAMPLE_RATE_HZ)


@dataclass(frozen=True, slots=True)
class Shares:
    """Time in which anybody talks, in seconds, and the share of it in which two or more do."""

    speech_s: float
    overlap_share: float


def shares(placed: Sequence[Placed]) -> Shares:
    """Speech and overlap of what is placed, counted in steps of 10 ms."""
    talking = np.zeros(max((p.speech_end for p in placed), default=0) // STEP_SAMPLES + 1, np.uint8)
    for p in placed:
        for start, end in p.speech:
            talking[start // STEP_SAMPLES : end // STEP_SAMPLES] += 1
    speech = int((talking > 0).sum())
    return Shares(speech * STEP_SAMPLES / SAMPLE_RATE_HZ, float((talking > 1).sum() / max(1, speech)))


def talking(placed: Sequence[Placed], length: int) -> np.ndarray:
    """The samples in which anybody talks, (length,) bool."""
    found = np.zeros(length, bool)
    for p in placed:
        for start, end in p.speech:
            found[start:end] = True
    return found


def labels_of(placed: Sequence[Placed]) -> list[RttmSegment]:
    """Who talks when, in order of time."""
    spans = sorted((start, end, p.clip.speaker) for p in placed for start, end in p.speech)
    return [RttmSegment(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ, speaker) for start, end, speaker in spans]
