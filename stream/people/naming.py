"""Decides which live speaker is which known person: compares voices, keeps names stable. Knows no model and no file.

A confidence is the probability that the speaker is this person, assuming that every other speaker of a stream is a
known person and that all known people are equally likely. `benchmarks/identify.py` fits its constants and measures how
often it is right.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import TurnstreamError
from ..events import speaker_number
from ..limits import INVISIBLE, NAME_LETTERS, legible
from ..stitching.clustering import product
from ..stitching.config import frames
from ..stitching.linear_assignment import best_pairs
from ..stitching.profile import Profile
from ..timeline.records import SpeakerRecord

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NamingConfig:
    """Constants of naming; those of the confidence were fitted by `python -m benchmarks.identify --fit`."""

    # log odds = offset + slope * cosine - reach * trust - alike_live * near(person) - alike_known * near(speaker).
    # trust of two voices is the root of the product of clean_s / (clean_s + trust_s): less speech, lower cosines.
    # near is the mean cosine of the person with the other live speakers, and of the speaker with the other people:
    # voices recorded in one room sound alike, and in a room where nobody was enrolled they all sound unfamiliar.
    odds_offset: float = 1.5
    odds_slope: float = 31.3
    odds_reach: float = 12.8
    odds_alike_live: float = 10.0
    odds_alike_known: float = 23.8
    trust_s: float = 2.7
    near: float = 0.12  # assumed before there are others ...
    near_voices: float = 0.62  # ... and the number of others it counts for
    most_confidence: float = 0.99  # the most that data from 22 speakers can support

    known_share: float = 0.5  # of live speakers who are a known person, before anything is heard
    give: float = 0.9  # confidence from which a name is given ...
    keep: float = 0.5  # ... and down to which it is kept
    live_s: float = 2.0  # clean speech before a name is given: with 1 s one stranger in 30 got one
    change_s: float = 5.0  # of audio between two changes of one speaker's name
    report: float = 0.1  # change of confidence that is reported again


@dataclass(frozen=True, slots=True)
class Known:
    """A person whose voice is known."""

    name: str
    profile: Profile


@dataclass(frozen=True, slots=True)
class Given:
    """The name of a live speaker since `frame` (None: no name since then); `by_user`: the user chose it."""

    name: str | None
    confidence: float
    frame: int
    by_user: bool = False

    @property
    def sureness(self) -> float | None:
        """The confidence to report: none without a name, nor for one that the user chose."""
        return None if self.name is None or self.by_user else self.confidence


def check_name(name: str) -> str:
    """The name in normal form, with single spaces. Raises TurnstreamError if it cannot be used."""
    normal = " ".join(unicodedata.normalize("NFC", name).split())
    if not normal or len(normal) > NAME_LETTERS:
        raise TurnstreamError(f"expected a name of 1 to {NAME_LETTERS} letters, got {len(normal)}")
    if not legible(normal):
        raise TurnstreamError(f"expected a name of printable characters, got {normal!r}")
    if speaker_number(normal) is not None or name_key(normal) in ("unknown", "?"):
        raise TurnstreamError(f"expected a name that turnstream does not use for speakers itself, got {normal}")
    return normal


def name_key(name: str) -> str:
    """A key that is equal for equivalent names: case, underscores, and what is not seen are ignored."""
    return "_".join(unicodedata.normalize("NFKC", INVISIBLE.sub("", name)).casefold().replace("_", " ").split())


def confidences(live: Sequence[Profile], known: Sequence[Profile], config: NamingConfig) -> Doubles:
    """Probability that each live speaker is each known person.

    By Bayes' rule from the likelihood ratios of all pairs, so the more people are known, the more evidence a name
    needs, and a voice that resembles two people gets neither name.

    Shapes: L and K profiles -> (L, K), each row summing to at most 1
    """
    if not live or not known:
        return np.zeros((len(live), len(known)))
    odds = np.exp(np.clip(log_odds(live, known, config), -50, 50))
    prior = config.known_share / (1 - config.known_share) / len(known)
    found: Doubles = np.minimum(prior * odds / (1 + prior * odds.sum(axis=1, keepdims=True)), config.most_confidence)
    return found


def log_odds(live: Sequence[Profile], known: Sequence[Profile], config: NamingConfig) -> Doubles:
    """Log-likelihood ratio of each pair being one person rather than two; `live` are the voices of one stream.

    Shapes: L and K profiles -> (L, K)
    """
    cosines = product(np.stack([p.vector for p in live]).astype(np.float64), np.stack([p.vector for p in known]).T)
    trust = np.outer(*(_trust(np.array([p.clean_s for p in side]), config) for side in (live, known)))
    result: Doubles = (
        config.odds_offset
        + config.odds_slope * cosines
        - config.odds_reach * trust
        - config.odds_alike_live * _near(cosines, config)
        - config.odds_alike_known * _near(cosines.T, config).T
    )
    return result


def _trust(clean_s: Doubles, config: NamingConfig) -> Doubles:
    root: Doubles = np.sqrt(clean_s / (clean_s + config.trust_s))
    return root


def _near(cosines: Doubles, config: NamingConfig) -> Doubles:
    """For each entry, the mean over the other rows, shrunk toward the prior `near`: (L, K)."""
    others, worth = cosines.sum(axis=0) - cosines, config.near_voices
    mean: Doubles = (others + worth * config.near) / (len(cosines) - 1 + worth)
    return mean


class Naming:
    """The names of one stream's speakers: at most one name per speaker, and one speaker per name, at any time.

    Names are given, kept, moved and withdrawn as the evidence changes, but rarely; names chosen by the user stay.
    Raises TurnstreamError if two of `known` have the same name.
    """

    def __init__(self, known: Sequence[Known] = (), config: NamingConfig | None = None):
        self._config = config or NamingConfig()
        self._known = tuple(known)
        self._given: dict[int, Given] = {}
        keys = [name_key(person.name) for person in known]
        for person, key in zip(known, keys, strict=True):
            if keys.count(key) > 1:
                raise TurnstreamError(f"expected known speakers of different names, got {person.name} twice")

    @property
    def listens(self) -> bool:
        """Whether there are known people to recognize."""
        return bool(self._known)

    @property
    def names(self) -> dict[int, tuple[str, float | None]]:
        """Name and confidence of every speaker who currently has a name; None where the user gave it."""
        named = sorted(self._given.items())
        return {speaker: (given.name, given.sureness) for speaker, given in named if given.name is not None}

    def update(self, profiles: Mapping[int, Profile], frame: int) -> list[SpeakerRecord]:
        """Update the names from the voices of the live speakers, by public number, at `frame`; returns the changes."""
        bound = {s for s, given in self._given.items() if given.by_user or self._fresh(given, frame)}
        return self._settle(self._match(profiles, bound), bound, profiles, frame)

    def finish(self, profiles: Mapping[int, Profile], frame: int) -> None:
        """Name everyone again from the final voices, ignoring earlier matches; names chosen by the user stay."""
        self._given = {s: given for s, given in self._given.items() if given.by_user}
        if self._known:
            bound = set(self._given)
            self._settle(self._match(profiles, bound), bound, profiles, frame)

    def merge(self, old: int, into: int | None, frame: int) -> list[SpeakerRecord]:
        """`old` turned out to be `into` or nobody; `into` takes over a user-chosen name unless they have one."""
        given = self._given.pop(old, None)
        if given is None or given.name is None:
            return []
        gone = _record(old, None, frame)
        if into is None or not given.by_user or ((kept := self._given.get(into)) and kept.by_user):
            return [gone]
        self._given[into] = Given(given.name, 1.0, frame, by_user=True)
        return [gone, _record(into, self._given[into], frame)]

    def holder(self, name: str) -> int | None:
        """Who has this name now."""
        key = name_key(name)
        return next((s for s, given in self._given.items() if given.name and name_key(given.name) == key), None)

    def of(self, speaker: int) -> Given | None:
        """What this speaker is called, if that was ever decided."""
        return self._given.get(speaker)

    def restore(self, speaker: int, given: Given | None, frame: int) -> list[SpeakerRecord]:
        """A speaker is called again what they were called before, unless another one has that name now."""
        before = self._given.pop(speaker, None)
        if given and (given.name is None or self.holder(given.name) is None):
            self._given[speaker] = given
        now = self._given.get(speaker)
        changed = (before and before.name, before and before.sureness) != (now and now.name, now and now.sureness)
        return [_record(speaker, now, frame)] if changed else []

    def choose(self, speaker: int, name: str | None, frame: int) -> list[SpeakerRecord]:
        """The user names a speaker (None: not a known person); another speaker with that name loses it."""
        name = None if name is None else check_name(name)
        records = []
        if name and (other := self.holder(name)) not in (None, speaker):
            del self._given[other]
            records.append(_record(other, None, frame))
        self._given[speaker] = given = Given(name, 1.0, frame, by_user=True)
        return [*records, _record(speaker, given, frame)]

    def _fresh(self, given: Given, frame: int) -> bool:
        return frame - given.frame < frames(self._config.change_s)

    def _match(self, profiles: Mapping[int, Profile], bound: set[int]) -> dict[int, tuple[str, float]]:
        """The best names for the speakers that are not bound, one each at most: linear assignment on confidences."""
        taken = {name_key(given.name) for s in bound if (given := self._given[s]).name is not None}
        people = [person for person in self._known if name_key(person.name) not in taken]
        speakers = sorted(set(profiles) - bound)
        found = confidences([profiles[s] for s in speakers], [p.profile for p in people], self._config)
        least = np.full(found.shape, self._config.give)
        for row, speaker in enumerate(speakers):
            if profiles[speaker].clean_s < self._config.live_s:
                least[row] = 1.0
            for column, person in enumerate(people):
                if speaker in self._given and self._given[speaker].name == person.name:
                    least[row, column] = self._config.keep
        pairs = best_pairs(np.maximum(found - least, 0.0))
        return {speakers[row]: (people[column].name, float(found[row, column])) for row, column in pairs}

    def _settle(
        self, matched: dict[int, tuple[str, float]], bound: set[int], profiles: Mapping[int, Profile], frame: int
    ) -> list[SpeakerRecord]:
        """Apply the matched names, withdrawals first, so that two speakers never share a name.

        A speaker whose voice is gone keeps their name until someone else gets it.
        """
        taken = {name for name, _ in matched.values()}
        lost, changed = [], []
        for speaker, given in sorted(self._given.items()):
            name = matched[speaker][0] if speaker in matched else None
            gone = speaker in profiles or given.name in taken
            if speaker not in bound and given.name is not None and given.name != name and gone:
                self._given[speaker] = Given(None, 0.0, frame)
                lost.append(_record(speaker, None, frame))
        for speaker, (name, confidence) in sorted(matched.items()):
            before = self._given.get(speaker)
            if before is None or before.name != name or abs(before.confidence - confidence) >= self._config.report:
                self._given[speaker] = Given(name, round(confidence, 2), frame)
                changed.append(_record(speaker, self._given[speaker], frame))
        return [*lost, *changed]


def _record(speaker: int, given: Given | None, frame: int) -> SpeakerRecord:
    name, sureness = (given.name, given.sureness) if given else (None, None)
    return SpeakerRecord(speaker, frame, "named", name, sureness)
