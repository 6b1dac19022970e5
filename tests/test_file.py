"""Recordings: every format as blocks, one sentence for what cannot be read, pacing by the audio's clock."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from turnstream.clients.sources.file import AudioFile, paced
from turnstream.errors import AudioError


def sound(samples: int, channels: int = 2) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((samples, channels))).astype(np.float32)


def read(path, block_s: float = 1.0) -> np.ndarray:
    with AudioFile(path) as recording:
        return np.concatenate(list(recording.blocks(block_s)))


@pytest.mark.parametrize("block_s", [0.01, 0.37, 1.0, 100.0])
def test_blocks_are_the_recording_whatever_their_length(tmp_path, block_s):
    sf.write(tmp_path / "a.wav", sound(22050), 22050, "FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "a.wav", block_s), sound(22050))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.caf", "a.au", "a.w64", "a.ogg", "a.mp3"])
def test_every_format_has_its_rate_channels_and_length(tmp_path, name):
    sf.write(tmp_path / name, sound(48000), 48000)
    with AudioFile(tmp_path / name) as recording:
        blocks = list(recording.blocks(0.3))
        assert (recording.rate_hz, recording.channels, recording.total_samples) == (48000, 2, 48000)
        assert recording.duration_s == 1.0
    assert all(block.shape[1] == 2 and block.dtype == np.float32 for block in blocks)
    assert sum(map(len, blocks)) == 48000
    assert max(map(len, blocks)) == 14400


@pytest.mark.parametrize(("subtype", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-31)])
def test_integer_formats_are_scaled_by_their_full_scale(tmp_path, subtype, step):
    values = np.array([[-1.0], [0.5], [0.0], [-0.25]], np.float32)
    sf.write(tmp_path / "a.wav", values, 16000, subtype)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), values, rtol=0, atol=step)


def test_blocks_can_be_read_twice(tmp_path):
    sf.write(tmp_path / "a.wav", sound(5000), 8000)
    with AudioFile(tmp_path / "a.wav") as recording:
        once, again = (np.concatenate(list(recording.blocks(0.1))) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_long_recording_is_never_in_memory_as_a_whole(tmp_path):
    with sf.SoundFile(tmp_path / "a.wav", "w", 48000, 2, "PCM_16") as out:
        for _ in range(300):
            out.write(np.zeros((48000, 2), np.int16))
    tracemalloc.start()
    with AudioFile(tmp_path / "a.wav") as recording:
        samples = sum(len(block) for block in recording.blocks())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert samples == 300 * 48000
    assert peak_bytes < 4e6


# What cannot be read


def one_sentence(error: pytest.ExceptionInfo[AudioError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert ". " not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["no.wav", "no/such/folder.wav", "a" * 300 + ".wav"])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(AudioError) as error:
        AudioFile(tmp_path / name)
    one_sentence(error, name)


def test_a_folder_an_empty_file_and_a_pipe(tmp_path):
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    for name, reason in [("", "is a folder"), ("empty.wav", "got 0 bytes"), ("pipe.wav", "not a regular file")]:
        with pytest.raises(AudioError) as error:
            AudioFile(tmp_path / name)
        one_sentence(error, reason)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.txt", "a.raw", "a"])
def test_what_is_no_audio(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is no audio at all, " * 100)
    with pytest.raises(AudioError) as error:
        AudioFile(tmp_path / name)
    one_sentence(error, name, "is not audio that can be read")


def test_audio_without_a_sample(tmp_path):
    sf.write(tmp_path / "a.wav", sound(0), 16000)
    with pytest.raises(AudioError) as error:
        AudioFile(tmp_path / "a.wav")
    one_sentence(error, "holds no audio: expected 1 sample or more, got 0")


@pytest.mark.parametrize(
    ("rate_hz", "channels", "said"),
    [(4000, 1, "a rate in Hz of 8000 to 192000, got 4000"), (16000, 200, "a channel count of 1 to 128, got 200")],
)
def test_a_rate_or_channels_that_cannot_be_taken_name_the_file(tmp_path, rate_hz, channels, said):
    sf.write(tmp_path / "a.wav", sound(100, channels), rate_hz)
    with pytest.raises(AudioError) as error:
        AudioFile(tmp_path / "a.wav")
    one_sentence(error, f"a.wav: expected {said}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path):
    sf.write(tmp_path / "a.wav", sound(10), 16000)
    (tmp_path / "a.wav").chmod(0)
    with pytest.raises(AudioError) as error:
        AudioFile(tmp_path / "a.wav")
    one_sentence(error, "cannot be read: Permission denied")


def test_what_comes_before_the_damage_is_given(tmp_path):
    sf.write(tmp_path / "a.flac", sound(96000), 48000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    blocks = []
    with AudioFile(tmp_path / "a.flac") as recording, pytest.raises(AudioError) as error:
        blocks.extend(recording.blocks(0.1))
    one_sentence(error, "is damaged after 0.", "of 2.0 s")
    given_samples = np.concatenate(blocks)
    assert len(given_samples) > 36000
    np.testing.assert_allclose(given_samples, sound(96000)[: len(given_samples)], atol=2**-15)


def test_a_cut_off_wav_gives_what_is_there(tmp_path):
    sf.write(tmp_path / "a.wav", sound(16000), 16000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    assert 7900 < len(read(tmp_path / "a.wav")) <= 8000


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_what_a_killed_recorder_left_is_read(tmp_path, name):
    write = f"""
import os, signal, numpy, soundfile
out = soundfile.SoundFile({str(tmp_path / name)!r}, "w", 16000, 1, "PCM_16")
for _ in range(20):
    out.write(numpy.full(4000, 0.25))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", write], check=False)
    blocks = []
    with contextlib.suppress(AudioError), AudioFile(tmp_path / name) as recording:
        assert 70_000 < recording.total_samples <= 80_000
        blocks.extend(recording.blocks(0.1))
    assert sum(map(len, blocks)) > 70_000
    assert all((block == 0.25).all() for block in blocks)


@pytest.mark.parametrize(
    ("name", "subtype", "rate_hz"),
    [
        ("a.wav", "GSM610", 8000),
        ("a.wav", "G721_32", 8000),
        ("a.au", "G723_24", 8000),
        ("a.wav", "NMS_ADPCM_24", 8000),
        ("a.xi", "DPCM_16", 44100),
    ],
)
def test_codecs_that_cannot_be_sought_in_are_read_also_twice(tmp_path, name, subtype, rate_hz):
    sf.write(tmp_path / name, sound(16000, 1), rate_hz, subtype)
    with AudioFile(tmp_path / name) as recording:
        once, again = (np.concatenate(list(recording.blocks(0.1))) for _ in range(2))
        assert recording.warning() is None
    assert len(once) >= 16000
    np.testing.assert_array_equal(once, again)


def wav(path, size_said: int, samples: int = 16000, more: bytes = b"") -> np.ndarray:
    """A 16-bit WAV file whose header says that its samples have `size_said` bytes."""
    sf.write(path, sound(samples), 16000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = size_said.to_bytes(4, "little")
    whole = read(path)
    path.write_bytes(data + more)
    return whole


@pytest.mark.parametrize("size_said", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_whose_writer_died_is_read_to_its_end(tmp_path, size_said):
    whole = wav(tmp_path / "a.wav", size_said)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), whole)
    with AudioFile(tmp_path / "a.wav") as recording:
        assert recording.total_samples == 16000
        np.testing.assert_array_equal(np.concatenate([*recording.blocks(), *recording.blocks()]), [*whole, *whole])
        assert recording.warning() is None


def test_an_empty_wav_with_a_comment_has_no_audio(tmp_path):
    sf.write(tmp_path / "a.wav", sound(0), 16000)
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(b"LIST\x0a\0\0\0INFOabcdef")
    with pytest.raises(AudioError, match="holds no audio"):
        AudioFile(tmp_path / "a.wav")


@pytest.mark.parametrize("size_said", [64_000, 0, 0xFFFFFFFF])
def test_a_wav_of_more_than_4_gib_is_read_whole(tmp_path, size_said):
    """Sparse: the header counts modulo 2^32, as of one that was written without heed, or not at all."""
    wav(tmp_path / "a.wav", size_said)
    os.truncate(tmp_path / "a.wav", 44 + 2**32 + 64_000)
    with AudioFile(tmp_path / "a.wav") as recording:
        assert recording.total_samples == 2**30 + 16000
        np.testing.assert_array_equal(next(recording.blocks()), sound_of_wav(tmp_path))


def sound_of_wav(folder) -> np.ndarray:
    sf.write(folder / "reference.wav", sound(16000), 16000)
    return read(folder / "reference.wav")


@pytest.mark.parametrize(
    ("size_said", "more", "said"),
    [
        (64_000, bytes(320_000), "its header says 1.0 s, the file has 6.0 s, of which 1.0 s were read"),
        (640_000, b"", "its header says 10.0 s, the file has 1.0 s, of which 1.0 s were read"),
        (64_000, b"LIST\x0a\0\0\0INFOabcdef", None),
        (64_000, b"", None),
    ],
)
def test_a_wav_that_is_not_as_long_as_its_header_says(tmp_path, size_said, more, said):
    wav(tmp_path / "a.wav", size_said, more=more)
    with AudioFile(tmp_path / "a.wav") as recording:
        assert recording.warning() is None
        assert sum(map(len, recording.blocks())) == 16000
        assert recording.warning() == said


def test_a_truncated_mp3_is_told_and_its_decoder_is_silent(tmp_path, capfd):
    sf.write(tmp_path / "a.mp3", sound(480_000, 1), 16000)
    data = (tmp_path / "a.mp3").read_bytes()
    with AudioFile(tmp_path / "a.mp3") as recording:
        list(recording.blocks())
        assert recording.warning() is None
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with AudioFile(tmp_path / "a.mp3") as recording:
        samples = sum(map(len, recording.blocks()))
        assert recording.warning() == (
            f"its header says 30.0 s, the file has {samples / 16000:.1f} s, of which {samples / 16000:.1f} s were read"
        )
        print("still heard", file=sys.stderr)
    assert samples < 260_000
    os.write(2, b"and here\n")
    assert capfd.readouterr().err == "still heard\nand here\n"


# Pacing


class FakeClock:
    """Time that passes only by sleeping and by `work`."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


@pytest.mark.slow
@given(
    blocks=st.lists(st.integers(1, 2000), min_size=1, max_size=50),
    work=st.lists(st.floats(0, 0.2), min_size=50, max_size=50),
)
def test_no_block_is_early_and_a_late_one_is_not_waited_for(blocks, work):
    clock, rate_hz, heard = FakeClock(), 16000, 0
    start_s = clock.now_s
    idle_since_s = start_s
    for block, work_s in zip(paced(map(np.zeros, blocks), rate_hz, clock, clock.sleep), work, strict=False):
        heard += len(block)
        due_s = start_s + heard / rate_hz
        assert clock.now_s == pytest.approx(max(due_s, idle_since_s), abs=1e-6)
        clock.now_s += work_s
        idle_since_s = clock.now_s


def test_pacing_does_not_drift_over_an_hour():
    clock = FakeClock()
    for _ in paced((np.zeros(1601) for _ in range(36000)), 16000, clock, clock.sleep):
        clock.now_s += 0.01
    assert clock.now_s - 1000 == pytest.approx(36000 * 1601 / 16000 + 0.01, abs=1e-3)
