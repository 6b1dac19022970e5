"""Weighted average linkage against SciPy's, and names that come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from turnstream.stitching.clustering import (
    CosineTable,
    average_linkage,
    centroids,
    join_clusters,
    name_clusters,
    product,
)

seeds = st.integers(0, 2**32 - 1)


def crowd(seed: int, count: int, speakers: int = 4, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors scattered about some speakers' directions, and weights."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(speakers, 24))
    vectors = means[rng.integers(speakers, size=count)] + noise * rng.normal(size=(count, 24)) * 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), rng.uniform(0.5, 6, count).astype(np.float32)


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 60), st.floats(0.05, 1.2))
def test_equal_weights_are_plain_average_linkage(seed: int, count: int, distance: float):
    vectors, _ = crowd(seed, count)
    peer = fcluster(linkage(vectors.astype(np.float64), "average", "cosine"), distance, "distance")
    assert partition(average_linkage(vectors @ vectors.T, np.ones(count, np.float32), distance)) == partition(peer)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 25), st.floats(0.05, 1.2))
def test_a_weight_counts_as_copies(seed: int, count: int, distance: float):
    vectors, _ = crowd(seed, count)
    copies = np.random.default_rng(seed).integers(1, 5, count)
    peer = fcluster(
        linkage(np.repeat(vectors, copies, axis=0).astype(np.float64), "average", "cosine"), distance, "distance"
    )
    first_copy = np.cumsum(copies) - copies
    assert partition(average_linkage(vectors @ vectors.T, copies.astype(np.float32), distance)) == partition(
        peer[first_copy]
    )


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_order_does_not_matter(seed: int):
    vectors, weights = crowd(seed, 40)
    order = np.random.default_rng(seed).permutation(40)
    shuffled = average_linkage(vectors[order] @ vectors[order].T, weights[order], 0.6)
    back = np.empty(40, np.int64)
    back[order] = shuffled
    assert partition(back) == partition(average_linkage(vectors @ vectors.T, weights, 0.6))


def voices_with_noise(seed: int, noise_s: float, cosine: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two clusters each of two voices of this cosine; w seconds are a voice and noise of length sqrt(noise_s / w)."""
    rng = np.random.default_rng(seed)
    size, count = 4096, 12  # so many dimensions that noise is at right angles to everything
    basis = np.linalg.qr(rng.normal(size=(size, 2)))[0].T
    voices = np.stack([basis[0], cosine * basis[0] + np.sqrt(1 - cosine**2) * basis[1]])
    weights = rng.uniform(0.6, 3, count).astype(np.float32)
    clusters = np.arange(count) % 4
    noise = rng.normal(size=(count, size)) / np.sqrt(size) * np.sqrt(noise_s / weights)[:, None]
    vectors = voices[clusters // 2] + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), weights, clusters


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.5, 4.0))
def test_means_freed_of_noise_join_by_voice_however_loud_the_noise(seed: int, noise_s: float):
    vectors, weights, clusters = voices_with_noise(seed, noise_s, cosine=0.5)
    assert join_clusters(vectors, weights, clusters, 0.75, noise_s).tolist() == (clusters // 2).tolist()


def test_joining_stops_at_the_cosine():
    vectors, weights, clusters = voices_with_noise(0, 1.0, cosine=0.8)
    assert join_clusters(vectors, weights, clusters, 0.9, 1.0).tolist() == (clusters // 2).tolist()
    assert set(join_clusters(vectors, weights, clusters, 0.7, 1.0).tolist()) == {0}
    assert join_clusters(vectors, weights, clusters, 1.5, 1.0).tolist() == clusters.tolist()


def test_numbers_follow_first_members():
    vectors = np.eye(3, dtype=np.float32)[[2, 0, 2, 1]]
    assert average_linkage(vectors @ vectors.T, np.ones(4, np.float32), 0.5).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("count", [0, 1])
def test_few_vectors(count: int):
    vectors, weights = crowd(1, count)
    assert join_clusters(vectors, weights, np.arange(count), 0.5, 1.0).tolist() == list(range(count))
    assert average_linkage(vectors @ vectors.T, weights, 0.4).tolist() == list(range(count))


def test_centroids_are_weighted_means():
    vectors = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    middle = centroids(vectors, np.array([3, 4, 2], np.float32), np.array([0, 0, 1]))
    assert np.allclose(middle, [[0.6, 0.8], [0, 1]])


def test_an_id_returns_to_where_most_of_its_speech_is():
    weights = np.array([5, 5, 2], np.float32)
    together = name_clusters([{1: 3}, {2: 3}, {2: 1}], weights, np.array([0, 0, 0]), [0])
    assert together == {0: 2}
    apart = name_clusters([{1: 3, 2: 1}, {2: 4}, {2: 2}], weights, np.array([0, 1, 1]), [0, 1])
    assert apart == {0: 1, 1: 2}


def test_clusters_nobody_claims_and_clusters_not_kept_have_no_name():
    named = name_clusters([{4: 1}, {}, {7: 1}], np.ones(3, np.float32), np.array([0, 1, 2]), [0, 1])
    assert named == {0: 4}


@given(seeds, st.lists(st.lists(st.integers(0, 99), unique=True, max_size=60), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_table_gives_the_products_of_any_vectors_asked_about(seed: int, asked: list[list[int]]):
    vectors = list(crowd(seed, 100)[0])
    table = CosineTable()
    for numbers in asked:
        chosen = [vectors[n] for n in numbers]
        expected = np.array(chosen).reshape(-1, 24) @ np.array(chosen).reshape(-1, 24).T
        assert np.allclose(table.among(chosen), expected, atol=1e-6)


def test_a_processors_flag_is_no_warning():
    # 0 times infinity raises the flag that BLAS may raise by registers filled beyond the data.
    with np.errstate(all="raise"):
        assert product(np.array([[np.inf, 1]]), np.array([0.0, 1])).shape == (1,)
