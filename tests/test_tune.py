"""`turnstream tune`: parts that share nobody, a search that never does worse where it searched, an honest report."""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.tone_speakers import ToneModels, conversation, write_recording
from turnstream.clients.cli import main
from turnstream.clients.evaluation import tune as tuning
from turnstream.clients.evaluation.gain import Accuracy, gain_of, too_little
from turnstream.clients.evaluation.recordings import Recording, read_reference
from turnstream.clients.evaluation.scoring import Errors
from turnstream.clients.evaluation.tune import SEARCHED, annotated, search_range, split, tune
from turnstream.clients.options import TuneOptions
from turnstream.errors import TurnstreamError
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.config_file import limits

pytestmark = pytest.mark.slow

DEFAULT = StitcherConfig()


@dataclass(eq=False)
class Named:
    """As much of a recording as parting needs."""

    speakers: list[str]
    duration_s: float = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three short recordings of other names each, an empty cache, models that hear tones."""
    monkeypatch.setenv("TURNSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "LazyModels", ToneModels)
    for n, name in enumerate("abc"):
        write_recording(tmp_path / f"{name}.wav", conversation(n, 6), prefix=name)
    return tmp_path


def arguments(*paths: Path, **changes: Any) -> TuneOptions:
    """Of the command, with few trials."""
    return TuneOptions(**{"trials": 4, "paths": tuple(map(str, paths)), **changes})


@pytest.mark.parametrize("seed", range(5))
def test_parts_share_no_speaker_where_that_is_possible(seed: int) -> None:
    chain = [Named(["x", "y"]), Named(["y", "z"]), Named(["z"])]
    alone = [Named([f"n{n}"]) for n in range(4)]
    parts = split([*chain, *alone], 0.4, seed)  # type: ignore[list-item]
    assert parts.shared == []
    assert sorted(map(id, parts.tuning + parts.held_out)) == sorted(map(id, [*chain, *alone]))
    assert {recording in parts.held_out for recording in chain} == {False}
    assert len(parts.held_out) in (2, 3)


def test_names_that_everybody_bears_are_told() -> None:
    parts = split([Named(["speaker1", "speaker2"]) for _ in range(5)], 0.4, 0)  # type: ignore[misc]
    assert len(parts.held_out) == 2
    assert parts.shared == ["speaker1", "speaker2"]


def test_the_split_depends_on_the_seed_alone() -> None:
    recordings = [Named([f"n{n}"]) for n in range(8)]
    parts = [split(recordings, 0.4, seed).held_out for seed in (0, 0, 1, 2, 3)]  # type: ignore[arg-type]
    assert parts[0] == parts[1]
    assert any(part != parts[0] for part in parts[2:])


def test_searched_constants_exist_and_stay_within_their_limits() -> None:
    assert set(SEARCHED) <= {field.name for field in fields(StitcherConfig)}
    for name in SEARCHED:
        low, high = search_range(name, DEFAULT)
        assert limits(name)[0] <= low < getattr(DEFAULT, name) < high <= limits(name)[1]


def test_the_models_run_once_and_the_constants_load(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = replace(DEFAULT, cluster_distance=0.02, join_cosine=1.0, join_noise_s=0.0)
    out = folder / "constants.json"
    assert tune(arguments(folder, out=str(out))) == 0
    shown, warnings = capsys.readouterr()
    assert "minutes held out are too little to say whether constants are better: expected 4 or more" in warnings
    assert "use the constants" not in shown
    assert "searched on: 2 recordings" in shown
    assert "held out: 1 recordings" in shown
    assert StitcherConfig.from_json(out) != bad
    assert set(json.loads(out.read_text())) == {field.name for field in fields(StitcherConfig)}
    kept = sorted((folder / "cache" / "tune").rglob("*-segmentation-*.npy"))
    assert len(kept) == 3


def test_a_search_finds_better_constants_where_there_are_some(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    models: Any = ToneModels(noise=0.8)
    recordings = [Recording(folder / f"{name}.wav", folder / "kept", models) for name in "ab"]
    bad = replace(DEFAULT, cluster_distance=0.3, join_cosine=1.0, join_noise_s=0.0, stranger_cosine=0.9)
    before = tuning.accuracy(recordings, bad, 1.0).goal
    found = tuning.search(optuna, recordings, bad, arguments(trials=15))
    assert found == tuning.search(optuna, recordings, bad, arguments(trials=15))
    after = tuning.accuracy(recordings, found, 1.0).goal
    assert after < before
    untouched = {field.name for field in fields(StitcherConfig)} - set(SEARCHED)
    assert all(getattr(found, name) == getattr(bad, name) for name in untouched)
    assert f"{100 * after:.2f}" in capsys.readouterr().out


def test_nothing_better_leaves_the_defaults(folder: Path) -> None:
    import optuna

    recordings = [Recording(folder / "a.wav", folder / "kept", ToneModels())]  # type: ignore[arg-type]
    assert tuning.search(optuna, recordings, DEFAULT, arguments(trials=1)) is DEFAULT


def pairs(*points: float, speech_s: float = 100.0) -> tuple[list[Accuracy], list[Accuracy]]:
    """Before and after, of recordings whose DER fell by these points."""
    before, after = (
        [Accuracy(*[Errors(speech_s, 0.0, 0.0, (20.0 - less) / 100 * speech_s)] * 2) for less in fell]
        for fell in ([0.0] * len(points), points)
    )
    return before, after


@pytest.mark.parametrize(
    ("points", "minutes", "said"),
    [
        (
            [-0.5, -0.4, -0.6, -0.5],
            20.0,
            "held-out recordings by -0.50 (95 % confidence: -0.58 to -0.42): keep the defaults",
        ),
        ([6.0, -1.0, -1.0, -1.0, -1.0], 20.0, "by 0.40 (95 % confidence: -1.00 to 3.20), which may be chance: add"),
        ([2.0, 1.5, 1.5, 1.0], 20.0, ""),
        ([2.0, 1.5, 1.5, 1.0], 9.0, "which are too few to be sure: keep the defaults"),
        ([2.0, 1.5, 1.5], 20.0, "which are too few to be sure: keep the defaults"),
    ],
)
def test_what_the_held_out_part_does_not_confirm_is_told(
    points: list[float], minutes: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tuning._judge(True, 2.0, gain_of(*pairs(*points), seed=0), too_little(len(points), minutes))
    shown = capsys.readouterr()
    assert said in shown.err
    assert bool(shown.err) == bool(said)
    assert ("use the constants" in shown.out) == (not said)
    assert "by 2.00 points where it was searched" in shown.out + shown.err


def test_the_interval_holds_the_gain_and_shrinks_with_recordings() -> None:
    few, many = (gain_of(*pairs(*([0.0, 2.0] * n)), seed=0) for n in (3, 30))
    for gain in (few, many):
        assert gain.points == pytest.approx(1.0)
        assert gain.low <= gain.points <= gain.high
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_without_the_extra_one_sentence_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["tune", str(folder)]) == 1
    assert capsys.readouterr().err == f"turnstream: {tuning.MISSING}\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--held-out", "1"], "expected a share between 0 and 1, got 1"),
        (["--seed", "-1"], "expected a whole number from 0, got -1"),
        (["--trials", "0"], "expected a whole number from 1, got 0"),
        (["--latency", "9"], "latency must be 0.5 to 5 s, got 9"),
    ],
)
def test_wrong_options_are_refused(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["tune", "x", *options])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_too_few_recordings_and_references_that_are_none(folder: Path) -> None:
    with pytest.raises(TurnstreamError, match=r"at least 2 recordings with an \.rttm beside each, got 1"):
        annotated([folder / "a.wav"])
    with pytest.raises(TurnstreamError, match=r"expected a reference beside the recording in .*nowhere\.rttm"):
        read_reference(folder / "nowhere.rttm")
    (folder / "a.rttm").write_text("SPEAKER a 1 zero 1 <NA> <NA> s <NA> <NA>\n")
    with pytest.raises(TurnstreamError, match=r"a\.rttm: RTTM line 1: expected start and duration, got 'zero 1'"):
        read_reference(folder / "a.rttm")
    (folder / "a.rttm").write_text(";; nobody\n")
    with pytest.raises(TurnstreamError, match="expected at least 1 SPEAKER line, got 0"):
        read_reference(folder / "a.rttm")


def test_where_to_write_is_checked_before_the_search(folder: Path) -> None:
    with pytest.raises(TurnstreamError, match=r"cannot write .*: there is no folder"):
        tune(arguments(folder, out=str(folder / "nowhere" / "constants.json")))


def test_a_constants_file_is_checked_before_anything_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    constants = folder / "constants.json"
    constants.write_text('{"vote_share": 2}')
    assert main(["file", str(folder / "a.wav"), "--stitcher", str(constants)]) == 1
    assert capsys.readouterr().err.endswith("expected vote_share from 0 to 1, got 2\n")
