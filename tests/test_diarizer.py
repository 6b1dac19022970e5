"""The engine on real audio with the real models: chunking, gaps, bad input, independence of sessions, sanity."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer
from turnstream.errors import AudioError, TurnstreamError
from turnstream.events import Event, Final, Revision, Speaker, Turn, speaker_name, to_json
from turnstream.offline import diarize
from turnstream.session import Models, Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording
from turnstream.windows import FRAME_SAMPLES, HOP_FRAMES, HOP_SAMPLES, HOPS_FRAMES, WINDOW_FRAMES, WINDOW_SAMPLES

pytestmark = pytest.mark.slow

EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Remembering:
    """The real models, which answer the same bytes with the same result without computing it again.

    A session that asks anything that no session asked before gets it computed: nothing is assumed to be equal.
    """

    def __init__(self, models: Models):
        self._models = models
        self._answers: dict[bytes, np.ndarray] = {}
        self.computed = 0

    def initial_state(self) -> Any:
        return self._models.initial_state()

    def segment(self, window: np.ndarray, start_sample: int, state: Any) -> tuple[np.ndarray, Any]:
        key = window.tobytes()
        if key not in self._answers:
            self.computed += 1
            self._answers[key], state = self._models.segment(window, start_sample, state)
        return self._answers[key], state

    def segment_block(self, windows: np.ndarray, start_samples: list[int]) -> Future[np.ndarray]:
        """Computed anew: it must not matter that windows come in blocks."""
        self.computed += len(windows)
        return self._models.segment_block(windows, start_samples)

    def embed_block(self, crops: list[np.ndarray]) -> Future[np.ndarray]:
        answer: Future[np.ndarray] = Future()
        answer.set_result(self.embed(crops))
        return answer

    def embed(self, crops: list[np.ndarray]) -> np.ndarray:
        for crop in crops:
            if crop.tobytes() not in self._answers:
                self.computed += 1
                self._answers[crop.tobytes()] = self._models.embed([crop])[0]
        return np.stack([self._answers[crop.tobytes()] for crop in crops]) if crops else self._models.embed([])


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


@pytest.fixture(scope="module")
def models(diarizer: Diarizer) -> Remembering:
    return Remembering(diarizer.models)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """16 s of the demo recording with both speakers: (N,) int16 at 16 kHz."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16")
    return samples[80_000:336_000]


def open_session(models: Models, latency_s: float = 1.0, hop_frames: int = HOP_FRAMES, **audio: object) -> Session:
    return Session(models, AudioInput(**audio), StitcherConfig(), Timeline(latency_s), hop_frames=hop_frames)


def run(session: Session, chunks: list[np.ndarray | bytes]) -> list[str]:
    """Every event of the stream as a JSON line, the final one last."""
    events = [event for chunk in chunks for event in session.feed(chunk)]
    return [to_json(event) for event in [*events, *session.flush(), session.close()]]


def cut(samples: np.ndarray | bytes, sizes: list[int]) -> list[np.ndarray | bytes]:
    """`samples` in pieces of `sizes`, again and again until they are used up."""
    pieces, start, i = [], 0, 0
    while start < len(samples):
        pieces.append(samples[start : start + sizes[i % len(sizes)]])
        start, i = start + sizes[i % len(sizes)], i + 1
    return pieces


SIZES = st.lists(st.integers(0, 40_000), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) > 2_000)


@EXAMPLES
@given(sizes=SIZES, latency_s=st.sampled_from([0.5, 1.0, 5.0]))
def test_chunks_change_no_event(models: Remembering, speech: np.ndarray, sizes: list[int], latency_s: float) -> None:
    whole = run(open_session(models, latency_s), [speech])
    assert sum('"turn"' in line for line in whole) > 10
    asked = models.computed
    assert run(open_session(models, latency_s), cut(speech, sizes)) == whole
    assert models.computed == asked  # every byte that the models see is the same


@EXAMPLES
@given(sizes=SIZES)
def test_chunks_change_no_event_of_resampled_stereo_bytes(
    models: Remembering, speech: np.ndarray, sizes: list[int]
) -> None:
    """44.1 kHz two-channel 16-bit PCM cut anywhere, in the middle of samples too."""
    stereo = np.stack([speech, speech // 2], axis=1).astype("<i2").tobytes()
    audio = {"rate_hz": 44_100, "channels": 2}
    whole = run(open_session(models, **audio), [stereo])
    asked = models.computed
    assert run(open_session(models, **audio), cut(stereo, sizes)) == whole
    assert models.computed == asked


def test_one_sample_at_a_time(models: Remembering, speech: np.ndarray) -> None:
    short = speech[:80_000]
    whole = run(open_session(models), [short])
    asked = models.computed
    assert run(open_session(models), cut(short, [1])) == whole
    assert models.computed == asked


def spans(final: Final) -> list[tuple[int, int, int]]:
    """The turns' frames and, for the speaker, the number of the first turn that is his."""
    first: dict[str | None, int] = {}
    return [
        (turn.start_frame, turn.end_frame, first.setdefault(turn.speaker, number))
        for number, turn in enumerate(sorted(final.turns, key=lambda turn: (turn.start_frame, turn.end_frame)))
    ]


def assert_final_is_offline(
    models: Models, recording: np.ndarray, sizes: list[int], latency_s: float, hop_frames: int
) -> None:
    """Every frame of every turn, and who has the same speaker as whom."""
    offline = diarize(models, AudioInput(), [recording])
    session = open_session(models, latency_s, hop_frames)
    for chunk in cut(recording, sizes):
        session.feed(chunk)
    assert spans(session.close()) == spans(offline)
    assert offline.turns


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=SIZES,
    latency_s=st.sampled_from([0.5, 1.0, 5.0]),
    hop_frames=st.sampled_from(HOPS_FRAMES),
    length=st.sampled_from([232_000, 240_000, 248_000]),
)
def test_final_is_offline(
    models: Remembering, speech: np.ndarray, sizes: list[int], latency_s: float, hop_frames: int, length: int
) -> None:
    """Where the end is not that of a window that is kept, more of them are taken."""
    assert_final_is_offline(models, speech[:length], sizes, latency_s, hop_frames)


def test_the_hop_may_change_at_any_time(models: Remembering, speech: np.ndarray) -> None:
    """The windows then follow the new hop at once, and the final result is the same."""
    session = open_session(models)
    for second, hop_s in enumerate([2.0, 0.35, 1.0, 0.5, 2.0, 0.7]):
        session.feed(speech[second * 16_000 : (second + 1) * 16_000])
        session.hop_s = hop_s
        assert session.hop_s == pytest.approx(hop_s, rel=0.04)
        assert 0 < session.next_due_s - session.position_s <= session.hop_s
    session.feed(speech[6 * 16_000 :])
    assert spans(session.close()) == spans(diarize(models, AudioInput(), [speech]))
    with pytest.raises(TurnstreamError, match=r"hop must be 0\.34 to 2 s, got 0\.3"):
        session.hop_s = 0.3


def test_final_is_offline_on_real_meetings(models: Remembering, speech_data: Path) -> None:
    """30 s each of three meetings, of the nine that there are; longer hops cost less and change no final result."""
    paths = sorted((speech_data / "ami").glob("*.flac"))[::3]
    assert len(paths) == 3
    for path, hop_frames in zip(paths, (HOP_FRAMES, 60, 120), strict=True):
        assert_final_is_offline(models, soundfile.read(path, dtype="int16")[0], [4_001, 70_000], 1.0, hop_frames)


def test_final_keeps_the_live_numbers(models: Remembering, speech: np.ndarray) -> None:
    """Whoever is told as S1 before the end and whoever has that number at the end talk at the same time."""
    session = open_session(models, 5.0)
    session.feed(speech)
    turns = [turn for turn in session.timeline.turns if turn.end_frame - turn.start_frame > 60]
    live = {speaker_name(turn.speaker): turn for turn in turns}
    assert live
    final = session.close()
    for speaker, turn in live.items():
        same = [t for t in final.turns if t.speaker == speaker]
        assert any(t.start_frame < turn.end_frame and turn.start_frame < t.end_frame for t in same)


def test_gap_is_silence_of_the_same_length(models: Remembering, speech: np.ndarray) -> None:
    a, b = speech[:100_000], speech[100_000:]
    session = open_session(models)
    events = [*session.feed(a), *session.gap(30_000), *session.feed(b)]
    lines = [to_json(event) for event in [*events, *session.flush(), session.close()]]
    assert lines == run(open_session(models), [a, np.zeros(30_000, np.int16), b])


def test_bad_input_loses_nothing(models: Remembering, speech: np.ndarray) -> None:
    session = open_session(models)
    events = session.feed(speech[:100_000])
    for bad in (speech.astype(complex), speech.reshape(-1, 2), "audio", None, [1, 2, 3]):
        with pytest.raises(AudioError, match=r"expected .* got"):
            session.feed(bad)  # type: ignore[arg-type]
    events += session.feed(speech[100_000:])
    assert [to_json(e) for e in [*events, *session.flush(), session.close()]] == run(open_session(models), [speech])


def test_feeding_an_ended_stream_is_an_error(models: Remembering, speech: np.ndarray) -> None:
    session = open_session(models)
    session.feed(speech[:20_000])
    final = session.close()
    with pytest.raises(TurnstreamError, match=r"ended at 1\.250 s"):
        session.feed(speech)
    assert session.close() == final


@pytest.mark.parametrize("samples", [0, 1, 100, HOP_SAMPLES, WINDOW_SAMPLES])
def test_silence_of_any_length_has_no_turns(models: Remembering, samples: int) -> None:
    session = open_session(models)
    assert session.feed(np.zeros(samples, np.float32)) == []
    assert session.close().turns == ()
    assert session.position_s == samples / 16_000


@pytest.mark.parametrize("samples", [100_000, 100_100, 100_269, 111_300, 161_234])
@pytest.mark.parametrize("latency_s", [0.5, 5.0])
def test_no_turn_outlasts_the_audio(models: Remembering, speech: np.ndarray, samples: int, latency_s: float) -> None:
    """Cut in the middle of speech, so that somebody talks to the end."""
    session = open_session(models, latency_s)
    session.feed(speech[:samples])
    ends_s = [turn.end_s for turn in session.close().turns]
    assert samples / 16_000 - 0.1 < max(ends_s) <= samples / 16_000


def test_sessions_do_not_touch_each_other(models: Remembering, speech: np.ndarray) -> None:
    one, other = open_session(models), open_session(models, latency_s=2.0)
    lines: tuple[list[str], list[str]] = ([], [])
    for a, b in zip(cut(speech, [5_000]), cut(speech[::-1].copy(), [5_000]), strict=True):
        lines[0].extend(map(to_json, one.feed(a)))
        lines[1].extend(map(to_json, other.feed(b)))
    lines[0].extend(map(to_json, [*one.flush(), one.close()]))
    lines[1].extend(map(to_json, [*other.flush(), other.close()]))
    assert lines[0] == run(open_session(models), [speech])
    assert lines[1] == run(open_session(models, latency_s=2.0), [speech[::-1].copy()])


@pytest.mark.parametrize("latency_s", [0.5, 1.0, 2.0, 5.0])
def test_turns_are_committed_at_the_latency(models: Remembering, speech: np.ndarray, latency_s: float) -> None:
    """After every window, nothing older than the latency is provisional, and what was committed stays."""
    session = open_session(models, latency_s)
    turns: dict[str, Turn] = {}
    for position, chunk in enumerate(cut(speech, [1_000]), 1):
        for event in session.feed(chunk):
            follow(event, turns)
        newest = (min(position * 1_000, len(speech)) - WINDOW_SAMPLES) // HOP_SAMPLES * HOP_SAMPLES // FRAME_SAMPLES
        due = newest + WINDOW_FRAMES - latency_s * 16_000 / FRAME_SAMPLES - 1
        assert all(t.committed_frame >= min(due, t.end_frame) for t in turns.values())


def follow(event: Event, turns: dict[str, Turn]) -> None:
    """A listener that knows the rules and nothing else."""
    match event:
        case Turn(state="retracted"):
            assert turns.pop(event.id).committed_s == event.start_s
        case Turn():
            before = turns.get(event.id)
            if before is not None and before.committed_s > before.start_s:
                assert (event.start_s, event.speaker) == (before.start_s, before.speaker)
                assert event.committed_s >= before.committed_s
            turns[event.id] = event
        case Revision():
            for i in event.turns:
                assert turns[i].speaker == event.old
                turns[i] = replace(turns[i], speaker=event.new)
        case Speaker() | Final():
            pass


def test_the_demo_recording_is_diarized(diarizer: Diarizer) -> None:
    """Two speakers and a low error on the recording that every user can fetch; the command line is tested apart."""
    from pyannote.core import Annotation, Segment
    from pyannote.core import Timeline as Extent
    from pyannote.metrics.diarization import DiarizationErrorRate

    from turnstream.rttm import parse_rttm

    wav, rttm = demo_recording()
    samples, rate_hz = soundfile.read(wav, dtype="float32")
    session = diarizer.session(sample_rate_hz=rate_hz)
    session.feed(samples)
    final = session.close()

    def annotation(text: str) -> Annotation:
        result = Annotation()
        for number, segment in enumerate(parse_rttm(text)["sample"]):
            result[Segment(segment.start_s, segment.end_s), number] = segment.speaker
        return result

    whole = Extent([Segment(0.0, len(samples) / rate_hz)])
    hypothesis = annotation(final.to_rttm("sample"))
    error = DiarizationErrorRate(collar=0.0)(annotation(rttm.read_text()), hypothesis, uem=whole)
    assert {turn.speaker for turn in final.turns} == {"S1", "S2"}
    assert error < 0.15


@pytest.mark.parametrize("given", [{"speakers": 1}, {"max_speakers": 1}])
def test_a_session_keeps_to_the_number_of_people_given(
    diarizer: Diarizer, speech: np.ndarray, given: dict[str, int]
) -> None:
    """Of two who talk, one is told of."""
    session = diarizer.session(**given)
    session.feed(speech)
    final = session.close()
    assert session.timeline.speakers == (1,)
    assert {turn.speaker for turn in final.turns} - {None} == {"S1"}


def test_numbers_of_people_that_contradict_each_other_are_refused(diarizer: Diarizer) -> None:
    with pytest.raises(TurnstreamError, match="got at least 3 and at most 2"):
        diarizer.session(min_speakers=3, max_speakers=2)
