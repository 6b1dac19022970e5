"""Frame geometry from one list of layers, and the schedule of windows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_FRAMES,
    HOP_SAMPLES,
    LAYERS,
    RECEPTIVE_FIELD_SAMPLES,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    WindowSchedule,
    frame_count,
)


def layers_by_hand(samples: int) -> np.ndarray:
    """Which samples each frame sees, (T, 2) first and last, found by sliding every kernel over its input."""
    seen = np.stack([np.arange(samples), np.arange(samples)], axis=1)
    for kernel, stride in LAYERS:
        starts = range(0, len(seen) - kernel + 1, stride)
        seen = np.array([(seen[at, 0], seen[at + kernel - 1, 1]) for at in starts]).reshape(-1, 2)
    return seen


def test_the_numbers_of_the_published_model():
    assert (WINDOW_FRAMES, FRAME_SAMPLES, RECEPTIVE_FIELD_SAMPLES) == (589, 270, 991)
    assert (HOP_FRAMES, HOP_SAMPLES) == (30, 8100)
    assert WINDOW_FRAMES * FRAME_SAMPLES == WINDOW_SAMPLES - 970


def test_a_window_on_the_frame_grid_is_on_the_sinc_grid_too():
    assert HOP_SAMPLES % FRAME_SAMPLES == 0
    assert HOP_SAMPLES % LAYERS[0][1] == 0


@given(samples=st.integers(0, 6000))
def test_frames_and_what_they_see_are_those_of_sliding_kernels(samples):
    seen = layers_by_hand(samples)
    assert frame_count(samples) == len(seen)
    first = np.arange(len(seen)) * FRAME_SAMPLES
    np.testing.assert_array_equal(seen, np.stack([first, first + RECEPTIVE_FIELD_SAMPLES - 1], axis=1))


def test_a_frame_stands_for_the_middle_of_what_it_sees():
    first, last = layers_by_hand(RECEPTIVE_FIELD_SAMPLES)[0]
    assert abs((first + last + 1) / 2 - (FRAME_OFFSET_SAMPLES + FRAME_SAMPLES / 2)) <= 0.5


@given(samples=st.integers(RECEPTIVE_FIELD_SAMPLES, 400_000))
def test_one_more_frame_for_every_step_of_samples(samples):
    assert frame_count(samples) == (samples - RECEPTIVE_FIELD_SAMPLES) // FRAME_SAMPLES + 1


@pytest.mark.parametrize("samples", [0, 1, 250, 251, 990])
def test_less_than_a_receptive_field_gives_no_frame(samples):
    assert frame_count(samples) == 0


@given(hop_frames=st.integers(1, WINDOW_FRAMES))
def test_windows_follow_each_other_by_the_hop_and_lie_on_one_grid(hop_frames):
    schedule = WindowSchedule(hop_frames)
    starts = []
    for _ in range(30):
        end = schedule.next_end
        starts.append(schedule.take())
        assert end == starts[-1] + WINDOW_SAMPLES
        assert schedule.frames_end == starts[-1] + WINDOW_FRAMES * FRAME_SAMPLES
    hop_samples = hop_frames * FRAME_SAMPLES
    assert {later - earlier for earlier, later in itertools.pairwise(starts)} == {hop_samples}
    assert all(start % hop_samples == 0 for start in starts)


@given(hop_frames=st.integers(1, WINDOW_FRAMES))
def test_the_first_window_is_the_earliest_that_hears_the_stream(hop_frames):
    schedule = WindowSchedule(hop_frames)
    assert 0 < schedule.next_end <= hop_frames * FRAME_SAMPLES


def test_the_first_labels_need_less_than_half_a_second():
    assert WindowSchedule().next_end == 6100


@pytest.mark.parametrize("hop_frames", [0, -1, 590])
def test_a_hop_that_would_leave_frames_out_is_refused(hop_frames):
    with pytest.raises(ValueError, match=f"hop must be 1 to 589 frames, got {hop_frames}"):
        WindowSchedule(hop_frames)
