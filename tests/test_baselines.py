"""The algorithms that the engine is compared with, on speakers that are easy to tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.engine import run
from benchmarks.accuracy.locals import Locals, locals_of
from benchmarks.accuracy.oracle import oracle
from benchmarks.ahc_baseline import AhcConfig, ahc
from benchmarks.diart_baseline import Centroids, DiartConfig, diart
from tests.tone_speakers import ToneModels, conversation, write_recording
from turnstream.clients.evaluation.recordings import Recording
from turnstream.clients.evaluation.scoring import score
from turnstream.stitching.config import StitcherConfig

LATENCIES_S = [0.5, 5.0]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """About a minute of three speakers."""
    folder = tmp_path_factory.mktemp("tones")
    return Recording(write_recording(folder / "a.wav", conversation(3, 18)), folder, ToneModels())


@pytest.fixture(scope="module")
def seen(recording: Recording) -> Locals:
    """Its windows."""
    return locals_of(recording)


def unit_vectors(seed: int, count: int) -> np.ndarray:
    """(count, 192) nearly orthogonal."""
    vectors = np.random.default_rng(seed).standard_normal((count, 192)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_every_system_gets_easy_speakers_right(recording: Recording, seen: Locals) -> None:
    rows = diart(seen, recording.end_frame, LATENCIES_S, DiartConfig(tau_active=0.5, rho_update=0.02, delta_new=0.7))
    for method, stop in (("average", 0.6), ("centroid", 0.85)):
        rows[f"ahc {method}"] = ahc(seen, recording.end_frame, AhcConfig(method, stop))
    rows |= oracle(recording, LATENCIES_S, StitcherConfig())
    rows |= run(recording, LATENCIES_S, StitcherConfig()).turns
    ders = {row: score(recording, turns, [0.25])[0].der for row, turns in rows.items()}
    assert {row: der for row, der in ders.items() if "0.5 s" not in row and row != "first" and der > 0.03} == {}
    assert max(ders.values()) < 0.15


def test_thresholds_matter(recording: Recording, seen: Locals) -> None:
    def found(**changes: float) -> int:
        config = DiartConfig(**{"tau_active": 0.5, "rho_update": 0.02, "delta_new": 0.7, **changes})
        return len({turn.speaker for turn in diart(seen, recording.end_frame, [1.0], config)["diart final"]})

    assert found() == 3
    assert found(delta_new=0.02) > 3
    assert found(rho_update=0.9) == 0
    assert found(tau_active=0.99) == 0
    assert len({turn.speaker for turn in ahc(seen, recording.end_frame, AhcConfig(stop=0.01, keep_share=0.0))}) > 3


def test_no_two_local_speakers_share_one_and_only_long_ones_move_centroids() -> None:
    a, b, c = unit_vectors(1, 3)
    centroids = Centroids(DiartConfig(delta_new=0.5))
    long = np.array([True, True])
    assert centroids.take(np.stack([a, b]), long) == [0, 1]
    assert centroids.take(np.stack([b, a]), long) == [1, 0]
    assert sorted(centroids.take(np.stack([a, a]), long)) == [0, 2]  # cannot-link: the second one is somebody new
    before = [vector.copy() for vector in centroids.sums]
    assert centroids.take(c[None], np.array([False])) != [None]  # too short to be somebody new
    for old, now in zip(before, centroids.sums, strict=True):
        np.testing.assert_array_equal(old, now)
    assert centroids.take(c[None], np.array([True])) == [3]


def test_centroids_are_sums() -> None:
    a, b = unit_vectors(2, 2)
    near = (a + 0.3 * b) / np.linalg.norm(a + 0.3 * b)
    centroids = Centroids(DiartConfig(delta_new=0.5))
    for vector in (a, near, near):
        assert centroids.take(vector[None], np.array([True])) == [0]
    np.testing.assert_allclose(centroids.sums[0], a + 2 * near, rtol=1e-6)


def test_the_order_of_local_speakers_changes_nothing(recording: Recording, seen: Locals) -> None:
    turned = Locals(
        seen.first_frames, seen.soft[..., ::-1], seen.active[..., ::-1], seen.clean_s[:, ::-1], seen.vectors[:, ::-1]
    )
    config = AhcConfig(stop=0.6)
    one, other = ahc(seen, recording.end_frame, config), ahc(turned, recording.end_frame, config)
    assert score(recording, one) == score(recording, other)


def test_what_was_decided_live_is_not_touched_by_what_comes_later(tmp_path: Path, recording: Recording) -> None:
    turns = conversation(3, 18)
    cut = Recording(write_recording(tmp_path / "b.wav", turns[:9]), tmp_path, ToneModels())
    end_s = turns[8][1] - 6
    config = DiartConfig(tau_active=0.5, rho_update=0.02, delta_new=0.7)

    def live(whole: Recording) -> list[tuple[float, float]]:
        found = diart(locals_of(whole), whole.end_frame, [5.0], config)["diart 5 s"]
        return sorted((turn.start_s, turn.end_s) for turn in found if turn.end_s < end_s)

    assert live(cut) == live(recording)
    assert live(cut)


def test_models_are_asked_once(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "c.wav", conversation(5, 4))
    models, again = ToneModels(), ToneModels()
    first = locals_of(Recording(path, tmp_path, models))
    second = locals_of(Recording(path, tmp_path, again))
    run(Recording(path, tmp_path, models), [1.0], StitcherConfig())
    run(Recording(path, tmp_path, again), [1.0], StitcherConfig())
    assert models.calls > 0
    assert again.calls == 0
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_embeddings_of_two_processes_are_both_kept(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "d.wav", conversation(5, 4))
    one, other = (Recording(path, tmp_path, ToneModels()) for _ in range(2))
    one.embed(np.arange(40, 90))
    other.embed(np.arange(60, 120))
    one.keep()
    other.keep()
    models = ToneModels()
    third = Recording(path, tmp_path, models)
    third.embed(np.arange(40, 90))
    third.embed(np.arange(60, 120))
    assert models.calls == 0
