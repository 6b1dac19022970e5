"""What a program sees: the public names, the examples that are shown, `Session.stream`, pyannote's annotation."""

from __future__ import annotations

import ast
import asyncio
import doctest
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from server_kit import pcm

import turnstream
from tests.tone_speakers import ToneModels, conversation, write_recording
from turnstream import AudioError, Event, Final, Session, Talk, Turn, TurnstreamError, events
from turnstream.audio.input import AudioInput
from turnstream.labels import Labels
from turnstream.rttm import parse_rttm
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.record import RecordStitcher
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording

LIMIT_S = 60


def test_every_public_name_is_there_and_no_other() -> None:
    names: dict[str, object] = {}
    exec("from turnstream import *", names)
    assert names.keys() - {"__builtins__"} == set(turnstream.__all__)
    assert dir(turnstream) == turnstream.__all__ == sorted(set(turnstream.__all__))
    for name in turnstream.__all__:
        assert getattr(turnstream, name) is names[name]
        assert getattr(names[name], "__name__", name) == name


def test_type_checkers_see_the_names_where_python_finds_them() -> None:
    (block,) = [node for node in ast.parse(Path(turnstream.__file__).read_text()).body if isinstance(node, ast.If)]
    seen = {
        alias.name: (node.module or "").removeprefix("turnstream.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == turnstream._HOME_OF
    assert seen.keys() == set(turnstream.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'turnstream' has no attribute 'Diariser'$"):
        _ = turnstream.Diariser
    with pytest.raises(ImportError, match="cannot import name 'Diariser'"):
        exec("from turnstream import Diariser")


def test_the_examples_of_the_events_are_true() -> None:
    result = doctest.testmod(events)
    assert result.failed == 0
    assert result.attempted >= 7
    with_examples = {test.name.split(".")[-1] for test in doctest.DocTestFinder().find(events) if test.examples}
    assert with_examples >= {"Turn", "Revision", "Speaker", "Activity", "Talk", "Final", "to_json"}


def examples(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
def test_the_lines_of_python_that_are_shown_run(channels: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of README.md, and of the package's own text for mono."""
    if channels == 2:
        (code,) = examples((ROOT / "README.md").read_text())
        assert len(code.splitlines()) <= 10
    else:
        (code,) = re.findall(r"^    from turnstream.*?\n\n(?=\S)", turnstream.__doc__ or "", re.DOTALL | re.MULTILINE)
        code = re.sub(r"^    ", "", code, flags=re.MULTILINE)
    samples, _ = soundfile.read(demo_recording()[0], dtype="float32", start=100_000, stop=244_000)
    audio = pcm(samples, "pcm_s16le", 48_000, channels)
    chunks = [audio[begin : begin + 20_001] for begin in range(0, len(audio), 20_001)]
    exec(compile(code, "README.md", "exec"), {"audio": chunks, "chunks": chunks})
    said = capsys.readouterr().out
    assert "Speaker(id='S1', state='appeared'" in said
    assert "Turn(id='T1'" in said
    (segments,) = parse_rttm(said[said.index("SPEAKER") :]).values()
    assert len(segments) >= 4
    assert {segment.speaker for segment in segments} == {"S1", "S2"}


class Models(ToneModels):
    """Their state is none."""

    def initial_state(self) -> None:
        return None


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Three who hum in turn for about 20 s: (N,) int16 at 16 kHz."""
    path = write_recording(tmp_path_factory.mktemp("tones") / "tones.wav", conversation(seed=2, turns=8))
    return soundfile.read(path, dtype="int16")[0]


def open_session(models: Models | None = None) -> Session:
    return Session(models or Models(), AudioInput(), StitcherConfig(), Timeline(1.0))


def cut(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[begin : begin + size] for begin in range(0, len(samples), size)]


@pytest.fixture(scope="module")
def by_hand(samples: np.ndarray) -> list[Event]:
    session = open_session()
    return [*session.feed(samples), *session.flush(), session.close()]


async def later(chunks: list[np.ndarray]) -> AsyncIterator[np.ndarray]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def heard(session: Session, chunks: object) -> list[Event]:
    return [event async for event in session.stream(chunks)]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [list, iter, later])
@pytest.mark.parametrize("size", [1_600, 70_001])
def test_a_stream_has_the_events_of_feed_flush_and_close(
    samples: np.ndarray, by_hand: list[Event], kind: object, size: int
) -> None:
    found = asyncio.run(heard(open_session(), kind(cut(samples, size))))  # type: ignore[operator]
    assert found == by_hand
    assert [type(event) for event in found].count(Final) == 1
    assert isinstance(found[-1], Final)
    assert len({turn.speaker for turn in found[-1].turns}) == 3


def test_a_stream_of_nothing_has_a_final() -> None:
    assert asyncio.run(heard(open_session(), [])) == [Final("stop", 0.0, (), ())]


def test_a_chunk_is_taken_when_the_one_before_it_is_done(samples: np.ndarray) -> None:
    session, positions_s = open_session(), list[float]()

    def chunks() -> Iterator[np.ndarray]:
        for chunk in cut(samples, 16_000):
            positions_s.append(session.position_s)
            yield chunk

    asyncio.run(heard(session, chunks()))
    assert positions_s == [float(n) for n in range(len(positions_s))]
    assert len(positions_s) > 10


def test_a_bad_chunk_is_an_error_and_the_session_goes_on(samples: np.ndarray, by_hand: list[Event]) -> None:
    session, told = open_session(), list[Event]()
    half = len(samples) // 2

    async def listen() -> None:
        async for event in session.stream([samples[:half], samples.astype(complex)]):
            told.append(event)

    with pytest.raises(AudioError, match="got complex128"):
        asyncio.run(listen())
    told += asyncio.run(heard(session, [samples[half:]]))
    assert told == by_hand


def test_a_session_ends_with_its_block(samples: np.ndarray, by_hand: list[Event]) -> None:
    with open_session() as session:
        session.feed(samples)
    assert session.close() == by_hand[-1]
    with pytest.raises(TurnstreamError, match="open a new session"):
        session.feed(samples)


def test_a_session_whose_block_fails_computes_no_result(samples: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Labels:
        raise AssertionError("nobody wants it")

    monkeypatch.setattr(RecordStitcher, "finish", never)

    def broken() -> None:
        with open_session() as session:
            session.feed(samples)
            raise KeyError

    with pytest.raises(KeyError):
        broken()


class ToneDiarizer:
    """In the place of `Diarizer`: hears tones."""

    asked: dict[str, object]

    def session(self, *, sample_rate_hz: int, channels: int, channel: int | None, **asked: object) -> Session:
        self.asked = asked
        return Session(Models(), AudioInput(sample_rate_hz, channels, channel=channel), StitcherConfig(), Timeline(1.0))


def test_a_recording_is_one_call(tmp_path: Path, by_hand: list[Event]) -> None:
    path = write_recording(tmp_path / "tones.wav", conversation(seed=2, turns=8))
    diarizer = ToneDiarizer()
    final = turnstream.diarize(path, diarizer=diarizer, max_speakers=3)  # type: ignore[arg-type]
    assert final == replace(by_hand[-1], recording="tones")
    assert diarizer.asked["max_speakers"] == 3
    assert diarizer.asked["speakers"] is None


def test_one_call_hears_the_channel_it_is_told(tmp_path: Path, by_hand: list[Event], samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "two.wav", np.stack([np.zeros_like(samples), samples], axis=1), 16_000)
    found = [turnstream.diarize(tmp_path / "two.wav", diarizer=ToneDiarizer(), channel=n) for n in (1, 2)]  # type: ignore[arg-type]
    assert [final.turns for final in found] == [(), by_hand[-1].turns]  # type: ignore[union-attr]
    with pytest.raises(AudioError, match=r"from 1 to 2, got 3"):
        turnstream.diarize(tmp_path / "two.wav", channel=3)


def test_one_call_looks_at_the_path_before_it_loads_models(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav does not exist"):
        turnstream.diarize(tmp_path / "none.wav")


class Gate:
    """A thread waits here until the event loop has let it through."""

    def __init__(self) -> None:
        self.asked, self.answered = threading.Semaphore(0), threading.Semaphore(0)
        self.passed = 0

    def wait(self) -> None:
        self.asked.release()
        assert self.answered.acquire(timeout=LIMIT_S), "the event loop stands still"
        self.passed += 1

    async def attend(self) -> None:
        while True:
            await asyncio.sleep(0.001)
            if self.asked.acquire(blocking=False):
                self.answered.release()


def test_the_event_loop_goes_on_while_the_engine_computes(
    samples: np.ndarray, by_hand: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every window, those behind the end too, and in the final clustering it waits for a task of the loop."""
    gate = Gate()

    class Waiting(Models):
        def segment(self, window: np.ndarray, start: int, state: object) -> tuple[np.ndarray, None]:
            gate.wait()
            return super().segment(window, start, state)

    finish = RecordStitcher.finish

    def waiting_finish(record: RecordStitcher, *given: Any) -> Labels:
        gate.wait()
        return finish(record, *given)

    monkeypatch.setattr(RecordStitcher, "finish", waiting_finish)

    async def listen() -> list[Event]:
        attendant = asyncio.create_task(gate.attend())
        found = await heard(open_session(Waiting()), cut(samples, 40_000))
        attendant.cancel()
        return found

    assert asyncio.run(listen()) == by_hand
    assert gate.passed > 30


@pytest.mark.parametrize("cancellations", [1, 2])
def test_a_cancelled_stream_ends_when_its_chunk_is_computed(
    samples: np.ndarray, by_hand: list[Event], cancellations: int
) -> None:
    """Then the session can be used at once; who cancels twice does not wait, and finds it at work."""
    computing, go_on = threading.Event(), threading.Event()

    class Waiting(Models):
        def segment(self, window: np.ndarray, start: int, state: object) -> tuple[np.ndarray, None]:
            computing.set()
            assert go_on.wait(LIMIT_S)
            return super().segment(window, start, state)

    async def cancel() -> Session:
        session = open_session(Waiting())
        task = asyncio.create_task(heard(session, [samples]))
        await asyncio.to_thread(computing.wait, LIMIT_S)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.wait([task], timeout=0.05)
        assert task.done() == (cancellations == 2)
        if cancellations == 2:
            with pytest.raises(TurnstreamError, match="one thread at a time"):
                session.close()
        go_on.set()
        await asyncio.wait([task], timeout=LIMIT_S)
        assert task.cancelled()
        return session

    session = asyncio.run(cancel())
    assert session.position_s == len(samples) / 16_000
    assert session.close() == by_hand[-1]


def test_the_event_loop_goes_on_while_an_iterable_waits_for_audio(samples: np.ndarray, by_hand: list[Event]) -> None:
    """Such as one that reads a microphone."""
    gate, pieces = Gate(), cut(samples, 40_000)

    def microphone() -> Iterator[np.ndarray]:
        for piece in pieces:
            gate.wait()
            yield piece

    async def listen() -> list[Event]:
        attendant = asyncio.create_task(gate.attend())
        found = await heard(open_session(), microphone())
        attendant.cancel()
        return found

    assert asyncio.run(listen()) == by_hand
    assert gate.passed == len(pieces)


MS = st.integers(0, 10**7)
TURNS = st.builds(
    lambda id, speaker, name, start_ms, length_ms: Turn(
        f"T{id}", speaker, name, start_ms / 1000, (start_ms + length_ms) / 1000, start_ms / 1000, "final"
    ),
    st.integers(1, 10**4),
    st.sampled_from([None, "S1", "S2"]),
    st.sampled_from([None, "Anna", "Ben B"]),
    MS,
    st.integers(1, 10**5),
)


@settings(max_examples=50, deadline=None)
@given(turns=st.lists(TURNS, max_size=10, unique_by=lambda turn: turn.id).map(tuple))
def test_the_annotation_has_every_turn(turns: tuple[Turn, ...]) -> None:
    """Two turns of the same time are two tracks."""
    final = Final("stop", 10.0, turns, (Talk("S1", None, None, 1.0),), recording="meeting")
    annotation = final.to_annotation()
    found = [
        (segment.start, segment.end, track, label) for segment, track, label in annotation.itertracks(yield_label=True)
    ]
    labels = [turn.name or turn.speaker or "unknown" for turn in turns]
    expected = [(turn.start_s, turn.end_s, turn.id, label) for turn, label in zip(turns, labels, strict=True)]
    assert sorted(found) == sorted(expected)
    assert annotation.uri == "meeting"
    assert final.to_annotation("other").uri == "other"


def test_without_pyannote_core_an_annotation_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyannote.core", None)
    with pytest.raises(TurnstreamError, match=r"^to_annotation needs pyannote\.core: pip install pyannote\.core$"):
        Final("stop", 0.0, (), ()).to_annotation()
