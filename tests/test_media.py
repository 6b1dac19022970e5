"""Recordings that libsndfile does not know: by PyAV, by ffmpeg, and what is said where neither is there."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from turnstream.clients.sources.file import AudioFile
from turnstream.clients.sources.media import AvReader, FfmpegReader
from turnstream.clients.sources.reader import UnreadableError, is_text
from turnstream.errors import AudioError

av = pytest.importorskip("av", reason="needs PyAV: pip install 'turnstream[media]'")
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs ffmpeg: apt install ffmpeg")
READERS = [AvReader, pytest.param(FfmpegReader, marks=needs_ffmpeg)]
CODECS = {"m4a": "aac", "mp4": "aac", "mkv": "aac", "aac": "aac", "webm": "libopus", "wma": "wmav2"}
RATE_HZ = 48_000


def beeps(seconds: float, channels: int) -> np.ndarray:
    """A tone in every second half of a second, (N, channels)."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 440 * time_s) * (time_s % 1 >= 0.5)
    return np.repeat(tone[:, None], channels, axis=1).astype(np.float32)


def encode(path: Path, samples: np.ndarray, skipped_s: float = 0.0, skip_at_s: float = 1.0, **options: str) -> Path:
    """A recording in the format of its suffix; time stamps jump by `skipped_s` at `skip_at_s`."""
    channels = samples.shape[1]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(
            CODECS[path.suffix[1:]], rate=RATE_HZ, layout="mono" if channels == 1 else "stereo"
        )
        stream.bit_rate = 96_000
        for begin in range(0, len(samples), 960):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[begin : begin + 960].reshape(1, -1)), "flt", stream.layout.name
            )
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = begin + round(skipped_s * RATE_HZ) * (begin >= skip_at_s * RATE_HZ)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def heard(reader: AvReader | FfmpegReader, size: int = 10_000) -> np.ndarray:
    blocks = []
    while len(block := reader.read(size)):
        blocks.append(block)
    return np.concatenate(blocks)


def loud(samples: np.ndarray) -> np.ndarray:
    """Of each tenth of a second, whether the tone is heard in it."""
    tenths = samples[: len(samples) // 4800 * 4800, 0].reshape(-1, 4800)
    return np.sqrt((tenths**2).mean(axis=1)) > 0.1


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("ending", "channels"), [*((ending, 1) for ending in CODECS), ("m4a", 2), ("webm", 2)])
def test_every_format_is_heard_when_it_was_said(tmp_path: Path, reader, ending: str, channels: int) -> None:
    made = beeps(4.0, channels)
    opened = reader(encode(tmp_path / f"talk.{ending}", made))
    samples = heard(opened)
    assert (opened.rate_hz, opened.channels) == (RATE_HZ, channels)
    assert opened.total_samples == pytest.approx(len(made), abs=0.1 * RATE_HZ)
    assert len(samples) == pytest.approx(len(made), abs=0.1 * RATE_HZ)
    assert samples.dtype == np.float32
    assert np.count_nonzero(loud(samples)[:38] != loud(made)[:38]) <= 4  # encoders delay: 0.05 s at each of the edges
    opened.rewind()
    np.testing.assert_array_equal(heard(opened, 7_777), samples)
    opened.close()


@pytest.mark.parametrize("reader", READERS)
def test_a_gap_in_the_time_stamps_is_silence(tmp_path: Path, reader) -> None:
    """As where a browser's recorder was paused."""
    opened = reader(encode(tmp_path / "paused.webm", beeps(4.0, 1), skipped_s=3.0, skip_at_s=2.0))
    tenths = loud(heard(opened))
    opened.close()
    assert not tenths[21:54].any()
    assert tenths[55:59].all()
    assert len(tenths) == pytest.approx(70, abs=2)


def test_a_file_reads_them_as_any_other(tmp_path: Path) -> None:
    with AudioFile(encode(tmp_path / "talk.m4a", beeps(3.0, 2))) as recording:
        assert (recording.rate_hz, recording.channels, round(recording.duration_s, 1)) == (RATE_HZ, 2, 3.0)
        once, again = (np.concatenate(list(recording.blocks(0.3))) for _ in range(2))
        assert recording.warning() is None
    np.testing.assert_array_equal(once, again)


def test_a_long_one_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    path = encode(tmp_path / "talk.m4a", beeps(30.0, 1))
    tracemalloc.start()
    with AudioFile(path) as recording:
        samples = sum(map(len, recording.blocks()))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert samples > 29 * RATE_HZ
    assert peak_bytes < 3e6


def test_one_that_was_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    path = encode(tmp_path / "talk.m4a", beeps(20.0, 1), movflags="faststart")
    path.write_bytes(path.read_bytes()[:-60_000])
    blocks = []
    with AudioFile(path) as recording, pytest.raises(AudioError, match=r"is damaged after \d+\.0 of 20\.0 s"):
        blocks.extend(recording.blocks())
    assert 3 < len(blocks) < 19


def picture_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


@pytest.mark.parametrize("reader", READERS)
def test_what_cannot_be_read_says_why(tmp_path: Path, reader) -> None:
    with pytest.raises(UnreadableError, match=r"^it has no sound track$"):
        reader(picture_only(tmp_path / "silent.mp4"))
    (tmp_path / "noise.m4a").write_bytes(np.random.default_rng(0).bytes(20_000))
    with pytest.raises(UnreadableError, match=r"^Invalid data found when processing input$"):
        reader(tmp_path / "noise.m4a")


@pytest.mark.parametrize("name", ["talk.mp3", "talk.wav", "talk.m4a", "talk"])
@pytest.mark.parametrize(
    "text", ["Hello Anna,\nhow are you?\n", "#EXTM3U\nhttp://127.0.0.1:1/a.ts\n", "Grüße, 你好" * 999]
)
def test_a_text_is_called_a_text(tmp_path: Path, name: str, text: str) -> None:
    """Playlists too: nothing follows their addresses."""
    (tmp_path / name).write_text(text)
    with pytest.raises(AudioError, match=rf"{name} is not audio that can be read: it is a text file$"):
        AudioFile(tmp_path / name)


def test_audio_is_no_text(tmp_path: Path) -> None:
    assert not is_text(encode(tmp_path / "talk.m4a", beeps(1.0, 1)))
    (tmp_path / "zeros").write_bytes(bytes(100))
    assert not is_text(tmp_path / "zeros")


def test_without_pyav_and_ffmpeg_one_sentence_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "talk.m4a", beeps(1.0, 1))
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AudioError) as error:
        AudioFile(path)
    assert "talk.m4a is not audio that can be read: Format not recognised (" in str(error.value)
    assert "need PyAV (pip install 'turnstream[media]') or ffmpeg on the path)" in str(error.value)


@needs_ffmpeg
def test_without_pyav_ffmpeg_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "-talk.m4a", beeps(1.0, 1))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with AudioFile(path.name) as recording:
        assert sum(map(len, recording.blocks())) == pytest.approx(RATE_HZ, abs=0.1 * RATE_HZ)
