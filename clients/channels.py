"""Calls with one person on each channel: every channel is diarized on its own, and its number says who talks.

What a channel hears of the others is talk too; where it may be that, a warning says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from turnstream.audio.input import AudioCounts
from turnstream.errors import AudioError
from turnstream.events import Activity, Event, Final, Speaker, Talk, Turn
from turnstream.rttm import RttmSegment, format_rttm, parse_rttm
from turnstream.stitching.profile import Profile, mean_profile

from .outputs import warn
from .sources.reader import Floats
from .sources.source import Source, Step

if TYPE_CHECKING:
    from turnstream.session import Session

LEVEL_S = 0.05
CROSSTALK_DB = 10.0  # below another channel at the same time: what microphones hear of each other is 10 to 40 dB lower
NOTED_S, NOTED_SHARE = 1.0, 0.05  # of a channel's talk; two who talk at once may well be unequally loud
QUIET = 1e-10  # mean square: no level is lower


@dataclass(frozen=True, slots=True)
class HeardChannels:
    """What went in, over all channels."""

    rate_hz: int
    counts: AudioCounts


class ChannelsStream:
    """One session for each channel, as one stream: `S1`, called channel 1, is whoever talks on the first."""

    def __init__(self, sessions: Sequence[Session]):
        if len(sessions) < 2:
            raise AudioError(f"--speaker-per-channel: expected 2 channels or more, got {len(sessions)}")
        self._sessions = sessions
        self._ids: dict[tuple[int, str], str] = {}
        self._met: set[int] = set()
        self._activity: list[deque[Activity]] = [deque() for _ in sessions]
        self._levels = Levels(len(sessions), sessions[0].audio.rate_hz)
        self._final: Final | None = None

    @property
    def audio(self) -> HeardChannels:
        """What went in."""
        counts = [session.audio.counts for session in self._sessions]
        repaired, clipped = (sum(getattr(c, name) for c in counts) for name in ("repaired_values", "clipped_values"))
        peak = max(each.peak for each in counts)
        merged = replace(counts[0], repaired_values=repaired, clipped_values=clipped, peak=peak)
        return HeardChannels(self._sessions[0].audio.rate_hz, merged)

    @property
    def position_s(self) -> float:
        """Seconds of audio received."""
        return self._sessions[0].position_s

    @property
    def voices(self) -> Mapping[str, Profile]:
        """Of each channel on which anyone has said enough."""
        return {_tag(n): mean_profile(list(s.voices.values())) for n, s in enumerate(self._sessions) if s.voices}

    def steps(self, source: Source) -> Iterator[Step]:
        """What becomes known while the source is heard."""
        return source.steps(self)

    def feed(self, samples: Floats) -> list[Event]:
        """Samples (N, C); what became known on any channel."""
        self._levels.add(samples)
        return self._joined([session.feed(samples) for session in self._sessions])

    def gap(self, samples: int) -> list[Event]:
        """Samples per channel that were lost; what became known."""
        self._levels.add(np.zeros((samples, len(self._sessions)), np.float32))
        return self._joined([session.gap(samples) for session in self._sessions])

    def flush(self) -> list[Event]:
        """Ends the audio; what becomes known by its last samples."""
        return self._joined([session.flush() for session in self._sessions])

    def close(self) -> Final:
        """The final result; what may be crosstalk is told with the first call."""
        if self._final is None:
            self._final = self._finish()
        return self._final

    def live_rttm(self, recording: str) -> str:
        """The turns as they were first committed."""
        segments = [
            RttmSegment(segment.start_s, segment.end_s, _name(n).replace(" ", "_"))
            for n, session in enumerate(self._sessions)
            for found in parse_rttm(session.live_rttm(recording)).values()
            for segment in found
        ]
        return format_rttm(recording, sorted(segments, key=lambda s: (s.start_s, s.end_s, s.speaker)))

    def keep_names(self, voice_model: str) -> None:
        """Channels have no other names."""

    def _joined(self, told: Sequence[Iterable[Event]]) -> list[Event]:
        """Turns are the channel's, whoever the engine takes them for; speakers and revisions say nothing then."""
        events: list[Event] = []
        for channel, of_channel in enumerate(told):
            for event in of_channel:
                if isinstance(event, Turn):
                    events += self._meet(channel, event.start_s)
                    events.append(self._own(channel, event))
                elif isinstance(event, Activity):
                    self._activity[channel].append(event)
        return events + list(self._joint_activity())

    def _meet(self, channel: int, at_s: float) -> list[Event]:
        if channel in self._met:
            return []
        self._met.add(channel)
        appeared = Speaker(_tag(channel), "appeared", None, None, None, at_s)
        return [appeared, replace(appeared, state="named", name=_name(channel))]

    def _own(self, channel: int, turn: Turn) -> Turn:
        number = self._ids.setdefault((channel, turn.id), f"T{len(self._ids) + 1}")
        return replace(turn, id=number, speaker=_tag(channel), name=_name(channel))

    def _joint_activity(self) -> Iterator[Activity]:
        while all(self._activity):
            heard = [each.popleft() for each in self._activity]
            talking = sum(each.speech for each in heard)
            overlap = talking > 1 or any(each.overlap for each in heard)
            yield replace(heard[0], speech=talking > 0, overlap=overlap)

    def _finish(self) -> Final:
        finals = [session.close() for session in self._sessions]
        turns = [_merged([self._own(n, turn) for turn in final.turns]) for n, final in enumerate(finals)]
        for n, of_channel in enumerate(turns):
            self._note_crosstalk(n, of_channel)
        talks = [
            Talk(_tag(n), _name(n), None, round(sum(turn.end_s - turn.start_s for turn in found), 3))
            for n, found in enumerate(turns)
            if found
        ]
        ordered = sorted((turn for found in turns for turn in found), key=lambda t: (t.start_s, t.end_s, t.id))
        return replace(finals[0], turns=tuple(ordered), speakers=tuple(talks))

    def _note_crosstalk(self, channel: int, turns: Sequence[Turn]) -> None:
        for other, quieter_s in enumerate(self._levels.quieter_s(channel, turns)):
            talk_s = sum(turn.end_s - turn.start_s for turn in turns)
            if quieter_s > max(NOTED_S, NOTED_SHARE * talk_s):
                warn(
                    f"{quieter_s:.1f} of {talk_s:.1f} s of talk on channel {channel + 1} are {CROSSTALK_DB:g} dB or "
                    f"more below channel {other + 1}: it may be crosstalk"
                )


class Levels:
    """The power of each channel in every `LEVEL_S`."""

    def __init__(self, channels: int, rate_hz: int):
        self._size = max(1, round(LEVEL_S * rate_hz))
        self._step_s = self._size / rate_hz
        self._rest = np.zeros((0, channels), np.float32)
        self._powers: list[NDArray[np.float32]] = []

    def add(self, samples: Floats) -> None:
        """(N, C)."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % self._size
        blocks = joined[:whole].reshape(-1, self._size, joined.shape[1])
        self._powers.append(np.mean(blocks.astype(np.float64) ** 2, axis=1).astype(np.float32))
        self._rest = joined[whole:]

    def quieter_s(self, channel: int, turns: Sequence[Turn]) -> list[float]:
        """For each other channel, how long it was louder by `CROSSTALK_DB` during these turns; 0 for the own."""
        powers = np.maximum(np.concatenate(self._powers), QUIET)
        talks = np.zeros(len(powers), bool)
        for turn in turns:
            talks[round(turn.start_s / self._step_s) : round(turn.end_s / self._step_s)] = True
        below = powers[talks] > powers[talks, channel : channel + 1] * 10 ** (CROSSTALK_DB / 10)
        loudest = powers[talks].argmax(axis=1)
        others = range(powers.shape[1])
        return [float(np.count_nonzero(below[:, n] & (loudest == n))) * self._step_s for n in others]


def _merged(turns: Sequence[Turn]) -> list[Turn]:
    """Turns of one person that touch are one."""
    merged: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)):
        if merged and turn.start_s <= merged[-1].end_s:
            end_s = max(turn.end_s, merged[-1].end_s)
            merged[-1] = replace(merged[-1], end_s=end_s, committed_s=end_s)
        else:
            merged.append(turn)
    return merged


def _tag(channel: int) -> str:
    return f"S{channel + 1}"


def _name(channel: int) -> str:
    return f"channel {channel + 1}"
