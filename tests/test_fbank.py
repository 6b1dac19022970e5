"""Feature rows keep their absolute numbers and their bytes however the audio is cut, and are Kaldi's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.audio import fbank as module
from turnstream.audio.fbank import FbankStream, fbank, row_count, rows_of_frames
from turnstream.windows import FRAME_SAMPLES

GOLDEN = Path(__file__).parent / "golden" / "embedding.npz"
KALDI_TOLERANCE = 2e-4  # a float32 FFT against the formula in float64; most of it where there is hardly any energy


def speech(samples: int = 24000) -> np.ndarray:
    with np.load(GOLDEN) as file:
        return file["samples"][:samples].astype(np.float32) / 32768


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 7, 159, 160, 161, 400, 3000]), max_size=40), st.integers(0, 9000))
def test_any_chunking_gives_the_same_bytes(chunks: list[int], total: int) -> None:
    samples = speech(total)
    stream = FbankStream()
    start = 0
    for size in [*chunks, total]:
        stream.append(samples[start : start + size])
        start += size
    assert stream.end_row == row_count(total)
    assert stream.rows(np.arange(stream.end_row)).tobytes() == fbank(samples).tobytes()


def test_row_covers_400_samples_from_160_times_its_number() -> None:
    samples = speech()
    rows = fbank(samples)
    for i in (0, 1, 50, len(rows) - 1):
        assert np.array_equal(rows[i : i + 1], fbank(samples[160 * i : 160 * i + 400]))


def test_features_are_kaldis() -> None:
    with np.load(GOLDEN) as file:
        expected = file["fbank"]
    rows = fbank(speech())
    assert rows.shape == expected.shape
    assert np.abs(rows - expected).max() < KALDI_TOLERANCE


def test_another_scale_or_window_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with np.load(GOLDEN) as file:
        expected = file["fbank"]
    monkeypatch.setattr(module, "INT16_SCALE", 32767.0)
    assert np.abs(fbank(speech()) - expected).max() < KALDI_TOLERANCE  # too close to tell, and harmless
    monkeypatch.setattr(module, "INT16_SCALE", 1.0)
    assert np.abs(fbank(speech()) - expected).max() > 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-40, 400), max_size=30))
def test_rows_of_frames_are_those_with_their_center_inside(frames: list[int]) -> None:
    expected = [i for i in range(800) if (160 * i + 200 - 360) // FRAME_SAMPLES in frames]
    assert rows_of_frames(np.array(frames, dtype=np.int64)).tolist() == expected


def test_dropping_keeps_the_numbers_and_the_rows_still_needed() -> None:
    samples, frame = speech(), 37
    whole, stream = fbank(samples), FbankStream()
    for start in range(0, len(samples), 1000):
        stream.append(samples[start : start + 1000])
        if start == 12000:
            stream.drop_before(frame)
            stream.drop_before(frame - 5)
    first = int(rows_of_frames(np.array([frame]))[0])
    assert stream.first_row == first
    assert np.array_equal(stream.rows(np.arange(first, stream.end_row)), whole[first:])
    assert np.array_equal(stream.rows_of_frames(np.array([frame])), whole[rows_of_frames(np.array([frame]))])
    with pytest.raises(IndexError, match=f"rows {first} to {len(whole) - 1} are kept, got {first - 1} to {first}"):
        stream.rows(np.array([first - 1, first]))
    with pytest.raises(IndexError, match=f"got 0 to {len(whole)}"):
        stream.rows(np.array([len(whole), 0]))


def test_dropping_everything_keeps_counting() -> None:
    samples, stream = speech(), FbankStream()
    stream.append(samples[:12000])
    stream.drop_before(10_000)
    assert stream.first_row == stream.end_row == row_count(12000)
    stream.append(samples[12000:])
    rest = np.arange(row_count(12000), row_count(24000))
    assert np.array_equal(stream.rows(rest), fbank(samples)[rest])


def test_silence_and_too_little_audio() -> None:
    assert np.isfinite(fbank(np.zeros(1600, np.float32))).all()
    assert fbank(np.zeros(399, np.float32)).shape == (0, 80)
    assert FbankStream().rows_of_frames(np.array([-3, -2])).shape == (0, 80)
