"""`turnstream tune`: the stitcher's constants searched on a user's own annotated recordings, and what that is worth.

The recordings are parted first: constants are searched on the one part, by Optuna's TPE from a fixed seed, and the
other part, which the search never sees, says whether they are better or only fit what they were searched on. The
models run once over each recording; a trial is arithmetic alone, so constants that would change what is embedded are
left as they are.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from turnstream.errors import TurnstreamError
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.config_file import limits
from turnstream.stitching.stitchers import Stitchers
from turnstream.timeline.records import rttm_of
from turnstream.timeline.timeline import Timeline
from turnstream.weights.cache import cache_dir

from ..options import TuneOptions
from ..outputs import say, warn
from .gain import Accuracy, Gain, gain_of, together, too_little
from .recordings import LazyModels, Recording, Turns, turns_of
from .scoring import score

MISSING = "turnstream tune needs Optuna and pyannote.metrics: pip install 'turnstream[tune]'"
LEAST_RECORDINGS = 2
SPREAD = (0.6, 1.6)  # of its default: between which each constant is searched
SEARCHED = (
    "cluster_distance",
    "join_cosine",
    "join_noise_s",
    "split_cosine",
    "split_apart_cosine",
    "cluster_keep_share",
    "cluster_keep_max_s",
    "cluster_light_share",
    "stranger_cosine",
    "new_speaker_s",
    "assign_trust_s",
    "override_margin",
    "override_cosine",
    "edge_trust_floor",
    "vote_share",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Recordings to search on and to report on; `shared` are names of speakers that are in both."""

    tuning: list[Recording]
    held_out: list[Recording]
    shared: list[str]


def tune(options: TuneOptions) -> int:
    """The command: split, search, report, write."""
    optuna = _optuna()
    if options.out and not Path(options.out).parent.is_dir():  # before the search, which takes minutes
        raise TurnstreamError(f"cannot write {options.out}: there is no folder {Path(options.out).parent}")
    recordings = _recordings(options)
    parts = split(recordings, options.held_out, options.seed)
    _announce(parts)
    default = StitcherConfig()
    found = search(optuna, parts.tuning, default, options)
    tuning, held_out = (
        [accuracies(part, config, options.latency_s) for config in (default, found)]
        for part in (parts.tuning, parts.held_out)
    )
    table = [(name, [together(each) for each in two]) for name, two in (("tuning", tuning), ("held-out", held_out))]
    _print_table(table, parts, options.latency_s)
    problem = too_little(len(parts.held_out), _minutes(parts.held_out))
    searched = 100 * (table[0][1][0].goal - table[0][1][1].goal)
    _judge(found != default, searched, gain_of(held_out[0], held_out[1], options.seed), problem)
    if options.out:
        write(Path(options.out), found)
    return 0


def _optuna() -> Any:
    try:
        import optuna
        import pyannote.metrics  # noqa: F401
    except ImportError:
        raise TurnstreamError(MISSING) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _recordings(options: TuneOptions) -> list[Recording]:
    paths = annotated([Path(path) for path in options.paths])
    models = LazyModels(options.segmentation, options.embedding)
    folder = cache_dir() / "tune" / _models_key(options.segmentation, options.embedding)
    return [Recording(path, folder, models) for path in paths]


def _models_key(*paths: str | None) -> str:
    """Names the checkpoints: what one pair of models said is of no use to another."""
    try:
        said = [Path(path).read_bytes() if path else b"published" for path in paths]
    except OSError as error:
        raise TurnstreamError(f"cannot read {error.filename}: {error.strerror}") from None
    return hashlib.sha256(b"|".join(hashlib.sha256(part).digest() for part in said)).hexdigest()[:16]


def annotated(paths: Sequence[Path]) -> list[Path]:
    """Recordings, folders as the recordings in them that have an RTTM file. Raises TurnstreamError for too few."""
    found: list[Path] = []
    for path in paths:
        beside = sorted(p for p in path.glob("*") if p.suffix != ".rttm" and _is_recording(p))
        found += beside if path.is_dir() else [path]
    if len(found) < LEAST_RECORDINGS:
        got = f"got {len(found)} in {', '.join(map(str, paths))}"
        raise TurnstreamError(f"expected at least {LEAST_RECORDINGS} recordings with an .rttm beside each, {got}")
    return found


def _is_recording(path: Path) -> bool:
    text = {".json", ".uem", ".txt", ".lab", ".csv"}
    return path.is_file() and path.suffix not in text and path.with_suffix(".rttm").exists()


def split(recordings: Sequence[Recording], share: float, seed: int) -> Parts:
    """About `share` of the time held out; recordings with a speaker in common stay together where that is possible."""
    groups = _groups(recordings)
    if len(groups) < 2:
        groups = [[recording] for recording in recordings]
    random.Random(seed).shuffle(groups)
    groups.sort(key=lambda group: sum(recording.duration_s for recording in group))
    wanted = share * sum(recording.duration_s for recording in recordings)
    held_out: list[Recording] = []
    for group in groups[:-1]:  # the largest group is never held out
        if not held_out or sum(r.duration_s for r in held_out + group) <= wanted * 1.25:
            held_out += group
    tuning = [recording for recording in recordings if recording not in held_out]
    return Parts(tuning, held_out, sorted(_names(tuning) & _names(held_out)))


def _groups(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """Recordings that are linked by the names of their speakers."""
    groups: list[list[Recording]] = []
    for recording in recordings:
        linked = [group for group in groups if _names(group) & set(recording.speakers)]
        groups = [group for group in groups if group not in linked]
        groups.append([member for group in linked for member in group] + [recording])
    return groups


def _names(recordings: Sequence[Recording]) -> set[str]:
    return {name for recording in recordings for name in recording.speakers}


def search(
    optuna: Any, recordings: Sequence[Recording], default: StitcherConfig, options: TuneOptions
) -> StitcherConfig:
    """The best of `options.trials` sets of constants; the defaults are the first of them."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=options.seed))
    study.enqueue_trial({name: getattr(default, name) for name in SEARCHED})
    best, began_s = float("inf"), time.monotonic()

    def trial_goal(trial: Any) -> float:
        nonlocal best
        values: dict[str, Any] = {name: trial.suggest_float(name, *search_range(name, default)) for name in SEARCHED}
        goal = accuracy(recordings, replace(default, **values), options.latency_s).goal
        if goal < best:
            best = goal
            print(
                f"trial {trial.number + 1:3d}, {time.monotonic() - began_s:4.0f} s: mean DER {100 * goal:.2f}",
                flush=True,
            )
        return goal

    study.optimize(trial_goal, n_trials=options.trials)
    if study.best_value >= study.trials[0].value:
        return default
    best_values: dict[str, Any] = study.best_params
    return replace(default, **best_values)


def search_range(name: str, default: StitcherConfig) -> tuple[float, float]:
    """Around the default, within what makes sense."""
    value, (low, high) = getattr(default, name), limits(name)
    return max(low, SPREAD[0] * value), min(high, SPREAD[1] * value)


def accuracy(recordings: Sequence[Recording], config: StitcherConfig, latency_s: float) -> Accuracy:
    """The engine's errors over recordings."""
    return together(accuracies(recordings, config, latency_s))


def accuracies(recordings: Sequence[Recording], config: StitcherConfig, latency_s: float) -> list[Accuracy]:
    """The engine's errors over each recording."""
    found = []
    for recording in recordings:
        live, final = diarized(recording, config, latency_s)
        found.append(Accuracy(*score(recording, live, [0.0]), *score(recording, final, [0.0])))
    return found


def diarized(recording: Recording, config: StitcherConfig, latency_s: float) -> tuple[Turns, Turns]:
    """What the engine commits at this latency, and its final result."""
    stitchers, timeline = Stitchers(config), Timeline(latency_s)
    for first_frame, active in recording.windows():
        labels = stitchers.assign(recording.embed_all(stitchers.observe(first_frame, active)))
        timeline.update(labels, max(0, first_frame + len(active)))
    labels = stitchers.finish(recording.embed_all)
    recording.keep()
    final = timeline.finish(labels, recording.end_frame)
    return turns_of(timeline.live_rttm("x")), turns_of(rttm_of("x", final.spans))


def _announce(parts: Parts) -> None:
    for name, part in (("searched on", parts.tuning), ("held out", parts.held_out)):
        size = f"{len(part)} recordings, {_minutes(part):.1f} minutes, {len(_names(part))} speakers"
        print(f"{name}: {size}", flush=True)
    if problem := too_little(len(parts.held_out), _minutes(parts.held_out)):
        warn(problem)
    if parts.shared:
        warn(
            f"{len(parts.shared)} names of speakers are in both parts ({', '.join(parts.shared[:5])}): "
            "if they are the same people, the held-out part is not free of voices that were tuned on"
        )


def _print_table(table: list[tuple[str, list[Accuracy]]], parts: Parts, latency_s: float) -> None:
    print(
        f"\nDER in percent, collar 0, overlap scored   live at {latency_s:g} s: default, found   final: default, found"
    )
    for (name, (before, after)), part in zip(table, (parts.tuning, parts.held_out), strict=True):
        minutes = _minutes(part)
        rows = ((before.live, after.live), (before.final, after.final))
        cells = "   ".join(f"{'':12}{100 * was.der:6.2f} {100 * now.der:6.2f}" for was, now in rows)
        print(f"{f'{name} ({len(part)} recordings, {minutes:.1f} min)':38}{cells}")


def _judge(better: bool, searched_points: float, held_out: Gain, problem: str | None) -> None:
    """One sentence on whether the search was worth it."""
    if not better:
        print("\nnothing better than the defaults was found")
        return
    gain = f"the mean DER fell by {searched_points:.2f} points where it was searched"
    confirmed = f"{held_out.points:.2f} (95 % confidence: {held_out.low:.2f} to {held_out.high:.2f})"
    if problem:
        warn(f"{gain}, on the held-out recordings by {confirmed}, which are too few to be sure: keep the defaults")
    elif held_out.points <= 0:
        warn(f"{gain}, but on the held-out recordings by {confirmed}: keep the defaults")
    elif held_out.low <= 0:
        warn(f"{gain}, on the held-out recordings by {confirmed}, which may be chance: add recordings")
    else:
        print(f"\n{gain} and by {confirmed} on the held-out recordings: use the constants")


def _minutes(recordings: Sequence[Recording]) -> float:
    return sum(recording.duration_s for recording in recordings) / 60


def write(path: Path, config: StitcherConfig) -> None:
    """All constants as JSON, for `--stitcher`. Raises TurnstreamError where that cannot be."""
    try:
        path.write_text(json.dumps(asdict(config), indent=1) + "\n")
    except OSError as error:
        raise TurnstreamError(f"cannot write {path}: {error.strerror}") from None
    say(f"constants written to {path}: use them with turnstream file --stitcher {path}")
