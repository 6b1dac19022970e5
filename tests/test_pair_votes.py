"""`PairVotes` against counting by hand, over segments that appear, disappear and are merged."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stitching.pair_votes import PairVotes
from turnstream.stitching.segments import NOTHING, Segment


def segments(count: int) -> list[Segment]:
    return [Segment(n, n + 1, NOTHING) for n in range(count)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.integers(1, 12))
def test_windows_are_counted_for_every_pair_of_segments(seed: int, count: int, windows: int):
    rng = np.random.default_rng(seed)
    known, pair_votes = segments(count), PairVotes()
    expected = np.zeros((2, count, count))
    for _ in range(windows):
        local = rng.integers(-1, 3, count)  # -1: not in this window
        pair_votes.count([[known[n] for n in np.flatnonzero(local == k)] for k in range(3)])
        seen = (local[:, None] >= 0) & (local >= 0) & ~np.eye(count, dtype=bool)
        expected += np.stack([seen & (local[:, None] == local), seen & (local[:, None] != local)])
    order = rng.permutation(count)
    assert (pair_votes.among([known[n] for n in order]) == expected[:, order][:, :, order]).all()


def test_a_reused_slot_starts_from_zero():
    pair_votes, old = PairVotes(), segments(5)
    pair_votes.count([old[:3], old[3:]])
    pair_votes.keep(old[:2])
    new = segments(80)
    assert (pair_votes.among([*old[:2], *new])[:, 2:] == 0).all()
    assert pair_votes.among(old[:2]).tolist() == [[[0, 1], [1, 0]], [[0, 0], [0, 0]]]


def test_a_merged_segment_has_the_sum_of_its_parts():
    pair_votes, parts = PairVotes(), segments(5)
    pair_votes.count([parts[:3], parts[3:]])
    pair_votes.count([[parts[0], parts[3]], [parts[1]]])
    [whole] = segments(1)
    pair_votes.merge(parts[:2], whole)
    together, apart = pair_votes.among([whole, *parts[2:]])
    assert together.tolist() == [[2, 2, 1, 0], [2, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]]
    assert apart.tolist() == [[2, 0, 3, 2], [0, 0, 1, 1], [3, 1, 0, 0], [2, 1, 0, 0]]
