"""Linear assignment against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from turnstream.stitching.linear_assignment import best_pairs


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 10_000), st.floats(-1, 1))
def test_pairs_are_those_of_scipy(rows, columns, seed, shift):
    score = np.random.default_rng(seed).normal(shift, 1, (rows, columns))
    pairs = zip(*(half.tolist() for half in linear_sum_assignment(score, maximize=True)), strict=True)
    assert best_pairs(score) == [(row, column) for row, column in pairs if score[row, column] > 0]


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10_000))
def test_equal_scores_give_the_same_total(rows, columns, seed):
    score = np.random.default_rng(seed).integers(0, 4, (rows, columns))
    pairs = best_pairs(score)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert sum(score[pair] for pair in pairs) == score[linear_sum_assignment(score, maximize=True)].sum()


def test_pairs_need_a_positive_score():
    assert best_pairs(np.array([[0.0, 2.0], [0.0, 3.0], [-1.0, 0.0]])) == [(1, 1)]


def test_a_pair_that_is_left_out_still_counts_in_the_total():
    assert best_pairs(np.array([[5.0, 4.0], [-1.0, -3.0]])) == [(0, 1)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_has_no_pairs(shape):
    assert best_pairs(np.zeros(shape)) == []
