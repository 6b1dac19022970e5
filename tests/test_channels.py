"""`--speaker-per-channel`: each channel on its own, as one stream; channels name speakers, and crosstalk is noted."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile

from tests.tone_speakers import ToneModels, conversation, write_recording
from turnstream import Activity, Final, Revision, Session, Speaker, Turn
from turnstream.audio.input import AudioInput
from turnstream.clients.channels import ChannelsStream
from turnstream.clients.engine import open_stream
from turnstream.clients.options import EngineOptions, NameOptions
from turnstream.clients.people import Names
from turnstream.clients.remote.live_turns import LiveTurns
from turnstream.clients.sources.source import RecordingSource
from turnstream.errors import AudioError, TurnstreamError
from turnstream.rttm import parse_rttm
from turnstream.timeline.timeline import Timeline


class Models(ToneModels):
    def initial_state(self) -> None:
        return None


class ToneDiarizer:
    """In the place of `Diarizer`."""

    asked: list[dict[str, Any]]

    def __init__(self) -> None:
        self.asked = []

    def session(self, *, sample_rate_hz: int, channels: int, channel: int | None, **asked: Any) -> Session:
        self.asked.append({"channel": channel, **asked})
        audio = AudioInput(sample_rate_hz, channels, channel=channel)
        return Session(Models(), audio, asked["stitcher"], Timeline(asked["latency_s"]))


def samples_of(path: Path, seed: int, turns: int = 3) -> np.ndarray:
    return soundfile.read(write_recording(path, conversation(seed, turns, speakers=2)), dtype="float32")[0]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two channels of two people each, who hum at once and in turn."""
    tmp_path = tmp_path_factory.mktemp("call")
    left, right = samples_of(tmp_path / "left.wav", 1), samples_of(tmp_path / "right.wav", 2)
    length = min(len(left), len(right))
    soundfile.write(tmp_path / "call.wav", np.stack([left[:length], right[:length]], axis=1), 16_000)
    return tmp_path / "call.wav"


def opened(path: Path, names: NameOptions | None = None, **options: Any) -> tuple[ChannelsStream, RecordingSource]:
    source = RecordingSource(path, options.pop("number", None), realtime=False)
    asked = EngineOptions(speaker_per_channel=True, **options)
    stream = open_stream(cast(Any, ToneDiarizer()), asked, source, [], Names(names or NameOptions()), live=True)
    assert isinstance(stream, ChannelsStream)
    return stream, source


def heard(path: Path, **options: Any) -> tuple[list[Any], Final, ChannelsStream]:
    stream, source = opened(path, **options)
    with source:
        events = [event for found, _ in stream.steps(source) for event in found]
    return [*events, *stream.flush()], stream.close(), stream


@pytest.fixture(scope="module")
def call_heard(call: Path) -> tuple[list[Any], Final, ChannelsStream, str]:
    """Its events, its result, and what was said on standard error."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        found = heard(call)
    return *found, said.getvalue()


def busy(samples: np.ndarray) -> np.ndarray:
    """In which tenths of a second anyone hums."""
    tenths = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)
    return np.sqrt((tenths**2).mean(axis=1)) > 0.02


Heard = tuple[list[Any], Final, ChannelsStream, str]


def test_each_channel_is_its_speaker(call: Path, call_heard: Heard) -> None:
    events, final, stream, _ = call_heard
    assert set(stream.voices) == {"S1", "S2"}
    samples = soundfile.read(call)[0]
    assert [(talk.speaker, talk.name) for talk in final.speakers] == [("S1", "channel 1"), ("S2", "channel 2")]
    for channel, talk in enumerate(final.speakers):
        turns = [turn for turn in final.turns if turn.speaker == talk.speaker]
        assert {turn.name for turn in turns} == {talk.name}
        talking = np.zeros(len(busy(samples[:, channel])), bool)
        for turn in turns:
            talking[round(turn.start_s * 10) : round(turn.end_s * 10)] = True
        assert np.mean(talking != busy(samples[:, channel])) < 0.1
        assert talk.talk_s == pytest.approx(sum(turn.end_s - turn.start_s for turn in turns), abs=0.01)
    assert {event.speaker for event in events if isinstance(event, Turn)} == {"S1", "S2"}
    assert not [event for event in events if isinstance(event, Revision)]
    named = [(e.id, e.state, e.name) for e in events if isinstance(e, Speaker)]
    assert sorted(named) == [
        (s, k, n) for s, c in (("S1", 1), ("S2", 2)) for k, n in (("appeared", None), ("named", f"channel {c}"))
    ]


def test_events_tell_one_stream(call_heard: Heard) -> None:
    """Ids are those of one stream; what a listener has at the end is what was committed."""
    events, final, stream, _ = call_heard
    listener = LiveTurns()
    listener.apply(events)
    listener.end(stream.position_s)
    by_id: dict[str, set[str | None]] = {}
    for event in [e for e in events if isinstance(e, Turn)] + list(final.turns):
        by_id.setdefault(event.id, set()).add(event.speaker)
    assert all(len(speakers) == 1 for speakers in by_id.values())
    (segments,) = parse_rttm(stream.live_rttm("call")).values()
    live_s = {tag: sum(s.end_s - s.start_s for s in segments if s.speaker == tag) for tag in ("channel_1", "channel_2")}
    for talk in listener.final(final.duration_s).speakers:
        assert live_s[str(talk.name).replace(" ", "_")] == pytest.approx(talk.talk_s, abs=0.5)


def test_how_it_is_cut_changes_nothing(call: Path, call_heard: Heard) -> None:
    stream, source = opened(call)
    samples = soundfile.read(call, dtype="float32")[0]
    with source:
        for begin in range(0, len(samples), 700):
            stream.feed(samples[begin : begin + 700])
    stream.flush()
    assert stream.close() == call_heard[1]


def test_one_person_is_looked_for_on_each(call: Path) -> None:
    source = RecordingSource(call, None, realtime=False)
    diarizer = ToneDiarizer()
    options = EngineOptions(speaker_per_channel=True, latency_s=2.0)
    open_stream(cast(Any, diarizer), options, source, [], Names(NameOptions()), live=True)
    source.__exit__(None, None, None)
    assert [(asked["channel"], asked["stitcher"].max_speakers, asked["latency_s"]) for asked in diarizer.asked] == [
        (0, 1, 2.0),
        (1, 1, 2.0),
    ]


def test_crosstalk_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = samples_of(tmp_path / "left.wav", 1)
    soundfile.write(tmp_path / "leaking.wav", np.stack([3 * left, 0.75 * left], axis=1), 16_000)
    _, final, _ = heard(tmp_path / "leaking.wav")
    told = capsys.readouterr().err
    assert "s of talk on channel 2 are 10 dB or more below channel 1: it may be crosstalk" in told
    assert "on channel 1" not in told
    assert {turn.speaker for turn in final.turns} == {"S1", "S2"}, "it is noted, not removed"


def test_talk_at_once_is_no_crosstalk(call_heard: Heard) -> None:
    assert call_heard[3] == ""


def test_activity_is_that_of_all_channels(tmp_path: Path) -> None:
    """Joined by hand: the models of these tests hear no activity."""
    stream = ChannelsStream([cast(Any, type("S", (), {"audio": AudioInput()})) for _ in range(2)])
    silence, talk = Activity(0.0, 0.1, False, False), Activity(0.0, 0.1, True, False)
    assert stream._joined([[silence, talk], []]) == []
    assert stream._joined([[], [talk, talk]]) == [talk, Activity(0.0, 0.1, True, True)]


def test_what_does_not_go_together_is_one_sentence(call: Path, tmp_path: Path) -> None:
    for options in ({"number": 1, "channel": 1}, {"names": NameOptions(save=(("S1", "Anna"),))}):
        with pytest.raises(TurnstreamError, match="expected it without --channel, --known and --save"):
            opened(call, **options)
    soundfile.write(tmp_path / "mono.wav", np.zeros(1000), 16_000)
    with pytest.raises(AudioError, match="expected 2 channels or more, got 1"):
        opened(tmp_path / "mono.wav")
