"""AudioInput: any cutting gives the same bytes, time stays true, bad input is named and costs nothing."""

from __future__ import annotations

import itertools
from math import gcd

import numpy as np
import pytest
import soxr
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.signal import resample_poly

from turnstream.audio.input import AudioCounts, AudioInput
from turnstream.audio.resampler import resampled_length
from turnstream.errors import AudioError
from turnstream.limits import MAX_CHANNELS

RATES = [8000, 11025, 16000, 16001, 22050, 44100, 48000, 192000]
ENCODINGS = {"pcm_s16le": 2, "pcm_s24le": 3, "pcm_s32le": 4, "pcm_f32le": 4}


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def whole(audio: AudioInput, chunk) -> np.ndarray:
    return np.concatenate([audio.feed(chunk), audio.flush()])


def pieces(data, cuts: list[int]):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def encode(values: np.ndarray, encoding: str) -> bytes:
    """Independent of the decoder: sample by sample with int.to_bytes."""
    if encoding == "pcm_f32le":
        return values.astype("<f4").tobytes()
    width = ENCODINGS[encoding]
    scale = 2 ** (8 * width - 1)
    return b"".join(int(v * scale).to_bytes(width, "little", signed=True) for v in values.ravel())


# One cutting for all: byte-identical output


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", RATES)
@given(cuts=st.lists(st.integers(0, 6000), max_size=40))
def test_any_cutting_of_an_array_gives_the_same_bytes(rate_hz, cuts):
    samples = noise(5000)
    audio = AudioInput(rate_hz)
    cut = np.concatenate([*(audio.feed(piece) for piece in pieces(samples, cuts)), audio.flush()])
    assert cut.tobytes() == whole(AudioInput(rate_hz), samples).tobytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(
    rate_hz=st.sampled_from([16000, 44100]),
    channels=st.integers(1, 11),
    cuts=st.lists(st.integers(0, 12000), max_size=40),
)
def test_any_cutting_of_bytes_gives_the_same_bytes(encoding, rate_hz, channels, cuts):
    data = encode(noise(3000 // channels * channels).clip(-1, 0.99), encoding)
    audio = AudioInput(rate_hz, channels, encoding)
    cut = np.concatenate([*(audio.feed(piece) for piece in pieces(data, cuts)), audio.flush()])
    assert cut.tobytes() == whole(AudioInput(rate_hz, channels, encoding), data).tobytes()


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_one_sample_at_a_time_gives_the_same_bytes(rate_hz):
    samples = noise(3000)
    audio = AudioInput(rate_hz)
    cut = np.concatenate([*(audio.feed(samples[n : n + 1]) for n in range(len(samples))), audio.flush()])
    assert cut.tobytes() == whole(AudioInput(rate_hz), samples).tobytes()


@pytest.mark.parametrize("channels", [2, 3, 8, 17])
@pytest.mark.parametrize("order", ["C", "F"])
def test_mixing_does_not_depend_on_the_cutting_or_on_memory_order(channels, order):
    frames = np.asarray(noise(999 * channels).reshape(-1, channels), order=order)
    audio = AudioInput(16000, channels)
    cut = np.concatenate([audio.feed(frames[n : n + 1]) for n in range(len(frames))])
    assert cut.tobytes() == AudioInput(16000, channels).feed(frames).tobytes()


class Tensor:
    """As tensors of other libraries are: no array, but NumPy can make one of it."""

    def __init__(self, values: np.ndarray, problem: str = ""):
        self.values, self.problem = values, problem

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if self.problem:
            raise TypeError(self.problem)
        return self.values


@pytest.mark.parametrize("kind", [Tensor, list, tuple, "torch", "mlx.core"])
@pytest.mark.parametrize("channels", [1, 2])
def test_tensors_and_lists_are_taken_like_arrays(kind, channels):
    if isinstance(kind, str):
        library = pytest.importorskip(kind)
        kind = getattr(library, "from_numpy", None) or library.array
    frames = noise(2000).reshape(-1, channels) if channels > 1 else noise(2000)
    expected = AudioInput(channels=channels).feed(frames)
    chunk = kind(frames.tolist()) if kind in (list, tuple) else kind(frames)
    assert AudioInput(channels=channels).feed(chunk).tobytes() == expected.tobytes()


def test_a_tensor_that_numpy_cannot_read_says_why():
    with pytest.raises(AudioError, match=r"^expected samples that NumPy can read, got Tensor: it is on a GPU$"):
        AudioInput().feed(Tensor(noise(1), "it is on a GPU\nin detail"))


# Values


def test_at_16_khz_samples_pass_through_exactly_and_at_once():
    samples = noise(1000)
    audio = AudioInput()
    np.testing.assert_array_equal(audio.feed(samples), samples)
    assert len(audio.flush()) == 0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_value_that_was_encoded(encoding):
    values = np.array([0, 0.5, -0.5, -1, 0.25, 1 - 2**-15, 2**-15, -(2**-15)], np.float32)
    out = AudioInput(encoding=encoding).feed(encode(values, encoding))
    np.testing.assert_array_equal(out, values)


@given(value=st.integers(-(2**23), 2**23 - 1))
@example(-(2**23))
@example(2**23 - 1)
@example(-1)
def test_24_bit_samples_are_exact(value):
    out = AudioInput(encoding="pcm_s24le").feed(value.to_bytes(3, "little", signed=True))
    assert out.tolist() == [value / 2**23]


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64", ">i2", ">f4"])
def test_arrays_of_every_type_are_scaled_by_their_full_scale(dtype):
    values = np.array([0, 0.5, -0.5, -1, 0.25])
    scale = {"i2": 2**15, "i4": 2**31}.get(np.dtype(dtype).str[1:], 1)
    out = AudioInput().feed((values * scale).astype(dtype))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, values.astype(np.float32))


def test_channels_are_averaged_or_one_is_chosen():
    frames = np.stack([noise(500, 1), noise(500, 2), noise(500, 3)], axis=1)
    mean = AudioInput(channels=3).feed(frames)
    np.testing.assert_allclose(mean, frames.astype(np.float64).mean(axis=1), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(AudioInput(channels=3, channel=2).feed(frames), frames[:, 2])


def test_the_output_is_the_callers_own():
    samples = noise(100)
    out = AudioInput().feed(samples)
    samples[:] = 7
    assert np.abs(out).max() < 1


# Time


@pytest.mark.parametrize("rate_hz", [*RATES, 12345, 96000])
@pytest.mark.parametrize("samples", [0, 1, 7, 12345, 1_200_001])
def test_the_output_is_as_long_as_the_input(rate_hz, samples):
    audio = AudioInput(rate_hz)
    out = whole(audio, np.zeros(samples, np.int16))
    assert len(out) == resampled_length(samples, rate_hz)
    assert abs(len(out) - samples * 16000 / rate_hz) <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [11025, 16001, 44100])
def test_ten_minutes_on_a_click_is_still_in_its_place(rate_hz):
    samples = 600 * rate_hz
    audio, click = AudioInput(rate_hz), samples - rate_hz // 3
    out = [audio.gap(click), audio.feed(np.ones(1, np.float32)), audio.feed(np.zeros(samples - click - 1))]
    stream = np.concatenate([*out, audio.flush()])
    assert len(stream) == 600 * 16000
    assert abs(int(np.abs(stream).argmax()) - click * 16000 / rate_hz) <= 1


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_speechlike_sound_agrees_with_an_independent_resampler(rate_hz):
    time_s = np.arange(3 * rate_hz) / rate_hz
    sound = sum(0.1 * np.sin(2 * np.pi * hz * time_s + hz) for hz in (97, 440, 1234, 3001))
    common = gcd(16000, rate_hz)
    peer = resample_poly(sound, 16000 // common, rate_hz // common, window=("kaiser", 12.0))
    out = whole(AudioInput(rate_hz), sound)
    middle = slice(1600, -1600)
    error = np.abs(out[: len(peer)] - peer[: len(out)])[middle].max()
    moved = np.abs(np.roll(out, 1)[: len(peer)] - peer[: len(out)])[middle].max()
    assert error < 5e-3
    assert moved > 20 * error


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("samples", [50, 12345])
def test_first_and_last_samples_are_those_of_one_call_over_everything(rate_hz, samples):
    out = whole(AudioInput(rate_hz), noise(samples))
    np.testing.assert_allclose(out, soxr.resample(noise(samples), rate_hz, 16000, quality="HQ"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000, 192000])
def test_what_16_khz_cannot_hold_is_filtered_away(rate_hz):
    tone = np.sin(2 * np.pi * 9500 * np.arange(2 * rate_hz) / rate_hz)
    out = whole(AudioInput(rate_hz), tone)
    assert np.abs(out[1600:-1600]).max() < 1e-4


@pytest.mark.parametrize(("rate_hz", "most_ms"), [(8000, 130), (44100, 50), (48000, 50), (192000, 90), (16000, 0)])
def test_the_delay_is_short(rate_hz, most_ms):
    audio, fed, given_out, delays = AudioInput(rate_hz), 0, 0, []
    for _ in range(700):
        fed += rate_hz // 70
        given_out += len(audio.feed(noise(rate_hz // 70)))
        delays.append(fed / rate_hz - given_out / 16000)
    assert 1000 * max(delays) <= most_ms + 1e-6


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_a_gap_is_silence_of_the_same_length(rate_hz):
    before, after = noise(5000, 1), noise(5000, 2)
    audio, silence = AudioInput(rate_hz), AudioInput(rate_hz)
    gap = 3 * rate_hz + 11
    out = np.concatenate([audio.feed(before), audio.gap(gap), audio.feed(after), audio.flush()])
    same = whole(silence, np.concatenate([before, np.zeros(gap, np.float32), after]))
    assert out.tobytes() == same.tobytes()
    assert audio.counts == AudioCounts(
        received_samples=10_000 + gap, gap_samples=gap, peak=float(max(np.abs(before).max(), np.abs(after).max()))
    )


def test_a_gap_in_the_middle_of_a_sample_starts_a_new_one():
    audio = AudioInput(channels=2)
    first = audio.feed(b"\x00\x40\x00\x40\x00")
    out = np.concatenate([first, audio.gap(3), audio.feed(b"\x00\x20\x00\x20")])
    assert out.tolist() == [0.5, 0, 0, 0, 0.25]
    assert audio.counts.dropped_bytes == 1


# Values that should not be there


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_nan_and_infinities_become_silence_and_are_counted(rate_hz):
    samples = noise(4000)
    broken, clean = samples.copy(), samples.copy()
    broken[[5, 100, 3999]] = [np.nan, np.inf, -np.inf]
    clean[[5, 100, 3999]] = 0
    audio = AudioInput(rate_hz)
    assert whole(audio, broken).tobytes() == whole(AudioInput(rate_hz), clean).tobytes()
    assert audio.counts.repaired_values == 3


def test_a_broken_channel_does_not_silence_the_others():
    frames = np.stack([noise(100), np.full(100, np.nan, np.float32)], axis=1)
    audio = AudioInput(channels=2)
    np.testing.assert_allclose(audio.feed(frames), frames[:, 0] / 2, atol=1e-8)
    assert audio.counts.repaired_values == 100
    chosen = AudioInput(channels=2, channel=0)
    np.testing.assert_array_equal(chosen.feed(frames), frames[:, 0])
    assert chosen.counts.repaired_values == 0


@given(data=st.binary(max_size=2000))
@example(b"\x00\x00\x81\x7f")  # a signaling NaN
def test_any_bytes_as_floats_give_finite_samples_within_full_scale(data):
    out = AudioInput(encoding="pcm_f32le").feed(data)
    assert np.isfinite(out).all()
    assert (np.abs(out) <= 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_beyond_full_scale_are_limited_and_counted(dtype):
    audio = AudioInput()
    out = audio.feed(np.array([0.5, 1.0, 1.5, -1e30, np.finfo(dtype).max, -1.0], dtype))
    assert out.tolist() == [0.5, 1, 1, -1, 1, -1]
    assert audio.counts.clipped_values == 3


def test_floats_in_integer_range_are_reported_and_ordinary_overs_are_not():
    wrong, loud = AudioInput(), AudioInput()
    wrong.feed(noise(1000) * 32768)
    loud.feed(noise(1000) * 12)
    assert "expected float samples from -1 to 1, got values up to" in wrong.counts.warning()
    assert loud.counts.clipped_values > 0
    assert loud.counts.warning() is None


def test_a_constant_offset_stays_what_it_is():
    out = whole(AudioInput(44100), np.full(44100, 0.5, np.float32))
    np.testing.assert_allclose(out[800:-800], 0.5, atol=1e-5)


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate_hz": 7999}, "expected a rate in Hz of 8000 to 192000, got 7999"),
        ({"rate_hz": 192_001}, "8000 to 192000, got 192001"),
        ({"rate_hz": 44100.5}, "got 44100.5"),
        ({"rate_hz": "16000"}, "got '16000'"),
        ({"channels": 0}, f"expected a channel count of 1 to {MAX_CHANNELS}, got 0"),
        ({"channels": True}, "got True"),
        ({"channels": 2, "channel": 2}, "expected a channel of 0 to 1, got 2"),
        ({"encoding": "mp3"}, "pcm_f32le, got 'mp3'"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(AudioError, match=message):
        AudioInput(**arguments)


BAD_CHUNKS = [
    (np.zeros(4, object), "expected samples of int16, int32, float32, float64, got object"),
    (np.zeros(4, complex), "got complex128"),
    (np.zeros(4, bool), "got bool"),
    (np.zeros(4, np.int64), "got int64"),
    (np.zeros(4, np.uint8), "got uint8"),
    (np.zeros(4, np.float32), r"expected an array of shape \(N, 2\), got \(4,\)"),
    (np.zeros((4, 3), np.float32), r"expected an array of shape \(N, 2\), got \(4, 3\)"),
    (np.zeros((4, 2, 1), np.float32), r"got \(4, 2, 1\)"),
    (np.float32(0.5) * np.ones(()), r"got float64|got \(\)"),
    ([0.0, 0.0], r"expected an array of shape \(N, 2\), got \(2,\)"),
    ([[0.0, 0.0], [0.0]], "expected samples that NumPy can read, got list: setting an array element"),
    ([["a", "b"]], "expected samples of int16, int32, float32, float64, got <U1"),
    ("abcd", "expected bytes, an array, a tensor or a list of floats, got str"),
    (None, "got NoneType"),
]


@pytest.mark.parametrize("rate_hz", [16000, 44100])
@pytest.mark.parametrize(("bad", "message"), BAD_CHUNKS)
def test_after_an_error_the_next_chunk_continues_exactly(rate_hz, bad, message):
    frames = noise(4000).reshape(-1, 2)
    audio = AudioInput(rate_hz, channels=2)
    first = audio.feed(frames[:777])
    before = audio.counts
    with pytest.raises(AudioError, match=message):
        audio.feed(bad)
    assert audio.counts == before
    out = np.concatenate([first, audio.feed(frames[777:]), audio.flush()])
    assert out.tobytes() == whole(AudioInput(rate_hz, channels=2), frames).tobytes()


def test_an_array_cannot_continue_a_cut_off_sample_but_bytes_can():
    audio = AudioInput()
    first = audio.feed(b"\x00\x40\x00")
    with pytest.raises(AudioError, match="expected the rest of a frame of 2 bytes, of which 1 have arrived"):
        audio.feed(np.zeros(3, np.float32))
    assert [*first, *audio.feed(b"\x20")] == [0.5, 0.25]


def test_a_wrong_rate_and_wrong_gaps_are_refused():
    audio = AudioInput(44100)
    with pytest.raises(AudioError, match="expected 44100 Hz, got 16000"):
        audio.feed(noise(10), rate_hz=16000)
    for bad in (-1, 10**12, 0.5):
        with pytest.raises(AudioError, match=r"expected a gap in samples.* 0 to 26460000, got"):
            audio.gap(bad)
    assert audio.counts == AudioCounts()


def test_nothing_is_taken_after_the_end():
    audio = AudioInput(44100)
    audio.feed(noise(1000))
    assert len(audio.flush()) == 363
    assert len(audio.flush()) == 0
    with pytest.raises(AudioError, match="after the end of the stream"):
        audio.feed(noise(10))
    with pytest.raises(AudioError, match="after the end of the stream"):
        audio.gap(1)


def test_the_rest_of_a_sample_at_the_end_is_counted():
    audio = AudioInput(encoding="pcm_s24le")
    assert audio.feed(b"\x00\x00\x40\x01\x02").tolist() == [0.5]
    audio.flush()
    assert audio.counts.dropped_bytes == 2
