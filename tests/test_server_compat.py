"""Clients written for other services, sending exactly what theirs send, get what theirs understand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from server_kit import file_run, pcm, serving
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from turnstream.diarizer import Diarizer
from turnstream.events import Revision, Turn
from turnstream.protocol.messages import Start
from turnstream.rttm import parse_rttm
from turnstream.server.dialects import Diart, Pyannote
from turnstream.weights.store import demo_recording

pytestmark = [pytest.mark.slow, pytest.mark.alone]

FLOATS = Start(encoding="pcm_f32le")


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """12 s of the demo recording with both speakers: (N,) float32 at 16 kHz."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="float32")
    return samples[100_000:292_000]


def test_a_client_of_pyannotes_live_api(diarizer: Diarizer, speech: np.ndarray) -> None:
    """100 ms of float32 in each binary frame, `end_of_stream`, then events until the server closes."""
    heard: list[dict] = []

    async def client() -> int | None:
        async with serving(diarizer) as (_, url), connect(url + "/compat/pyannote") as socket:
            for begin in range(0, len(speech), 1_600):
                await socket.send(speech[begin : begin + 1_600].astype("<f4").tobytes())
            await socket.send(json.dumps({"type": "end_of_stream"}))
            with contextlib.suppress(ConnectionClosed):
                while True:
                    heard.append(json.loads(await socket.recv()))
            return socket.close_code

    assert asyncio.run(asyncio.wait_for(client(), 60)) == 1000
    talking: dict[str, float] = {}
    stretches: list[tuple[str, float, float]] = []
    for event in heard:
        assert set(event) == {"type", "data"}
        assert set(event["data"]) == {"timestamp", "speaker"}
        speaker, at_s = event["data"]["speaker"], event["data"]["timestamp"]
        if event["type"] == "diarization_speaker_start":
            talking[speaker] = at_s
        else:
            assert event["type"] == "diarization_speaker_end"
            stretches.append((speaker, talking.pop(speaker), at_s))
    assert not talking
    assert {speaker for speaker, _, _ in stretches} >= {"SPEAKER_00", "SPEAKER_01"}
    told_s = sum(end - start for _, start, end in stretches)
    _, table = file_run(diarizer, pcm(speech, "pcm_f32le"), FLOATS)
    assert told_s == pytest.approx(sum(turn.end_s - turn.start_s for turn in table.values()), rel=0.15)


def test_a_client_of_diart(diarizer: Diarizer, speech: np.ndarray) -> None:
    """Base64 text of half a second of float32 in each frame; it hangs up when its file is over."""
    session = diarizer.session(encoding="pcm_f32le")
    events, dialect = session.feed(pcm(speech, "pcm_f32le")), Diart()
    expected = talk_of([line for event in events for line in dialect.say(event, 1)])
    lines: list[str] = []

    async def client() -> int:
        async with serving(diarizer, root="diart") as (server, url):
            async with connect(url) as socket:
                for begin in range(0, len(speech), 8_000):
                    step = speech[begin : begin + 8_000].astype(np.float32)
                    await socket.send(base64.b64encode(step.tobytes()).decode("utf-8"))
                while sum(talk_of(lines).values()) < sum(expected.values()) - 0.01:
                    lines.append(str(await socket.recv()))
            await asyncio.sleep(0.1)
            return len(server.table.sessions)

    assert asyncio.run(asyncio.wait_for(client(), 60)) == 0  # it cannot come back, so nothing waits for it
    assert all(line.startswith("SPEAKER stream 1 ") and line.endswith("<NA> <NA>\n") for line in lines)
    assert set(expected) >= {"speaker0", "speaker1"}
    assert talk_of(lines) == pytest.approx(expected, abs=0.01)


def talk_of(lines: list[str]) -> dict[str, float]:
    """Seconds by speaker of RTTM lines."""
    talk: dict[str, float] = {}
    for segment in parse_rttm("".join(lines)).get("stream", []):
        talk[segment.speaker] = talk.get(segment.speaker, 0.0) + segment.end_s - segment.start_s
    return talk


@pytest.mark.skipif(importlib.util.find_spec("diart") is None, reason="diart is not installed: its client is not run")
def test_diarts_own_client(diarizer: Diarizer, tmp_path: object) -> None:
    """`diart.client` itself, on the demo recording."""
    import subprocess
    import sys
    from pathlib import Path

    output = Path(str(tmp_path)) / "told.rttm"

    async def client() -> None:
        async with serving(diarizer, root="diart") as (_, url):
            command = [sys.executable, "-m", "diart.console.client", str(demo_recording()[0])]
            command += ["--host", "127.0.0.1", "--port", url.rsplit(":", 1)[1], "-o", str(output)]
            process = subprocess.Popen(command)
            while not (output.exists() and len(output.read_text().splitlines()) > 10):
                await asyncio.sleep(0.5)
            process.kill()
            process.wait()

    asyncio.run(asyncio.wait_for(client(), 120))
    assert len({segment.speaker for segment in parse_rttm(output.read_text())["stream"]}) == 2


@pytest.mark.parametrize("frame", ["not base64!", "YWJ", "é"])
def test_what_is_not_base64_closes_with_the_sentence_as_reason(diarizer: Diarizer, frame: str) -> None:
    async def client() -> tuple[int | None, str | None]:
        async with serving(diarizer) as (_, url), connect(url + "/compat/diart") as socket:
            await socket.send(frame)
            with contextlib.suppress(ConnectionClosed):
                await socket.recv()
            return socket.close_code, socket.close_reason

    code, reason = asyncio.run(client())
    assert code == 4400
    assert reason
    assert reason.startswith("expected base64 text of float32 samples, got ")


def turn(number: str, speaker: str | None, start_s: float, end_s: float, committed_s: float, state: str) -> Turn:
    return Turn(number, speaker, None, start_s, end_s, committed_s, state)


def test_a_revision_of_who_is_talking_ends_one_and_starts_the_other() -> None:
    dialect = Pyannote()
    told = []
    for message in (
        turn("T1", "S1", 1.0, 2.0, 1.0, "provisional"),
        turn("T2", None, 1.2, 2.0, 1.5, "provisional"),
        turn("T1", "S1", 1.0, 2.0, 1.5, "provisional"),
        Revision(("T1", "T2", "T9"), "S1", "S2", "reassigned", 2.0),
        turn("T1", "S2", 1.0, 3.0, 3.0, "committed"),
        turn("T2", "S2", 1.2, 1.9, 1.2, "retracted"),
    ):
        told += [(e["type"][20:], *e["data"].values()) for e in map(json.loads, dialect.say(message, 1))]
    assert told == [
        ("start", 1.0, "SPEAKER_00"),
        ("end", 1.5, "SPEAKER_00"),
        ("start", 1.5, "SPEAKER_01"),
        ("start", 1.2, "SPEAKER_01"),
        ("end", 3.0, "SPEAKER_01"),
    ]


def test_diarts_lines_are_what_was_committed_since_the_last_one() -> None:
    dialect = Diart()
    told = []
    for message in (
        turn("T1", "S2", 1.0, 2.0, 1.0, "provisional"),
        turn("T1", "S2", 1.0, 2.5, 1.5, "provisional"),
        turn("T1", "S2", 1.0, 2.2, 2.2, "committed"),
        turn("T2", None, 3.0, 4.0, 3.5, "provisional"),
        Revision(("T2",), None, "S1", "named", 4.0),
        turn("T2", "S1", 3.0, 4.0, 3.75, "provisional"),
    ):
        told += dialect.say(message, 1)
    assert told == [
        "SPEAKER stream 1 1.000 0.500 <NA> <NA> speaker1 <NA> <NA>\n",
        "SPEAKER stream 1 1.500 0.700 <NA> <NA> speaker1 <NA> <NA>\n",
        "SPEAKER stream 1 3.500 0.250 <NA> <NA> speaker0 <NA> <NA>\n",
    ]
