"""Packed windows are restored exactly."""

from __future__ import annotations

import gc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stitching.assignment import Window
from turnstream.stitching.history import WindowHistory
from turnstream.stitching.segments import Run, Segment
from turnstream.windows import WINDOW_FRAMES

NOTHING = np.zeros(0, np.int64)


def made(count: int, seed: int) -> tuple[list[Window], list[Segment]]:
    """Windows of random runs, whose segments several of them share."""
    rng = np.random.default_rng(seed)
    vectors = [rng.normal(size=4).astype(np.float32) for _ in range(count)]
    segments = [Segment(10 * n, 10 * n + 9, NOTHING, vector=vector) for n, vector in enumerate(vectors)]
    for segment in segments:
        segment.mixed = bool(rng.random() < 0.5)
    windows = []
    for number in range(count):
        runs = [
            [Run(int(rng.integers(900)), 999, int(rng.integers(9)), segments[min(count - 1, number + shift)])]
            * int(rng.integers(3))
            for shift in range(3)
        ]
        active = rng.random((WINDOW_FRAMES, 3)) < 0.5
        windows.append(Window(30 * number, np.packbits(active), runs))
    return windows, segments


def told(window: Window) -> tuple[object, ...]:
    runs = [
        [(r.start, r.end, r.clean_frames, id(r.segment.vector), r.segment.mixed) for r in found]
        for found in window.runs
    ]
    return window.first_frame, window.active.tobytes(), window.end_frame, runs


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.data())
def test_packed_windows_are_restored_exactly(count: int, seed: int, data: st.DataObject):
    windows, segments = made(count, seed)
    kept = WindowHistory()
    for number, window in enumerate(windows):
        kept.append(window)
        kept.pack(segments[number : number + 3])
        assert len(kept) == number + 1
    start, stop = data.draw(st.integers(0, count)), data.draw(st.integers(0, count + 2))
    assert [told(w) for w in kept.between(start, stop)] == [told(w) for w in windows[start:stop]]
    assert kept.newest_frame == windows[-1].first_frame
    kept.pack([])
    seen = {id(run.segment): run.segment for w in kept.between(0, count - 1) for runs in w.runs for run in runs}
    assert len({id(segment.vector) for segment in seen.values()}) == len(seen), "a segment is one object in a block"


def test_a_window_is_open_while_its_segments_may_change():
    windows, segments = made(12, 0)
    kept = WindowHistory()
    for window in windows:
        kept.append(window)
    holders = [n for n, w in enumerate(windows) if any(r.segment is segments[7] for runs in w.runs for r in runs)]
    kept.pack([segments[7]])
    first = holders[0]
    assert 0 < first < 11
    assert [kept.between(n, n + 1)[0] is window for n, window in enumerate(windows)] == [n >= first for n in range(12)]


def test_the_garbage_collector_does_not_traverse_packed_windows():
    windows, _ = made(2000, 0)
    kept = WindowHistory()
    for window in windows:
        kept.append(window)
    del windows, window
    gc.collect()
    before = len(gc.get_objects())
    kept.pack([])
    gc.collect()
    assert len(gc.get_objects()) < before - 2000 * 4
