"""The resampler: its pieces fit together, and its state is enough to go on to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.audio.resampler import PIECE_S, Resampler

RATES = (8000, 11025, 12345, 44100, 48000)


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(samples).astype(np.float32) / 4


@pytest.mark.parametrize("rate_hz", [*RATES, 192_000])
def test_the_pieces_are_those_of_one_call_over_everything(rate_hz: int) -> None:
    sound = noise((2 * PIECE_S + 1) * rate_hz + 77)
    resampler = Resampler(rate_hz)
    out = np.concatenate([resampler.push(sound), resampler.flush()])
    np.testing.assert_allclose(out, soxr.resample(sound, rate_hz, 16_000, quality="HQ"), rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(rate_hz=st.sampled_from(RATES), end_s=st.floats(0, 2.2 * PIECE_S), data=st.data())
def test_one_that_is_moved_anywhere_goes_on_to_the_bit(rate_hz: int, end_s: float, data: st.DataObject) -> None:
    sound = noise(int(end_s * rate_hz))
    whole = Resampler(rate_hz)
    expected = np.concatenate([whole.push(sound), whole.flush()])
    moved, parts, at = Resampler(rate_hz), [], 0
    for end in sorted(data.draw(st.lists(st.integers(0, len(sound)), max_size=4))):
        parts.append(moved.push(sound[at:end]))
        state, at = moved.__getstate__(), end
        moved = Resampler.__new__(Resampler)
        moved.__setstate__(state)
    parts += [moved.push(sound[at:]), moved.flush()]
    np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize(
    ("name", "value"), [("given", 5), ("number", 1), ("number", -1), ("heard", np.zeros(10**6, np.float32))]
)
def test_a_state_that_never_was_is_refused(name: str, value: object) -> None:
    resampler = Resampler(8000)
    resampler.push(noise(9000))
    with pytest.raises(ValueError, match="resample"):
        Resampler.__new__(Resampler).__setstate__({**resampler.__getstate__(), name: value})
