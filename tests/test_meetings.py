"""Made meetings: who is heard when; and what is counted of the people an engine tells of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy.people import by_part, der, errors, frames_of, owners
from benchmarks.sim.meeting import Part, Plan, make, music, plans, telephone_band, voice_clips
from tests.test_simulate import RATE, utterance
from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.windows import frame_seconds

WHOLE = (1, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people of two sittings, two of one; a noise, a room."""
    root = tmp_path_factory.mktemp("data")
    for kind, name, sittings in [("long_speakers", "a", 2), ("long_speakers", "b", 2), ("speakers", "c", 1)]:
        (root / kind / name).mkdir(parents=True)
        for n in range(9):
            stem = f"{name}-{n % 3 == 0 and sittings > 1:d}-{n:02d}"
            soundfile.write(root / kind / name / f"{stem}.flac", utterance(ord(name) + 7 * n), RATE)
    rng = np.random.default_rng(5)
    (root / "noise").mkdir()
    (root / "rir").mkdir()
    soundfile.write(root / "noise" / "hiss.wav", 0.1 * rng.standard_normal(2 * RATE), RATE)
    soundfile.write(root / "rir" / "cell.wav", np.concatenate([[1.0], 0.1 * rng.standard_normal(500)]), RATE)
    return root


def spans(path: Path, name: str) -> list[tuple[float, float]]:
    [turns] = parse_rttm(path.with_suffix(".rttm").read_text()).values()
    return [(turn.start_s, turn.end_s) for turn in turns if turn.speaker == name]


def test_people_are_heard_in_their_parts_alone(data: Path, tmp_path: Path) -> None:
    plan = Plan("x", (Part(0.4, ("a", "b")), Part(0.2, ("c",)), Part(0.2), Part(0.4, ("a",))))
    path = make(plan, data, WHOLE, tmp_path)
    [(first, _), *_, (_, last)] = spans(path, "c")
    assert 24 < first < last < 50
    assert max(end for _, end in spans(path, "b")) < first
    assert [start for start, _ in spans(path, "a") if first < start < last] == []
    assert spans(path, "a")[-1][0] > last + 12


def test_the_same_plan_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    plan = Plan("x", (Part(0.3, ("a", "b")),), telephone=True)
    one, other = (make(plan, data, WHOLE, tmp_path / folder) for folder in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert one.with_suffix(".rttm").read_bytes() == other.with_suffix(".rttm").read_bytes()


def test_who_only_agrees_says_short_words(data: Path, tmp_path: Path) -> None:
    said = spans(make(Plan("x", (Part(2, ("a", "b")),), nods="c"), data, WHOLE, tmp_path), "c")
    assert len(said) >= 3
    assert max(end - start for start, end in said) <= 0.61


def test_one_sitting_is_the_one_with_most_files(data: Path) -> None:
    def sittings(count: int) -> set[str]:
        return {clip.name.split("-")[1] for clip in voice_clips(data, "a", count)[0]}

    assert sittings(1) == {"0"}
    assert sittings(2) == {"0", "1"}


def test_every_plan_names_people_it_was_given() -> None:
    long, short = [f"l{n}" for n in range(3)], [f"s{n}" for n in range(8)]
    made = plans(long, short)
    assert all(set(plan.people) <= {*long, *short} for plan in made.values())
    assert sum(part.minutes for part in made["day"].parts) == 480


def test_a_telephone_line_and_music() -> None:
    sound = music(0.1, np.random.default_rng(0))
    assert len(sound) == 6 * RATE
    power = np.abs(np.fft.rfft(telephone_band(sound))) ** 2
    low, high = (round(hz * len(sound) / RATE) for hz in (200, 4000))
    assert power[:low].sum() + power[high:].sum() < 0.02 * power.sum()


def turn(start: int, end: int, speaker: str) -> RttmSegment:
    return RttmSegment(frame_seconds(start), frame_seconds(end), speaker)


@settings(max_examples=30, deadline=None)
@given(st.permutations(["x", "y", "z"]), st.integers(1, 90))
def test_errors_do_not_depend_on_names_and_add_up(names: list[str], wrong_frames: int) -> None:
    told = [turn(100, 200, "x"), turn(200, 300, "y"), turn(300, 400, "z")]
    _, truth = frames_of(told, 500)
    renamed = [replace(t, speaker=names["xyz".index(t.speaker)]) for t in told]
    assert errors(truth, renamed)[0].sum() == 0
    late = [turn(100, 200 + wrong_frames, "x"), turn(200 + wrong_frames, 300, "y"), told[2]]
    wrong, spoken = errors(truth, late)
    assert wrong.sum() == wrong_frames
    assert der(wrong, spoken) == pytest.approx(100 * wrong_frames / 300)
    assert by_part(wrong, spoken) == [pytest.approx(der(wrong, spoken))]


def test_an_id_of_many_is_nobodys() -> None:
    _, truth = frames_of([turn(0, 300, "x"), turn(300, 600, "y")], 700)
    mixed = [turn(0, 250, "S1"), turn(250, 350, "S2"), turn(350, 600, "S3")]
    assert owners(truth, mixed) == {"S1", "S3"}
