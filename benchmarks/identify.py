"""How often a known speaker is named, and a stranger is not: false rejects, false accepts, wrong names, calibration.

    python -m benchmarks.identify DATA            # voices: rates by seconds of enrolment and of live speech
    python -m benchmarks.identify DATA --fit      # the constants of the confidence, from the other half of the speakers
    python -m benchmarks.identify DATA --half A   # the half on which thresholds are chosen

Speakers in order of name: every second one from the first on (half A) is for fitting, the others (half B) for the
report. A trial is one live speaker of a stream of four, or alone: half of those who talk are enrolled, and others who
do not talk, five in all. Enrolment and test never share an utterance; conditions: see benchmarks/voices.py.
Trials of one speaker are not independent: intervals are 95 % bootstrap intervals over speakers; where nothing went
wrong, the upper bound is that of so many independent speakers. Rows of 1 s are what would be if the engine gave names
so soon: it waits for `NamingConfig.live_s`. End to end: benchmarks/identify_streams.py.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.results import Figure, Result, add_json, asked
from benchmarks.voices import CONDITIONS, Piece, Voice, digests, load
from turnstream.people.naming import Known, Naming, NamingConfig, confidences, log_odds
from turnstream.stitching.profile import Profile, mean_profile

ENROLLED_S, HEARD_S = (5.0, 15.0, 30.0), (1.0, 3.0, 10.0, 30.0)
DRAWS, FIT_DRAWS, ENROLLED = 100, 12, 5
HALF_S = 0.5  # of a piece's first second: less speech than that is not worth a piece
SEED = 4


@dataclass(frozen=True)
class Case:
    """A row of the table: the condition, seconds enrolled and heard of each, people in a stream."""

    condition: str
    enrolled_s: float
    heard_s: float
    people: int = 4


@dataclass(frozen=True)
class Trial:
    """One live speaker against all who are enrolled: the name that he got, and the likeliest one."""

    speaker: str
    known: bool
    named: str | None
    best: str
    confidence: float


def take(pieces: list[Piece], seconds: float, rng: np.random.Generator) -> Profile:
    """A stretch of so much speech from anywhere in the pieces, or all of them where there is less."""
    chosen: list[Profile] = []
    at, left = int(rng.integers(len(pieces))), seconds
    for whole, begin in pieces[at:] + pieces[:at]:
        piece = whole if left >= whole.clean_s - HALF_S else begin
        if left < HALF_S:
            break
        chosen.append(piece)
        left -= piece.clean_s
    return mean_profile(chosen)


def trials(voices: list[Voice], case: Case, config: NamingConfig) -> Iterator[Trial]:
    """Streams of people of whom half are enrolled, beside others who are enrolled and not there."""
    rng = np.random.default_rng(SEED)
    for _ in range(DRAWS):
        order = [voices[n] for n in rng.permutation(len(voices))]
        here = order[: case.people]
        known = order[case.people // 2 :][:ENROLLED] if case.people > 1 else order[int(rng.integers(2)) :][:ENROLLED]
        enrolled = [Known(v.name, take(v.enrolled[case.condition], case.enrolled_s, rng)) for v in known]
        live = {n: take(v.heard[case.condition], case.heard_s, rng) for n, v in enumerate(here)}
        naming = Naming(enrolled, config)
        naming.update(live, 0)
        named = {n: name for n, (name, _) in naming.names.items()}
        table = confidences(list(live.values()), [person.profile for person in enrolled], config)
        for n, voice in enumerate(here):
            best = enrolled[int(table[n].argmax())].name
            yield Trial(voice.name, voice in known, named.get(n), best, float(table[n].max()))


@dataclass(frozen=True, slots=True)
class Rate:
    """Errors of a number of trials, and the 95 % interval of their share over speakers."""

    wrong: int
    count: int
    interval: tuple[float, float]

    def cell(self) -> str:
        """For the table: share in percent, interval, counts."""
        low, high = self.interval
        share = f"{100 * self.wrong / self.count:5.1f} ({100 * low:.0f}-{100 * high:.0f})"
        return f"{share:>15} {self.wrong:4d}/{self.count:<4d}"

    def figure(self) -> Figure:
        """In percent of the trials."""
        low, high = self.interval
        return Figure(100 * self.wrong / self.count, "%", "error", spread=(100 * low, 100 * high))


def rate(errors: list[bool], speakers: list[str]) -> Rate:
    """Of which trials went wrong, and whose they were."""
    names = sorted(set(speakers))
    own = {name: [e for e, s in zip(errors, speakers, strict=True) if s == name] for name in names}
    wrong, count = np.array([sum(own[n]) for n in names]), np.array([len(own[n]) for n in names])
    if not wrong.sum():
        low, high = 0.0, 1 - 0.05 ** (1 / len(names))
    else:
        draws = np.random.default_rng(SEED).integers(len(names), size=(2000, len(names)))
        low, high = np.percentile(wrong[draws].sum(axis=1) / count[draws].sum(axis=1), [2.5, 97.5])
    return Rate(int(wrong.sum()), int(count.sum()), (float(low), float(high)))


def report(voices: list[Voice], config: NamingConfig) -> dict[str, Figure]:
    """The table of rates, then how far confidences can be believed; both as figures, `clean.15s_3s.false_accept`."""
    print(f"{len(voices)} speakers; a name is given from confidence {config.give:g} on; shares in %, 95 % interval\n")
    print("people  live     enrolled  heard   false accept              false reject              wrong name")
    cases = [Case(c, e, h) for c in CONDITIONS for e in ENROLLED_S for h in HEARD_S]
    alone = [Case(c, 15.0, h, people=1) for c in CONDITIONS for h in HEARD_S]
    everything: list[Trial] = []
    figures: dict[str, Figure] = {"speakers": Figure(len(voices), "speakers", "count", "neither")}
    for case in [*cases, *alone]:
        found = list(trials(voices, case, config))
        everything += found
        rates = _rates(found)
        cells = "  ".join(rate.cell() for rate in rates.values())
        print(f"{case.people:6}  {case.condition:7} {case.enrolled_s:5g} s   {case.heard_s:4g} s  {cells}")
        row = f"{'alone.' * (case.people == 1)}{case.condition}.{case.enrolled_s:g}s_{case.heard_s:g}s"
        figures |= {f"{row}.{kind}": rate.figure() for kind, rate in rates.items()}
    return figures | _calibration(everything)


def _rates(found: list[Trial]) -> dict[str, Rate]:
    strangers, known = ([t for t in found if t.known == wanted] for wanted in (False, True))
    who = [t.speaker for t in known]
    return {
        "false_accept": rate([t.named is not None for t in strangers], [t.speaker for t in strangers]),
        "false_reject": rate([t.named is None for t in known], who),
        "wrong_name": rate([t.named not in (None, t.speaker) for t in known], who),
    }


def _calibration(found: list[Trial]) -> dict[str, Figure]:
    """Known and unknown speakers count alike, as the confidence assumes."""
    print("\nconfidence      trials   mean confidence   right, of them (known and strangers weighed alike)")
    right = np.array([t.known and t.best == t.speaker for t in found])
    share = np.mean([t.known for t in found])
    weight = np.array([0.5 / share if t.known else 0.5 / (1 - share) for t in found])
    confidence = np.array([t.confidence for t in found])
    figures = {}
    edges = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0]
    for low, high in itertools.pairwise(edges):
        inside = (confidence >= low) & ((confidence < high) | (high == 1.0))
        if inside.any():
            mean, good = (np.average(values[inside], weights=weight[inside]) for values in (confidence, right))
            print(f"{low:4.2f} - {high:4.2f}  {inside.sum():8d}   {mean:15.3f}   {good:.3f}")
            figures[f"confidence.{low:g}.right"] = Figure(100 * float(good), "%", "error", "neither")
            figures[f"confidence.{low:g}.told"] = Figure(100 * float(mean), "%", "error", "neither")
    return figures


def fit(voices: list[Voice], config: NamingConfig) -> NamingConfig:
    """Logistic regression of same against different persons, each kind weighing one half, over all cases."""
    streams = list(_fit_streams(voices))
    same = np.concatenate([truth.ravel() for _, _, truth in streams])
    weight = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    names = ("odds_offset", "odds_slope", "odds_reach", "odds_alike_live", "odds_alike_known", "near")

    def tried(at: NDArray[np.float64]) -> NamingConfig:
        plain = dict(zip(names, at[:6].tolist(), strict=True))
        return replace(config, **plain, trust_s=float(np.exp(at[6])), near_voices=float(np.exp(at[7])))

    def loss(at: NDArray[np.float64]) -> float:
        odds = np.concatenate([log_odds(live, known, tried(at)).ravel() for live, known, _ in streams])
        return float((weight * np.logaddexp(0, np.where(same, -odds, odds))).sum())

    start = [-1.0, 30.0, 12.0, 12.0, 24.0, 0.1, 1.0, -0.2]
    best = minimize(loss, start, method="Nelder-Mead", options={"maxfev": 3000, "xatol": 0.01, "fatol": 1e-6})
    print(f"cross entropy {best.fun:.4f} (no information: {np.log(2):.4f}) after {best.nfev} steps")
    return tried(best.x)


def _fit_streams(voices: list[Voice]) -> Iterator[tuple[list[Profile], list[Profile], NDArray[np.bool_]]]:
    """Live voices of streams of one to five people, some to all of them and others enrolled, which pairs are one."""
    rng = np.random.default_rng(SEED)
    for condition, enrolled_s, heard_s in itertools.product(CONDITIONS, ENROLLED_S, HEARD_S):
        for _ in range(FIT_DRAWS):
            here = rng.choice(len(voices), int(rng.integers(1, 6)), replace=False)
            others = rng.choice(len(voices), int(rng.integers(1, 7)), replace=False)
            known = np.unique([here[0], *others])
            yield (
                [take(voices[n].heard[condition], heard_s, rng) for n in here],
                [take(voices[n].enrolled[condition], enrolled_s, rng) for n in known],
                here[:, None] == known,
            )


def main() -> None:
    """Fit or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with speakers/, rir/ and noise/")
    parser.add_argument("--fit", action="store_true", help="print constants instead of rates")
    parser.add_argument("--half", choices=("A", "B"), help="speakers (default: A for --fit, B for the report)")
    add_json(parser)
    arguments, busy = parser.parse_args(), os.getloadavg()[0]
    half = arguments.half or ("A" if arguments.fit else "B")
    voices = load(arguments.data)[("A", "B").index(half) :: 2]
    if arguments.fit:
        print(fit(voices, NamingConfig()))
    else:
        figures = report(voices, replace(NamingConfig(), live_s=0.0))
        if arguments.json:
            data, parameters = digests(arguments.data), {"half": half, "draws": DRAWS, "enrolled": ENROLLED}
            Result(
                "identify", asked("benchmarks.identify"), figures, parameters, data=data, seed=SEED, load=busy
            ).write(arguments.json)


if __name__ == "__main__":
    main()
