"""The microphone with a fake sounddevice: what can go wrong. For real: test_microphone_pulse.py."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf

import turnstream.clients.sources.microphone
from tests.fake_sounddevice import PortAudioError, device, fake_sounddevice
from turnstream.clients.sources.devices import MicrophoneError
from turnstream.clients.sources.file import AudioFile
from turnstream.clients.sources.microphone import Gap, Level, Microphone, Recorder

BLOCK = 320  # 20 ms at 16 kHz


def sound(blocks: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((blocks * BLOCK, channels))).astype(np.float32)


@pytest.fixture
def sounddevice(monkeypatch):
    """A fake microphone whose callbacks arrive exactly when the samples were spoken."""
    module = fake_sounddevice([device("Fake Mic", inputs=2)])
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    now = SimpleNamespace(monotonic=lambda: module.stream.clock_s if module.stream else 100.0)
    monkeypatch.setattr(turnstream.clients.sources.microphone, "time", now)
    monkeypatch.setattr(turnstream.clients.sources.microphone, "POLL_S", 0.01)
    return module


def deliver(sounddevice, samples: np.ndarray, **flags) -> None:
    for start in range(0, len(samples), BLOCK):
        sounddevice.stream.deliver(samples[start : start + BLOCK], **flags)


def listen(microphone: Microphone) -> tuple[np.ndarray, list[Gap]]:
    """Everything until the end, gaps as zeros."""
    parts, gaps = [np.zeros((0, microphone.channels), np.float32)], []
    for item in microphone:
        if isinstance(item, Gap):
            gaps.append(item)
            parts.append(np.zeros((item.samples, microphone.channels), np.float32))
        else:
            parts.append(item.samples)
    return np.concatenate(parts), gaps


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_spoken_is_heard_until_stop(sounddevice, channels):
    with Microphone(channels=channels) as microphone:
        deliver(sounddevice, sound(60, channels))
        microphone.stop()
        heard, gaps = listen(microphone)
    np.testing.assert_array_equal(heard, sound(60, channels))
    assert gaps == []
    assert microphone.ended is None
    assert sounddevice.stream.closed


def test_the_stream_is_opened_at_the_devices_own_rate(sounddevice):
    sounddevice.query_devices()[0]["default_samplerate"] = 44100.0
    with Microphone("fake") as microphone:
        options = sounddevice.stream.options
    assert microphone.rate_hz == options["samplerate"] == 44100
    assert (options["blocksize"], options["device"], options["channels"]) == (882, 0, 1)


def test_unplugging_ends_with_a_sentence_and_keeps_what_was_heard(sounddevice):
    with Microphone() as microphone:
        deliver(sounddevice, sound(75))
        sounddevice.stream.unplug()
        heard, _ = listen(microphone)
    np.testing.assert_array_equal(heard, sound(75))
    assert microphone.ended == "the microphone 'Fake Mic' stopped after 1.5 s of audio: was it unplugged?"


def test_a_microphone_that_falls_silent_without_a_word_ends_too(sounddevice, monkeypatch):
    with Microphone() as microphone:
        deliver(sounddevice, sound(50))
        started_s = time.monotonic()
        monkeypatch.setattr(turnstream.clients.sources.microphone, "time", time)
        monkeypatch.setattr(turnstream.clients.sources.microphone, "STALLED_S", 0.2)
        heard, _ = listen(microphone)
    assert 0.2 < time.monotonic() - started_s < 3
    np.testing.assert_array_equal(heard, sound(50))
    assert "stopped after 1.0 s" in microphone.ended


def test_a_microphone_that_never_speaks(sounddevice):
    with Microphone() as microphone:
        sounddevice.stream.active = False
        assert list(microphone) == []
    assert "gave no audio: is it in use, or not allowed" in microphone.ended


def test_a_stream_whose_state_cannot_be_asked_is_gone(sounddevice):
    with Microphone() as microphone:
        deliver(sounddevice, sound(10))

        class Gone(type(sounddevice.stream)):
            @property
            def active(self):
                raise PortAudioError("invalid stream")

            @active.setter
            def active(self, value):
                pass

        sounddevice.stream.__class__ = Gone
        heard, _ = listen(microphone)
    assert len(heard) == 10 * BLOCK
    assert microphone.ended


@pytest.mark.parametrize("overflow", [True, False])
def test_lost_callbacks_become_a_gap_of_the_same_length(sounddevice, overflow):
    before, after = sound(60, seed=1), sound(60, seed=2)
    with Microphone() as microphone:
        deliver(sounddevice, before)
        sounddevice.stream.clock_s += 0.25
        sounddevice.stream.deliver(after[:BLOCK], overflow=overflow)
        deliver(sounddevice, after[BLOCK:])
        microphone.stop()
        heard, gaps = listen(microphone)
    assert gaps == [Gap(4000)]
    np.testing.assert_array_equal(heard, np.concatenate([before, np.zeros((4000, 1), np.float32), after]))


def test_what_was_held_back_when_it_stops_is_heard_too(sounddevice):
    with Microphone() as microphone:
        deliver(sounddevice, sound(50))
        sounddevice.stream.clock_s += 0.5
        deliver(sounddevice, sound(5, seed=1))
        microphone.stop()
        heard, gaps = listen(microphone)
    assert gaps == []
    np.testing.assert_array_equal(heard, np.concatenate([sound(50), sound(5, seed=1)]))


def test_a_full_queue_becomes_a_gap_and_time_stays_true(sounddevice):
    capacity = turnstream.clients.sources.microphone.QUEUE_S * turnstream.clients.sources.microphone.BLOCKS_PER_S
    with Microphone() as microphone:
        hearing = iter(microphone)
        deliver(sounddevice, sound(capacity + 25))
        first = [next(hearing) for _ in range(100)]
        deliver(sounddevice, sound(30, seed=3))
        microphone.stop()
        items = first + list(hearing)
    gap = next(number for number, item in enumerate(items) if isinstance(item, Gap))
    assert [item for item in items if isinstance(item, Gap)] == [Gap(25 * BLOCK)]
    before = np.concatenate([item.samples for item in items[:gap]])
    after = np.concatenate([item.samples for item in items[gap + 1 :]])
    np.testing.assert_array_equal(before, sound(capacity + 25)[: capacity * BLOCK])
    np.testing.assert_array_equal(after, sound(30, seed=3))


def test_what_the_full_queue_lost_at_the_end_is_a_gap_too(sounddevice):
    capacity = turnstream.clients.sources.microphone.QUEUE_S * turnstream.clients.sources.microphone.BLOCKS_PER_S
    with Microphone() as microphone:
        deliver(sounddevice, sound(capacity + 7))
        microphone.stop()
        heard, gaps = listen(microphone)
    assert gaps == [Gap(7 * BLOCK)]
    assert len(heard) == (capacity + 7) * BLOCK


def test_a_long_loss_comes_in_pieces(sounddevice):
    with Microphone() as microphone:
        deliver(sounddevice, sound(20))
        sounddevice.stream.clock_s += 25
        deliver(sounddevice, sound(30))
        microphone.stop()
        _, gaps = listen(microphone)
    assert gaps == [Gap(160_000), Gap(160_000), Gap(80_000)]


def test_stop_works_from_another_thread_while_waiting(sounddevice):
    with Microphone() as microphone:
        threading.Timer(0.1, microphone.stop).start()
        assert list(microphone) == []
    assert microphone.ended is None


@pytest.mark.parametrize(
    ("samples", "peak_dbfs", "rms_dbfs"),
    [
        (np.sin(np.arange(1600) * 2 * np.pi / 16), 0, -3.01),
        (np.full(1600, 0.1), -20, -20),
        (np.zeros(1600), -120, -120),
    ],
)
def test_levels(samples, peak_dbfs, rms_dbfs):
    level = Level.of(samples[:, None].astype(np.float32))
    assert level.peak_dbfs == pytest.approx(peak_dbfs, abs=0.01)
    assert level.rms_dbfs == pytest.approx(rms_dbfs, abs=0.01)


# Recording


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_the_recording_is_what_was_heard_gaps_as_silence(sounddevice, tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    with Microphone(channels=2, record=path) as microphone:
        deliver(sounddevice, sound(60, 2))
        sounddevice.stream.clock_s += 0.5
        deliver(sounddevice, sound(60, 2, seed=1))
        microphone.stop()
        heard, gaps = listen(microphone)
    assert gaps == [Gap(8000)]
    recorded, rate_hz = sf.read(path, dtype="float32")
    assert rate_hz == 16000
    np.testing.assert_allclose(recorded, heard, rtol=0, atol=2**-15)


def test_the_recording_is_complete_after_an_error_of_the_taker(sounddevice, tmp_path):
    def hear_a_little() -> None:
        with Microphone(record=tmp_path / "out.wav") as microphone:
            deliver(sounddevice, sound(60))
            for number, _ in enumerate(microphone):
                if number == 9:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hear_a_little()
    assert sounddevice.stream.closed
    assert len(sf.read(tmp_path / "out.wav")[0]) == 10 * BLOCK


@pytest.mark.parametrize("name", ["out.nonsense", "no/folder/out.wav", "out"])
def test_a_recording_that_cannot_be_made_is_refused_before_listening(sounddevice, tmp_path, name):
    with pytest.raises(MicrophoneError, match="cannot be recorded to"), Microphone(record=tmp_path / name):
        pass
    assert sounddevice.stream.closed


def test_a_full_disk_ends_the_recording_and_not_the_stream(sounddevice, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Microphone(record=tmp_path / "out.wav") as microphone:
        deliver(sounddevice, sound(500))
        microphone.stop()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            heard, _ = listen(microphone)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(heard) == 500 * BLOCK
    assert "out.wav ended early: " in microphone.recording_problem
    assert 9_000 < len(sf.read(tmp_path / "out.wav")[0]) <= 10_000


# What cannot be opened


def test_a_device_that_does_not_open(sounddevice, tmp_path):
    def busy(**options):
        raise PortAudioError("Device unavailable [PaErrorCode -9985]")

    sounddevice.InputStream = busy
    (tmp_path / "old.wav").write_text("an old recording")
    with (
        pytest.raises(MicrophoneError, match="'Fake Mic' cannot be opened: Device unavailable"),
        Microphone(record=tmp_path / "old.wav"),
    ):
        pass
    assert (tmp_path / "old.wav").read_text() == "an old recording"


@pytest.mark.parametrize("channels", [0, 3])
def test_a_wrong_channel_count(sounddevice, channels):
    with pytest.raises(MicrophoneError, match=f"expected 1 to 2 channels of 'Fake Mic', got {channels}"):
        Microphone(channels=channels)


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.rf64"])
def test_a_recording_of_more_than_4_gib_is_whole(tmp_path, name):
    """Sparse: the middle is sought over, not written."""
    recorder, block = Recorder(tmp_path / name, 48000, 1), np.full((48000, 1), 0.25, np.float32)
    recorder.write(block)
    recorder._file.seek(2**31)
    recorder.write(block)
    recorder.close()
    assert recorder.problem is None
    assert sf.info(tmp_path / name).frames == 2**31 + 48000
    with AudioFile(tmp_path / name) as recording:
        assert recording.total_samples == 2**31 + 48000


def test_a_short_recording_is_a_plain_wav_file(tmp_path):
    recorder = Recorder(tmp_path / "a.wav", 16000, 1)
    recorder.write(np.full((16000, 1), 0.25, np.float32))
    recorder.close()
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFF"
    assert (sf.read(tmp_path / "a.wav")[0] == 0.25).all()


def test_a_format_that_cannot_hold_more_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(turnstream.clients.sources.microphone, "MOST_SHORT_BYTES", 70_000)
    recorder = Recorder(tmp_path / "a.aiff", 16000, 1)
    for _ in range(3):
        recorder.write(np.full((16000, 1), 0.25, np.float32))
    recorder.close()
    assert "a.aiff ended early: its format holds 4 GiB" in recorder.problem
    assert sf.info(tmp_path / "a.aiff").frames == 32000
