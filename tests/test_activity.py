"""The activity path in the engine: its events, onsets of speech, and the windows that it saves."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.test_diarizer import SIZES, Remembering, cut, spans
from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer
from turnstream.events import Activity, Event, Turn, to_json
from turnstream.labels import Labels
from turnstream.models.activity import AHEAD_FRAMES, FIRST_SAMPLES, ActivityPath, ActivityRecord, silence
from turnstream.models.segmentation import PyanNet
from turnstream.offline import diarize
from turnstream.publisher import Publisher
from turnstream.session import Models, Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.records import TurnRecord
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording, segmentation_weights
from turnstream.windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_SAMPLES,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    frame_at,
)

pytestmark = pytest.mark.slow

EXAMPLES = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FIRST_SPEECH_S = 6.69  # in the demo recording, by its reference


class Hearing(Remembering):
    """Remembers what the activity path asks as well, by the bytes of its chunk and its state; notes the windows."""

    def __init__(self, models: Models):
        super().__init__(models)
        self.starts: list[int] = []
        self.heard = 0

    def initial_activity_state(self) -> Any:
        return self._models.initial_activity_state()

    def listen(self, chunk: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        self.heard += 1
        key = hashlib.sha256(chunk.tobytes() + pickle.dumps(state)).digest()
        if key not in self._answers:
            self.computed += 1
            self._answers[key] = self._models.listen(chunk, state)
        return self._answers[key]

    def segment(self, window: np.ndarray, start_sample: int, state: Any) -> tuple[np.ndarray, Any]:
        self.starts.append(start_sample)
        return super().segment(window, start_sample, state)


@pytest.fixture(scope="module")
def models() -> Iterator[Hearing]:
    with Diarizer() as engine:
        yield Hearing(engine.models)


@pytest.fixture(scope="module")
def demo() -> np.ndarray:
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16")
    return samples


@pytest.fixture(scope="module")
def paused(demo: np.ndarray) -> np.ndarray:
    """2 s of talk, 13 s of a quiet room, 4 s of talk, 11 s of a quiet room: (N,) int16."""
    rng = np.random.default_rng(0)
    quiet, long_quiet = (rng.normal(0, 3, 16_000 * s).astype(np.int16) for s in (11, 13))
    return np.concatenate([demo[112_000:144_000], long_quiet, demo[240_000:304_000], quiet])


def open_session(models: Models, activity: bool = True, latency_s: float = 1.0) -> Session:
    path = ActivityPath(models) if activity else None
    return Session(models, AudioInput(), StitcherConfig(), Timeline(latency_s), activity=path)


def run(session: Session, chunks: list[np.ndarray]) -> list[Event]:
    return [*(event for chunk in chunks for event in session.feed(chunk)), *session.flush(), session.close()]


def lines(events: list[Event]) -> list[str]:
    return [to_json(event) for event in events]


def activities(events: list[Event]) -> list[Activity]:
    return [event for event in events if isinstance(event, Activity)]


def frames_of(event: Activity) -> tuple[int, int]:
    return frame_at(event.start_s), frame_at(event.end_s)


def spoken_frames(events: list[Activity]) -> np.ndarray:
    """Whether anyone talks, for every frame that the events cover."""
    return np.concatenate([np.full(end - start, e.speech) for e in events for start, end in [frames_of(e)]])


@EXAMPLES
@given(sizes=SIZES, latency_s=st.sampled_from([0.5, 1.0, 5.0]))
def test_chunks_change_no_event(models: Hearing, paused: np.ndarray, sizes: list[int], latency_s: float) -> None:
    whole = lines(run(open_session(models, latency_s=latency_s), [paused]))
    asked = models.computed
    assert lines(run(open_session(models, latency_s=latency_s), cut(paused, sizes))) == whole
    assert models.computed == asked  # every byte that the models see is the same


def test_one_sample_at_a_time(models: Hearing, demo: np.ndarray) -> None:
    short = demo[100_000:130_000]
    assert lines(run(open_session(models), cut(short, [1]))) == lines(run(open_session(models), [short]))


def test_without_activity_nothing_is_heard_or_told(models: Hearing, paused: np.ndarray) -> None:
    before = models.heard
    models.starts.clear()
    assert not activities(run(open_session(models, activity=False), [paused]))
    assert models.heard == before
    first = -(WINDOW_SAMPLES - 1) // HOP_SAMPLES * HOP_SAMPLES + HOP_SAMPLES
    assert models.starts == list(range(first, models.starts[-1] + 1, HOP_SAMPLES))


@pytest.mark.parametrize("samples", [0, 300, 5_041, 8_100, 100_000, 161_234])
def test_activity_covers_the_stream_once(models: Hearing, demo: np.ndarray, samples: int) -> None:
    told = activities(run(open_session(models), [demo[100_000 : 100_000 + samples]]))
    ends_s = [0.0, *(event.end_s for event in told)]
    assert [event.start_s for event in told] == ends_s[:-1]
    assert all(event.end_s > event.start_s for event in told)
    assert frame_at(ends_s[-1]) == max(0, (samples - FRAME_OFFSET_SAMPLES) // FRAME_SAMPLES)
    assert not any(event.overlap and not event.speech for event in told)


def test_activity_is_told_within_0_3_s(models: Hearing, demo: np.ndarray) -> None:
    session, told_frame = open_session(models), 0
    for number, chunk in enumerate(cut(demo[:120_000], [10])):
        begins = FRAME_SAMPLES * told_frame + FRAME_OFFSET_SAMPLES
        assert 10 * number - begins <= 0.3 * 16_000
        for event in activities(session.feed(chunk)):
            told_frame = frame_at(event.end_s)


def test_speech_is_told_where_the_windows_say_it(models: Hearing, demo: np.ndarray) -> None:
    talk = demo[80_000:320_000]
    told = activities(run(open_session(models), [talk]))
    speech = spoken_frames(told)
    final = open_session(models, activity=False)
    final.feed(talk)
    truth = np.zeros(len(speech), bool)
    for turn in final.close().turns:
        truth[turn.start_frame : turn.end_frame] = True
    assert (speech == truth).mean() > 0.93


def test_an_onset_is_told_at_once_and_taken_over(models: Hearing, demo: np.ndarray) -> None:
    session, turns = open_session(models), dict[str, Turn]()
    first: dict[str, int] = {}  # turn -> samples heard when it was first told
    for number, chunk in enumerate(cut(demo[:160_000], [100])):
        for event in session.feed(chunk):
            if isinstance(event, Turn):
                first.setdefault(event.id, 100 * (number + 1))
                turns.setdefault(event.id, event)
    newest = {f"T{turn.id}": turn for turn in session.timeline.turns}
    onset = turns[next(iter(newest))]
    assert (onset.speaker, onset.state, onset.committed_s) == (None, "provisional", onset.start_s)
    assert abs(first[onset.id] / 16_000 - FIRST_SPEECH_S) <= 0.3
    assert newest[onset.id].speaker == 1
    late, later = open_session(models, activity=False), 0
    for number, chunk in enumerate(cut(demo[:160_000], [100])):
        if any(isinstance(event, Turn) for event in late.feed(chunk)):
            later = 100 * (number + 1)
            break
    assert later > first[onset.id]


def test_windows_with_speech_are_computed_and_no_others(models: Hearing, paused: np.ndarray) -> None:
    models.starts.clear()
    told = activities(run(open_session(models), [paused]))
    computed = set(models.starts)
    speech = spoken_frames(told)
    first = -(WINDOW_SAMPLES - 1) // HOP_SAMPLES * HOP_SAMPLES + HOP_SAMPLES
    due = range(first, len(paused) - WINDOW_SAMPLES + HOP_SAMPLES, HOP_SAMPLES)
    for start in due:
        frame = start // FRAME_SAMPLES
        if speech[max(0, frame) : frame + WINDOW_FRAMES].any():
            assert start in computed
        elif not speech[max(0, frame - 12) : frame + WINDOW_FRAMES + 12].any():
            assert start not in computed
    assert len(due) - len(computed) >= 4


def test_a_held_window_waits_until_its_last_frame_is_known(models: Hearing) -> None:
    path = ActivityPath(models)
    gate, start = path.gate, 100 * HOP_SAMPLES
    first = start // FRAME_SAMPLES
    path.end_frame, path.speech_end_frame = first + WINDOW_FRAMES - 8, first
    assert not gate.lets_through(start)
    assert gate.decided() is None
    path.end_frame = path.speech_end_frame = first + WINDOW_FRAMES - 2
    assert gate.decided() == (start, True)
    assert gate.decided() is None  # told once
    path.end_frame, path.speech_end_frame = first + WINDOW_FRAMES + 40, first + 30
    assert not gate.lets_through(start + HOP_SAMPLES)
    assert gate.decided() == (start + HOP_SAMPLES, False)
    gate.seen(first + 50, np.eye(20, 3, dtype=bool))  # a window has somebody speak in its frames 0 to 2
    assert gate.lets_through(start + HOP_SAMPLES)
    assert not gate.lets_through(start + 2 * HOP_SAMPLES)


def test_skipped_windows_change_no_final_turn(models: Hearing, paused: np.ndarray) -> None:
    with_gate, without = (run(open_session(models, activity), [paused])[-1] for activity in (True, False))
    assert spans(with_gate) == spans(without)
    assert len(with_gate.turns) > 1


def test_final_with_windows_left_out_is_offline_with_them_left_out(models: Hearing, paused: np.ndarray) -> None:
    session = open_session(models)
    run(session, cut(paused, [7_001]))
    assert spans(session.close()) == spans(diarize(models, AudioInput(), [paused], activity=ActivityPath(models)))


@pytest.mark.parametrize("latency_s", [0.5, 5.0])
def test_time_goes_on_in_silence(models: Hearing, paused: np.ndarray, latency_s: float) -> None:
    """Turns are committed at the latency, and the horizon stays within a hop and 0.3 s of the audio."""
    session, turns = open_session(models, latency_s=latency_s), dict[str, Turn]()
    for position, chunk in enumerate(cut(paused, [1_000]), 1):
        for event in session.feed(chunk):
            if isinstance(event, Turn):
                turns[event.id] = event
                if event.state == "retracted":
                    del turns[event.id]
        heard = min(1_000 * position, len(paused)) - WINDOW_SAMPLES + WINDOW_FRAMES * FRAME_SAMPLES
        least = (heard - HOP_SAMPLES - 3_801) // FRAME_SAMPLES
        assert session.timeline.horizon_frame >= least
        due = least - latency_s * 16_000 / FRAME_SAMPLES - 1
        assert all(turn.committed_frame >= min(due, turn.end_frame) for turn in turns.values())


def test_silence_alone_computes_no_window(models: Hearing) -> None:
    models.starts.clear()
    events = run(open_session(models), [np.zeros(400_000, np.float32)])
    assert not models.starts
    assert {(e.speech, e.overlap) for e in activities(events)} == {(False, False)}
    assert events[-1].turns == ()


def spoken(first_frame: int, end_frame: int, start: int, end: int, speaker: int | None = 7) -> Labels:
    """Labels in which one speaker talks from `start` to `end`."""
    active = np.zeros((end_frame - first_frame, 1), bool)
    active[start - first_frame : end - first_frame] = True
    return Labels(first_frame, active, (speaker,))


def test_the_windows_take_an_onset_over_under_its_id() -> None:
    timeline = Timeline(1.0)
    timeline.update(silence(-129 * FRAME_SAMPLES), 460)
    assert timeline.onset(475, 481) == [TurnRecord(1, None, 475, 481, 475, "provisional")]
    assert timeline.onset(482, 490) == []  # a turn is there
    turns = [record for record in timeline.update(spoken(0, 490, 470, 490), 490) if isinstance(record, TurnRecord)]
    assert [(turn.id, turn.speaker, turn.start_frame, turn.end_frame) for turn in turns] == [(1, 1, 470, 490)]


def test_the_windows_retract_an_onset_that_was_none() -> None:
    timeline = Timeline(1.0)
    timeline.update(silence(-129 * FRAME_SAMPLES), 460)
    (onset,) = timeline.onset(475, 481)
    assert timeline.update(silence(-99 * FRAME_SAMPLES), 490) == [replace(onset, state="retracted")]
    assert timeline.turns == ()


def test_an_onset_begins_where_nothing_is_committed() -> None:
    timeline = Timeline(0.5)
    timeline.update(silence(-129 * FRAME_SAMPLES), 460)
    (onset,) = timeline.onset(400, 466)
    assert isinstance(onset, TurnRecord)
    assert onset.start_frame == onset.committed_frame == timeline.committed_frame == 430
    assert timeline.onset(300, 430) == []


def test_cells_fade_from_chunk_to_chunk(models: Hearing, demo: np.ndarray) -> None:
    """As the network alone would leave them, times exp(-0.10125 / 3)."""
    chunk = (demo[120_000 : 120_000 + FIRST_SAMPLES] / 32_768).astype(np.float32)
    before = models.initial_activity_state()
    _, after = models.listen(chunk, before)
    _, (alone,) = PyanNet(segmentation_weights()).step(chunk[None], [before], AHEAD_FRAMES)
    np.testing.assert_allclose(after.c, alone.c * np.exp(-FIRST_SAMPLES / 48_000), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(after.h, alone.h)


def test_activity_as_json() -> None:
    (event,) = Publisher().publish([ActivityRecord(0, 60, True, False)])
    assert to_json(event) == '{"type":"activity","start":0.0,"end":1.035,"speech":true,"overlap":false}'
