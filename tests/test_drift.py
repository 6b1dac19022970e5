"""What benchmarks/drift.py counts: by hand on small cases, and from tones to tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import drift
from benchmarks.drifts import card, clock, decisions, identity
from benchmarks.drifts.compare import boundaries, errors_in, mapped, speakers, talk_seconds
from benchmarks.drifts.identities import identities, outcomes, splits_and_merges
from benchmarks.drifts.numbers import Difference, cosine_distances
from benchmarks.drifts.pulses import PERIOD_S, Onsets, begins, cut, offsets, period
from benchmarks.drifts.pulses import drift as drift_of
from benchmarks.drifts.streams import BEFORE_HOPS, PERIOD_FRAMES, Source, different_frames, hear, lay, shuffled
from tests.tone_speakers import ToneModels, conversation, write_recording
from turnstream.clients.evaluation.recordings import Recording, Turns
from turnstream.rttm import RttmSegment
from turnstream.timeline.records import FinalRecord, TurnRecord
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, HOP_FRAMES

pytestmark = pytest.mark.slow


def turns(*said: tuple[float, float, str]) -> Turns:
    return [RttmSegment(*one) for one in said]


# Numbers


def test_differences_of_what_is_equal_are_zero_and_of_what_is_not_are_seen() -> None:
    rng = np.random.default_rng(0)
    ours = rng.standard_normal((100, 7)).astype(np.float32)
    same, other = Difference(), Difference()
    same.add(ours, ours.copy())
    assert set(same.values().values()) == {0.0}
    theirs = ours.copy()
    theirs[3] = theirs[3][::-1]  # another class, unless the largest is in the middle
    other.add(ours, theirs)
    found = other.values()
    assert found["other_class"] == pytest.approx(1.0 if ours[3].argmax() != 3 else 0.0)
    assert found["max"] == pytest.approx(np.abs(ours - theirs).max(), rel=1e-6)
    assert found["p50"] == 0.0
    assert found["decorrelation"] == pytest.approx(1 - np.corrcoef(ours.ravel(), theirs.ravel())[0, 1], rel=1e-4)


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        Difference().add(np.zeros((2, 7), np.float32), np.zeros((3, 7), np.float32))


def test_cosine_distance() -> None:
    x, y = np.array([1, 0], np.float32), np.array([1, 1], np.float32)
    assert cosine_distances([x, x], [y, x]) == pytest.approx([1 - 0.5**0.5, 0], abs=1e-12)


# Decisions


def test_names_are_mapped_once_and_nobody_is_nobody() -> None:
    offline = turns((0, 10, "S1"), (10, 20, "S2"))
    live = turns((0, 2, "unknown"), (2, 10, "S2"), (10, 18, "S1"), (18, 20, "S2"))
    said = mapped(offline, live)
    first, second = errors_in(offline, said, [(0, 10), (10, 20)])
    assert (first.speech_s, first.confusion_s) == pytest.approx((10, 2))  # nobody's speech is somebody else's
    assert (second.speech_s, second.confusion_s) == pytest.approx((10, 2))
    assert speakers(live) == 2
    assert talk_seconds(live) == pytest.approx(20)


def test_nobodys_speech_is_never_mapped_to_a_speaker() -> None:
    offline = turns((0, 10, "S1"))
    said = mapped(offline, turns((0, 8, "unknown"), (8, 10, "S3")))
    assert [(turn.end_s, turn.speaker) for turn in said] == [(8, "unknown"), (10, "S1")]
    assert mapped(turns((0, 8, "unknown")), turns((0, 8, "S3")))[0].speaker == "own S3"


def test_boundaries_are_matched_by_speaker_and_side() -> None:
    offline = turns((0, 5, "A"), (6, 8, "B"))
    live = turns((0.1, 2, "A"), (2, 5.3, "A"), (4.9, 8, "B"))  # what touches is one turn
    distances, unmatched = boundaries(offline, live)
    assert sorted(distances.tolist()) == pytest.approx([0.0, 0.1, 0.3])
    assert unmatched == 1  # B's start is 1.1 s off


def test_places_of_a_stream() -> None:
    assert decisions.places(100) == {"all": (0, 100), "minute_1": (0, 60)}
    long = decisions.places(7300)
    assert long["hour_2"] == (3600, 7300)
    assert long["last_hour"] == (3700, 7300)
    assert "hour_3" not in long
    assert decisions.places(9100)["hour_3"] == (7200, 9100)


def test_results_are_compared_whatever_their_numbers() -> None:
    def final(*said: tuple[int, int, int]) -> FinalRecord:
        return FinalRecord(tuple(TurnRecord(n, who, s, e, e, "final") for n, (s, e, who) in enumerate(said)), ())

    one = final((0, 10, 1), (5, 20, 2))
    assert different_frames(one, final((0, 10, 7), (5, 20, 3)), 30) == 0
    assert different_frames(one, final((0, 10, 7), (5, 21, 3)), 30) == 1


# Identities


def test_flips_count_changes_of_the_dominating_id_from_turn_to_turn() -> None:
    truth = turns(*((10 * n, 10 * n + 5, "anna") for n in range(4)))
    told = turns((0, 5, "S1"), (10, 13, "S1"), (13, 15, "S2"), (20, 25, "S2"), (30, 35, "S1"))
    found = identities(truth, told, 40)
    assert (found.turns, found.flips) == (4, 2)


def test_splits_and_merges() -> None:
    own = {"anna": {"S1": 50.0, "S2": 40.0, "S3": 5.0}, "ben": {"S3": 60.0, "S1": 2.0}}
    assert splits_and_merges(own) == (1, 0)
    assert splits_and_merges({"anna": {"S1": 50.0}, "ben": {"S1": 30.0}, "cleo": {"S1": 20.0}}) == (0, 2)
    assert splits_and_merges({"anna": {"S1": 500.0}, "ben": {"S1": 20.0, "S2": 500.0}}) == (0, 0)  # 4 % of ben


def test_returns_and_their_outcomes() -> None:
    truth = turns((0, 20, "anna"), (30, 60, "ben"), (100, 120, "anna"), (800, 820, "anna"), (830, 850, "ben"))
    told = turns(
        (0, 20, "S1"), (30, 60, "S2"), (100, 106, "S1"), (106, 120, "S2"), (800, 820, "S3"), (830, 850, "unknown")
    )
    found = identities(truth, told, 900).returns
    assert [(r.speaker, r.outcome) for r in found] == [("anna", "recognised"), ("anna", "new"), ("ben", "nobody")]
    assert [round(r.absent_s) for r in found] == [80, 680, 770]
    assert outcomes(found) == {"recognised": 1, "other": 0, "new": 1, "nobody": 1}


def test_who_talks_at_the_same_time_as_others_is_not_away() -> None:
    truth = turns((0, 20, "anna"), (30, 35, "ben"), (40, 60, "ben"), (50, 55, "anna"), (100, 120, "anna"))
    assert identities(truth, turns((0, 120, "S1")), 130).returns == ()


# Clock


def test_a_clock_that_runs_away_is_seen() -> None:
    true = begins(50, PERIOD_S * 16_000)
    told = ((true - FRAME_OFFSET_SAMPLES) // FRAME_SAMPLES).tolist()
    late = [t + n // 40 for n, t in enumerate(told)]
    right, wrong = (
        [TurnRecord(n, 1, t, t + 60, t + 60, "final") for n, t in enumerate(frames)] for frames in (told, late)
    )
    assert drift_of(offsets(right, true)) == (0, 0)
    assert drift_of(offsets(wrong, true)) == (2 * FRAME_SAMPLES, 2 * FRAME_SAMPLES)
    with pytest.raises(ValueError, match="each of 100 pulses, got 99"):
        offsets(right[1:], true)


def test_pulses_are_found_where_they_are_however_they_are_cut() -> None:
    sound, onsets = period(16_000), Onsets()
    for chunk in cut(sound, 3 * len(sound), [1000, 17, 70_000], np.random.default_rng(1)):
        onsets.add(chunk)
    assert onsets.samples == 3 * len(sound)
    assert onsets.found == begins(3, PERIOD_S * 16_000).tolist()


@pytest.mark.parametrize("rate_hz", [11_025, 48_000])
def test_rates_lose_no_sample(rate_hz: int) -> None:
    assert clock.rate(rate_hz, 3) == (0, 0)


def test_the_engine_keeps_time_and_a_fast_card_is_told_by_its_own_clock() -> None:
    heard = clock.engine(44_100, 3, clock.RANDOM_SIZES)
    assert drift_of(offsets(heard.committed, begins(3, PERIOD_S * 16_000))) == (0, 0)
    found = clock.sound_card(500, 6)
    assert found["wall_ms_per_hour"] == pytest.approx(1800, rel=0.3)
    assert found["file_most"] <= FRAME_SAMPLES
    assert found["length"] == found["gaps"] == 0


def test_a_card_within_its_bounds_loses_nothing_and_a_far_slower_one_does() -> None:
    assert card.invented(-100, 0.05)[0] == 0
    assert card.invented(-1000, 0.05)[0] > 0


# From recordings


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    models = ToneModels(noise=0.1)
    paths = [write_recording(tmp_path / f"{n}.wav", conversation(n, 6)) for n in range(2)]
    return [Source(Recording(path, tmp_path, models), models) for path in paths]  # type: ignore[arg-type]


def test_windows_of_a_stream_are_those_of_its_recordings(sources: list[Source]) -> None:
    stream = lay([sources[0], 60.0, sources[1], sources[0]])
    firsts = [piece.first_frame for piece in stream.pieces]
    assert firsts == [0, sources[0].frames + PERIOD_FRAMES, sources[0].frames + PERIOD_FRAMES + sources[1].frames]
    assert [piece.repeated for piece in stream.pieces] == [False, False, True]
    windows = {first: active for first, active, _ in stream.windows()}
    assert sorted(windows) == list(range(-BEFORE_HOPS * HOP_FRAMES, max(windows) + 1, HOP_FRAMES))
    assert max(windows) + 589 >= stream.end_frame
    for piece in stream.pieces:
        for number, (first, active) in enumerate(piece.source.recording.windows()):
            np.testing.assert_array_equal(windows[piece.first_frame + first], active, err_msg=str(number))
    assert not windows[firsts[1] - (BEFORE_HOPS + 1) * HOP_FRAMES].any()


def test_a_stream_ends_at_its_offline_result(sources: list[Source]) -> None:
    told = hear(shuffled(sources, 0.05, 3), [0.5, 5.0])
    assert told.different_frames == 0
    assert told.offline
    assert set(told.live) == {0.5, 5.0}


def test_decisions_and_identity_have_figures_and_tables(sources: list[Source]) -> None:
    rows, different = decisions.compare([lay([source]) for source in sources])
    assert different == 0
    assert rows[5.0].figures("x")["x.der.all"].value <= rows[0.5].figures("x")["x.der.all"].value
    figures = identity.measure(sources, seed=0)
    assert "back after  1 min" in identity.table(figures)
    assert figures["committed.returns_1min.heard_before.recognised"].value > 50


def test_the_clock_writes_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"engine.committed.drift": drift.Figure(0, "samples", "count")}
    monkeypatch.setattr(clock, "measure", lambda hours, quick: found)
    monkeypatch.setattr(drift, "TABLES", {"clock": lambda figures: "table"})
    recording = write_recording(tmp_path / "a.wav", conversation(0, 2))
    monkeypatch.setattr(
        "sys.argv", ["drift", "clock", str(recording), "--cache", str(tmp_path), "--json", str(tmp_path)]
    )
    drift.main()
    written = json.loads((tmp_path / "drift_clock.json").read_text())
    assert written["figures"]["engine.committed.drift"]["value"] == 0
    assert written["parameters"] == {"hours": 2.0, "quick": False, "not_run": {}}
