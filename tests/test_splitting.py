"""One voice stays whole, two come apart, and what the windows say decides where the voices alone do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stitching import splitting
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.splitting import Splitter, alike, halves, held_together, two_voices

seeds = st.integers(0, 2**32 - 1)
CONFIG = StitcherConfig()


def voices(seed: int, count: int, cosine: float, spread: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines and seconds of segments that are one of two voices' in turns of four, and whose they are.

    `spread` is how far a voice goes to and fro, from one segment to the next, in a direction of its own.
    """
    rng = np.random.default_rng(seed)
    size = 2048  # so many dimensions that noise is at right angles to everything
    basis = np.linalg.qr(rng.normal(size=(size, 3)))[0].T
    whose = np.arange(count) // 4 % 2
    voice = np.stack([basis[0], cosine * basis[0] + np.sqrt(1 - cosine**2) * basis[1]])[whose]
    seconds = rng.uniform(1.5, 3, count).astype(np.float32)
    noise = rng.normal(size=(count, size)) / np.sqrt(size) * np.sqrt(CONFIG.join_noise_s / seconds)[:, None]
    vectors = voice + noise + spread * np.where(np.arange(count) % 2, 1, -1)[:, None] * basis[2]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return vectors @ vectors.T, seconds, whose


def neighbors(whose: np.ndarray, windows: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """PairVotes of windows of six segments, which give each of `whose` to a local speaker of its own."""
    count = len(whose)
    near = np.abs(np.arange(count)[:, None] - np.arange(count)) < 6
    same = whose[:, None] == whose
    together = windows * (near & same & ~np.eye(count, dtype=bool))
    return together.astype(np.float32), (windows * (near & ~same)).astype(np.float32)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seeds, st.floats(-0.2, 0.82))
def test_two_voices_that_windows_tell_apart_are_split(seed: int, cosine: float):
    cosines, seconds, whose = voices(seed, 60, cosine)
    split = Splitter(CONFIG).split(cosines, seconds, np.zeros(60, np.int64), *neighbors(whose))
    assert split.tolist() == whose.tolist()


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seeds, st.floats(0.0, 0.35))
def test_one_voice_stays_whole(seed: int, spread: float):
    cosines, seconds, _ = voices(seed, 60, cosine=1.0, spread=spread)
    one = np.zeros(60, np.int64)
    assert Splitter(CONFIG).split(cosines, seconds, one, *neighbors(one)).tolist() == one.tolist()


def test_windows_decide_about_halves_that_are_much_alike():
    cosines, seconds, whose = voices(0, 60, cosine=0.8)
    one = np.zeros(60, np.int64)
    nothing = np.zeros((60, 60), np.float32)
    assert Splitter(CONFIG).split(cosines, seconds, one, *neighbors(whose)).max() == 1
    assert Splitter(CONFIG).split(cosines, seconds, one, *neighbors(one)).max() == 0
    assert Splitter(CONFIG).split(cosines, seconds, one, nothing, nothing).max() == 0


def test_halves_are_split_again():
    cosines, seconds, _ = voices(0, 48, cosine=1.0)
    four = np.repeat(np.arange(4), 12)
    cosines = np.where(four[:, None] == four, cosines, 0.3 * cosines)
    split = Splitter(CONFIG).split(cosines, seconds, np.zeros(48, np.int64), *neighbors(four))
    assert split.tolist() == four.tolist()


def test_clusters_are_looked_at_one_by_one():
    cosines, seconds, whose = voices(0, 60, cosine=0.3)
    early = (np.arange(60) >= 28).astype(np.int64)
    split = Splitter(CONFIG).split(cosines, seconds, early, *neighbors(whose))
    assert len({(a, b, c) for a, b, c in zip(split, early, whose, strict=True)}) == split.max() + 1 == 4
    assert [int(np.flatnonzero(split == n)[0]) for n in range(4)] == sorted(
        int(np.flatnonzero(split == n)[0]) for n in range(4)
    )


@pytest.mark.parametrize(("least_s", "clusters"), [(10.0, 2), (1000.0, 1)])
def test_a_half_of_too_little_speech_is_no_voice(least_s: float, clusters: int):
    cosines, seconds, whose = voices(0, 40, cosine=0.3)
    config = replace(CONFIG, split_least_s=least_s)
    split = Splitter(config).split(cosines, seconds, np.zeros(40, np.int64), *neighbors(whose))
    assert split.max() + 1 == clusters


def test_only_clusters_that_changed_are_looked_at_again(monkeypatch: pytest.MonkeyPatch):
    cosines, seconds, whose = voices(0, 60, cosine=0.3)
    pair_votes, splitter = neighbors(whose), Splitter(CONFIG)
    looked: list[int] = []

    def watched(*numbers):
        looked.append(len(numbers[1]))
        return two_voices(*numbers)

    monkeypatch.setattr(splitting, "two_voices", watched)
    first = splitter.split(cosines, seconds, whose, *pair_votes)
    assert sorted(looked) == sorted(np.bincount(whose).tolist())
    assert splitter.split(cosines, seconds, whose, *pair_votes).tolist() == first.tolist()
    assert len(looked) == 2
    longer = seconds + np.float32(1) * (np.arange(60) == 0)
    expected = Splitter(CONFIG).split(cosines, longer, whose, *pair_votes)
    looked.clear()
    assert splitter.split(cosines, longer, whose, *pair_votes).tolist() == expected.tolist()
    assert looked == [int((whose == whose[0]).sum())]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_segments(count: int):
    cosines, pair_votes = np.ones((count, count), np.float32), np.zeros((count, count), np.float32)
    seconds = np.full(count, 60, np.float32)
    assert (
        Splitter(CONFIG).split(cosines, seconds, np.zeros(count, np.int64), pair_votes, pair_votes).tolist()
        == [0] * count
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seeds)
def test_halves_are_those_of_the_voices_and_their_cosine_is_freed_of_noise(seed: int):
    cosines, seconds, whose = voices(seed, 80, cosine=0.5)
    half = next(halves(cosines, seconds))
    assert (half == (whose == whose[half][0])).all()
    assert alike(cosines, seconds, half, CONFIG.join_noise_s) == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_halves_by_lot_are_held_together_as_expected_and_voices_are_not():
    one, whose = np.zeros(4000, np.int64), np.arange(4000) // 4 % 2
    lot = np.random.default_rng(0).random(4000) < 0.4
    assert held_together(*neighbors(one), lot, 0) == pytest.approx(1, abs=0.03)
    assert held_together(*neighbors(whose), whose == 1, 0) == 0
    alternating = np.arange(4000) % 2 == 1
    assert held_together(*neighbors(one), alternating, 0) > 1
    assert held_together(*(np.zeros((2, 4, 4), np.float32)), alternating[:4], 10) == 1


def test_what_windows_give_to_two_counts_against_the_halves():
    together, apart = neighbors(np.zeros(8, np.int64), windows=1)
    half = np.arange(8) % 2 == 1
    counted = held_together(together, apart + 2 * together, half, 0)
    assert 1 / counted == pytest.approx(1 / held_together(together, apart, half, 0) + 2)


def test_doubt_weighs_as_much_as_its_windows():
    whose = np.arange(12) // 6
    pair_votes = neighbors(whose, windows=1)
    known, doubted = (held_together(*pair_votes, whose == 1, windows) for windows in (0.0, 1e6))
    assert known == 0
    assert doubted == pytest.approx(1, abs=1e-3)
