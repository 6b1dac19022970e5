"""Ties against counting by hand, over segments that come, go and are condensed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stitching.pair_votes import Ties
from turnstream.stitching.segments import NOTHING, Segment


def segments(count: int) -> list[Segment]:
    return [Segment(n, n + 1, NOTHING) for n in range(count)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.integers(1, 12))
def test_windows_are_counted_for_every_two_segments(seed: int, count: int, windows: int):
    rng = np.random.default_rng(seed)
    known, ties = segments(count), Ties()
    expected = np.zeros((2, count, count))
    for _ in range(windows):
        local = rng.integers(-1, 3, count)  # -1: not in this window
        ties.count([[known[n] for n in np.flatnonzero(local == k)] for k in range(3)])
        seen = (local[:, None] >= 0) & (local >= 0) & ~np.eye(count, dtype=bool)
        expected += np.stack([seen & (local[:, None] == local), seen & (local[:, None] != local)])
    order = rng.permutation(count)
    assert (ties.among([known[n] for n in order]) == expected[:, order][:, :, order]).all()


def test_what_is_forgotten_leaves_nothing_to_those_who_come_after():
    ties, old = Ties(), segments(5)
    ties.count([old[:3], old[3:]])
    ties.keep(old[:2])
    new = segments(80)
    assert (ties.among([*old[:2], *new])[:, 2:] == 0).all()
    assert ties.among(old[:2]).tolist() == [[[0, 1], [1, 0]], [[0, 0], [0, 0]]]


def test_one_that_stands_for_several_has_all_they_were_told():
    ties, told = Ties(), segments(5)
    ties.count([told[:3], told[3:]])
    ties.count([[told[0], told[3]], [told[1]]])
    [whole] = segments(1)
    ties.merge(told[:2], whole)
    together, apart = ties.among([whole, *told[2:]])
    assert together.tolist() == [[2, 2, 1, 0], [2, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]]
    assert apart.tolist() == [[2, 0, 3, 2], [0, 0, 1, 1], [3, 1, 0, 0], [2, 1, 0, 0]]
