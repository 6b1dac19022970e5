"""RingBuffer against a plain growing array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.audio.ring import RingBuffer


def ramp(start: int, count: int) -> np.ndarray:
    """Samples whose value is their absolute number plus one, so that no sample looks like silence."""
    return np.arange(start + 1, start + count + 1, dtype=np.float32)


def expected(start: int, end: int) -> np.ndarray:
    positions = np.arange(start, end)
    return np.where(positions < 0, 0, positions + 1).astype(np.float32)


def read_everywhere(ring: RingBuffer, start: int, end: int) -> None:
    """Every readable range ending at the newest sample, and each kind of range that is not."""
    for first in range(start, end + 1):
        np.testing.assert_array_equal(ring.read(first, end), expected(first, end))
    np.testing.assert_array_equal(ring.read(-7, 0 if start else end), expected(-7, 0 if start else end))
    for first, last in [(start - 1, end), (end, end + 1), (-3, max(start, 1))]:
        if last > end or any(0 <= position < start for position in range(first, last)):
            with pytest.raises(IndexError):
                ring.read(first, last)


@pytest.mark.slow
@given(
    capacity=st.integers(1, 33),
    actions=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), min_size=1, max_size=12),
)
def test_reads_what_a_growing_array_holds_or_says_why_not(capacity, actions):
    ring, end, start = RingBuffer(capacity), 0, 0
    for count, back in actions:
        ring.append(ramp(end, count))
        end += count
        start = max(start, end - capacity)
        read_everywhere(ring, start, end)
        ring.drop_before(end - back)
        start = max(start, end - back)
        assert (ring.start, ring.end) == (start, end)
        read_everywhere(ring, start, end)


def test_the_past_before_the_stream_is_silence():
    ring = RingBuffer(10)
    assert not ring.read(-500, 0).any()
    ring.append(ramp(0, 3))
    np.testing.assert_array_equal(ring.read(-2, 3), [0, 0, 1, 2, 3])


def test_silence_before_the_stream_outlives_what_was_dropped():
    ring = RingBuffer(4)
    ring.append(ramp(0, 10))
    assert not ring.read(-3, 0).any()
    with pytest.raises(IndexError, match="expected samples from 6 on, older ones were dropped, got 0"):
        ring.read(-3, 7)


def test_errors_carry_both_numbers():
    ring = RingBuffer(4)
    ring.append(ramp(0, 10))
    with pytest.raises(IndexError, match="expected samples from 6 on, older ones were dropped, got 5"):
        ring.read(5, 8)
    with pytest.raises(IndexError, match="expected samples before 10, the end so far, got 10"):
        ring.read(8, 11)
    with pytest.raises(IndexError, match="got 8 and 7"):
        ring.read(8, 7)
    with pytest.raises(ValueError, match="got 0"):
        RingBuffer(0)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((3, 1), np.float32), np.zeros(3, np.int16)])
def test_a_wrong_array_is_refused_and_nothing_is_lost(bad):
    ring = RingBuffer(8)
    ring.append(ramp(0, 3))
    with pytest.raises(ValueError, match="float32"):
        ring.append(bad)
    ring.append(ramp(3, 2))
    np.testing.assert_array_equal(ring.read(0, 5), [1, 2, 3, 4, 5])


def test_what_was_read_does_not_change_later():
    ring = RingBuffer(4)
    ring.append(ramp(0, 4))
    before = ring.read(0, 4)
    ring.append(ramp(4, 4))
    np.testing.assert_array_equal(before, [1, 2, 3, 4])


def test_hours_take_no_more_memory_and_lose_no_position():
    ring, chunk = RingBuffer(48_000), np.zeros(1_600_000, np.float32)
    memory = ring._data.nbytes
    for _ in range(360):  # 10 hours at 16 kHz
        ring.append(chunk)
    ring.append(ramp(0, 100))
    assert ring.end == 576_000_100
    assert ring._data.nbytes == memory == 4 * ring.capacity_samples
    np.testing.assert_array_equal(ring.read(ring.end - 101, ring.end), [0, *range(1, 101)])
