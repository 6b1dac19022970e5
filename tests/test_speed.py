"""What the figures of speed are made of: formulas against the engine's own schedule, stopwatch, alignment, counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from benchmarks import long_file
from benchmarks.drifts.pulses import PulseModels
from benchmarks.long_stream import Hour, Played, by_part
from benchmarks.long_stream import figures as long_stream_figures
from benchmarks.speed import algorithm, cold, microphone
from benchmarks.speed.live_clients import MASK_BYTES, frame_bytes, window_end_s
from benchmarks.speed.search import most_that
from benchmarks.speed.server import (
    Row,
    best_of,
    memory_per_stream_mib,
    most_sessions,
    ratios,
    row_figures,
    wire_figures,
)
from benchmarks.speed.stages import Stopwatch, audio_ms
from turnstream.events import Final
from turnstream.rttm import RttmSegment, format_rttm
from turnstream.windows import (
    FRAME_SAMPLES,
    HOP_SAMPLES,
    HOPS_FRAMES,
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    WindowSchedule,
    frame_seconds,
)


@given(st.integers(0, 5000), st.integers(0, 300))
def test_a_frame_is_told_by_the_first_window_that_reaches_it(frame: int, behind: int) -> None:
    schedule = WindowSchedule()
    end = schedule.next_end
    while schedule.take() // FRAME_SAMPLES + WINDOW_FRAMES - behind <= frame:
        end = schedule.next_end
    assert algorithm.told_sample(frame, behind) == end


def test_the_wait_spans_one_hop_and_shifts_with_the_commit() -> None:
    told, committed = algorithm.wait(), algorithm.wait(algorithm.behind_frames(1.0))
    assert told.most_s - told.least_s == pytest.approx((HOP_SAMPLES - FRAME_SAMPLES) / SAMPLE_RATE_HZ)
    assert told.mean_s == pytest.approx((told.least_s + told.most_s) / 2)
    assert committed.least_s - told.least_s == pytest.approx(1.0, abs=FRAME_SAMPLES / SAMPLE_RATE_HZ)
    assert algorithm.behind_frames(1.0) * FRAME_SAMPLES >= SAMPLE_RATE_HZ


def test_the_engine_keeps_to_the_formula() -> None:
    assert algorithm.check(PulseModels(), np.ones(5 * SAMPLE_RATE_HZ, np.float32), 0.5) == algorithm.Kept(1.0, 1.0)


def test_a_formula_that_is_a_sample_late_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    formula = algorithm.told_sample
    monkeypatch.setattr(algorithm, "told_sample", lambda *arguments: formula(*arguments) + 1)
    with pytest.raises(AssertionError, match="before its time"):
        algorithm.check(PulseModels(), np.ones(2 * SAMPLE_RATE_HZ, np.float32), 0.5)


def test_a_stopwatch_counts_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Work:
        def double(self, number: int) -> int:
            if number < 0:
                raise ValueError(number)
            return 2 * number

    times = iter(range(100))
    monkeypatch.setattr("benchmarks.speed.stages.time.perf_counter", lambda: float(next(times)))
    clock, work, other = Stopwatch(), Work(), Work()
    clock.watch("stage", work, "double")
    assert (work.double(2), other.double(3)) == (4, 6)
    with pytest.raises(ValueError, match="-1"):
        work.double(-1)
    assert clock.take() == {"stage": 2.0}
    assert clock.take() == {}


def test_only_other_rates_wait_in_the_audio_stage() -> None:
    sound = (1000 * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE_HZ)).astype(np.int16)
    costs, waits = audio_ms(sound, SAMPLE_RATE_HZ)
    assert len(costs) == 2 * SAMPLE_RATE_HZ // HOP_SAMPLES
    assert max(waits) == 0
    _, waits = audio_ms(sound, 48_000)
    assert 10 < np.median(waits) < max(waits) < 60


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_are_as_long_as_the_library_makes_them(size: int) -> None:
    frame = Frame(Opcode.BINARY, bytes(size))
    assert frame_bytes(size) == len(frame.serialize(mask=False))
    assert frame_bytes(size) + MASK_BYTES == len(frame.serialize(mask=True))


@pytest.mark.parametrize("hop_frames", HOPS_FRAMES)
def test_a_turn_names_its_window_only_while_somebody_talks_at_its_end(hop_frames: int) -> None:
    schedule = WindowSchedule(hop_frames)
    for _ in range(40):
        end_s, start = schedule.next_end / SAMPLE_RATE_HZ, schedule.take()
        last = frame_seconds(start // FRAME_SAMPLES + WINDOW_FRAMES)
        assert window_end_s(last, "provisional", hop_frames) == pytest.approx(end_s, abs=0.001)
        assert window_end_s(last, "committed", hop_frames) is None
        assert window_end_s(last - FRAME_SAMPLES / SAMPLE_RATE_HZ, "provisional", hop_frames) is None


def row(sessions: int, memory_mib: float, lag_ms: float = 10.0) -> Row:
    return Row(sessions, [lag_ms, 2 * lag_ms], 6, 3, 40.0, 0.5, memory_mib)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 300))
def test_the_most_that_holds_is_found_in_few_tries(there_are: int, first: int, limit: int) -> None:
    tried: list[int] = []
    found = most_that(lambda number: tried.append(number) or number <= there_are, first, limit)
    assert found == min(there_are, limit)
    assert all(1 <= number <= limit for number in tried)
    assert len(set(tried)) == len(tried) <= 2 * (300).bit_length()


def test_the_most_sessions_are_those_of_the_better_run() -> None:
    tried = [row(8, 300, 50), row(16, 320, 200), row(16, 310, 140), row(24, 330, 900), row(24, 330, 800)]
    assert most_sessions(tried).value == 16
    assert [(best.sessions, best.memory_mib) for best in best_of(tried)] == [(8, 300), (16, 310), (24, 330)]
    assert most_sessions(tried[3:]).value == 0


def test_servers_that_took_turns_are_compared_by_number_of_sessions() -> None:
    rows = {"batched": [row(1, 300), row(20, 340, 100)], "stored": [row(1, 300, 11), row(20, 340, 105)]}
    found = {name: figure.value for name, figure in ratios(rows).items()}
    assert found == {"stored_over_batched.1.lag.p95": pytest.approx(1.1), "stored_over_batched.20.lag.p95": 1.05}


def test_memory_is_what_each_further_stream_adds() -> None:
    assert memory_per_stream_mib([row(1, 300), row(5, 340), row(3, 330)]) == {5: 10.0, 3: 15.0}
    found = row_figures({"batched": [row(1, 300), row(5, 340)]})
    assert found["batched.5.memory_per_stream"].value == 10
    assert found["batched.1.windows_a_batch"].value == 2
    assert "batched.1.memory_per_stream" not in found


def test_bytes_are_scaled_to_an_hour_and_what_comes_once_is_not() -> None:
    found = wire_figures({"x": ({"turn": 1024, "status": 2048, "started": 400, "final": 512}, 10240)}, 36.0)
    assert {name.removeprefix("wire.x."): figure.value for name, figure in found.items()} == {
        "turn": 100.0,
        "status": 200.0,
        "down": 300.0,
        "started": 400,
        "final": 50.0,
        "up": 1000.0,
    }


def test_parts_of_a_start_sum_to_the_whole() -> None:
    done = dict(zip(cold.PARTS, (0.1, 0.6, 0.7, 1.0, 1.1, 1.5), strict=True))
    parts = cold.parts_of(done)
    assert parts["weights"] == pytest.approx(0.1)
    assert sum(parts.values()) == pytest.approx(1.5)


def noise(seconds: float, seed: int) -> np.ndarray:
    return (3000 * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE_HZ))).astype(np.int16)


@pytest.mark.parametrize("before_s", [0.0, 0.75])
def test_a_loop_is_found_where_it_was_heard(before_s: float) -> None:
    loop = np.tile(noise(12, 0), 2)
    heard = np.pad(loop, (round(before_s * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)).astype(np.float32) / 2**15
    assert microphone.shift_s(loop, heard) == before_s


def test_audio_that_was_lost_or_never_heard_is_said() -> None:
    played = noise(12, 0)
    heard = np.delete(played, slice(5 * SAMPLE_RATE_HZ, 5 * SAMPLE_RATE_HZ + 800)).astype(np.float32) / 2**15
    with pytest.raises(microphone.Disturbed, match="at 4 s, alike"):
        microphone.shift_s(played, np.pad(heard, (0, SAMPLE_RATE_HZ)))
    at_the_cut = np.insert(played, 4 * SAMPLE_RATE_HZ, np.zeros(800, np.int16)).astype(np.float32) / 2**15
    with pytest.raises(microphone.Disturbed, match="one distance"):
        microphone.shift_s(played, at_the_cut)
    with pytest.raises(microphone.Disturbed, match="at 0 s, alike"):
        microphone.shift_s(played, noise(13, 1).astype(np.float32) / 2**15)


def test_the_lag_counts_from_the_windows_last_sample() -> None:
    begun_s, before_s, late_s = 100.0, 0.4, 0.123
    playout_ms = [30.0, 20.0, 99.0]
    written_s = [begun_s - 0.03 + number * microphone.WRITE_S for number in range(1000)]
    schedule, lines = WindowSchedule(), []
    while schedule.next_end < 9 * SAMPLE_RATE_HZ:
        end_s, start = schedule.next_end / SAMPLE_RATE_HZ, schedule.take()
        told_s = frame_seconds(start // FRAME_SAMPLES + WINDOW_FRAMES)
        line = {"type": "turn", "end": told_s, "state": "provisional"}
        lines += [(begun_s + end_s - before_s + late_s, line), (begun_s + end_s, line), (0.0, {"type": "speaker"})]
    lags = microphone.lags_ms(microphone.Heard(lines, written_s, playout_ms, np.zeros(0, np.float32)), before_s)
    assert len(lags) == 12  # windows of 3.4 to 9 s
    assert all(1e3 * late_s <= lag <= 1e3 * (late_s + microphone.WRITE_S) + 1 for lag in lags)


def test_the_players_buffers_are_read_from_what_the_sound_server_tells() -> None:
    answer = json.dumps([{"index": 3, "buffer_latency_usec": 15000.0, "sink_latency_usec": 2500.0}])
    assert microphone.playout_of(answer) == 17.5


def test_the_last_hour_is_held_against_the_first() -> None:
    hours = [Hour([2.0, 4.0], 400.0), Hour([3.0, 3.0], 410.0), Hour([3.0, 6.0], 424.0)]
    found = long_stream_figures(hours, 1.5)
    assert found["hop.last_over_first"].value == 1.5
    assert found["memory_growth"].value == 12
    assert found["hop.last_hour.max"].value == 6
    assert "memory_growth" not in long_stream_figures(hours[:2], 1.5)


def test_a_recording_of_hours_has_its_turns_where_they_are(tmp_path: Path) -> None:
    levels = {"low": 0.1, "high": 0.5}
    for name, level in levels.items():
        soundfile.write(tmp_path / f"{name}.flac", np.full(2 * SAMPLE_RATE_HZ, level), SAMPLE_RATE_HZ)
        (tmp_path / f"{name}.rttm").write_text(f"SPEAKER {name} 1 0.000 2.000 <NA> <NA> {name} <NA> <NA>\n")
    truth, seconds = long_file.write(sorted(tmp_path.glob("*.flac")), 0.05, 0, tmp_path / "long.wav")
    samples, _ = soundfile.read(tmp_path / "long.wav")
    assert seconds == len(samples) / SAMPLE_RATE_HZ >= 180
    assert {turn.speaker for turn in truth} == set(levels)
    for turn in truth:
        said = samples[round(turn.start_s * SAMPLE_RATE_HZ) : round(turn.end_s * SAMPLE_RATE_HZ)]
        assert np.allclose(said, levels[turn.speaker], atol=1e-4)


def test_an_hour_is_scored_under_the_mapping_of_the_whole_stream() -> None:
    spans = [(0.0, 7200.0, "Anna"), (7200.0, 10800.0, "Ben")]
    truth = [RttmSegment(*span) for span in spans]
    text = format_rttm("x", [RttmSegment(0.0, 7200.0, "S1"), RttmSegment(7200.0, 10800.0, "S1")])
    played = Played([], 0.0, text, Final("stop", 0.0, (), ()), truth, 10800.0)
    assert by_part(played, text) == pytest.approx({"": 100 / 3, ".first_hour": 0.0, ".last_hour": 100.0})
