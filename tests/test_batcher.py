"""Many sessions, few model threads: results as of each alone, live ones first, none starved, errors to their cause."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from turnstream.diarizer import Diarizer
from turnstream.events import to_json
from turnstream.kernels.backend import cpu_threads, team_threads
from turnstream.models.batcher import MANY_CLIENTS, MAX_THREADS, Batcher
from turnstream.models.requests import MAX_BULK_BATCH, MAX_LIVE_BATCH, PATIENCE_S, Request, choose
from turnstream.models.segmentation import on_cpu_kernels
from turnstream.weights.store import demo_recording
from turnstream.windows import HOP_SAMPLES, WINDOW_SAMPLES

pytestmark = pytest.mark.slow

WAITING = st.lists(
    st.builds(
        Request,
        kind=st.sampled_from(["state", "embed", "segment"]),
        arguments=st.just(()),
        live=st.booleans(),
        asked_s=st.floats(0, 10),
    ),
    max_size=30,
).map(lambda requests: sorted(requests, key=lambda request: request.asked_s))


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """The demo recording, 30 s: (N,) float32 at 16 kHz."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="float32")
    return samples


@given(waiting=WAITING, now_s=st.floats(10, 12))
def test_what_is_computed_next(waiting: list[Request], now_s: float) -> None:
    batch = choose(waiting, now_s)
    assert bool(batch) == bool(waiting)
    assert len({request.kind for request in batch}) <= 1
    assert len(batch) <= MAX_LIVE_BATCH
    late = [r for r in waiting if not r.live and now_s - r.asked_s > PATIENCE_S]
    if any(request.live for request in waiting):
        assert [request for request in batch if not request.live] in ([], late[:1])
    else:
        assert len(batch) <= MAX_BULK_BATCH
        assert not late or batch[0].kind != late[0].kind or batch[0] is late[0]


@given(waiting=WAITING.filter(lambda waiting: any(not request.live for request in waiting)))
def test_nobody_starves_while_live_requests_keep_coming(waiting: list[Request]) -> None:
    now_s, left = 20.0, [request for request in waiting if not request.live]
    for _ in range(2 * len(left) + 1):
        batch = choose([*left, Request("segment", (), True, now_s)], now_s)
        left = [request for request in left if request not in batch]
        now_s += 0.1
    assert not left


def test_a_batch_gives_what_each_window_gives_alone_to_the_bit(diarizer: Diarizer, speech: np.ndarray) -> None:
    """Ten streams ask at once, hop after hop, against the same windows asked one after the other."""
    batcher, streams, hops = diarizer.models, 10, 4

    def windows(stream: int) -> Iterator[tuple[int, np.ndarray]]:
        for hop in range(hops):
            start = hop * HOP_SAMPLES
            yield start, speech[start + 9_000 * stream :][:WINDOW_SAMPLES]

    def alone(stream: int) -> list[np.ndarray]:
        state, told = batcher.initial_state(), []
        for start, window in windows(stream):
            logp, state = batcher.segment(window, start, state)
            told.append(logp)
        return told

    expected = [alone(stream) for stream in range(streams)]
    together = threading.Barrier(streams)

    def among_others(stream: int) -> list[np.ndarray]:
        together.wait()
        return alone(stream)

    before = batcher.counts.window_batches
    with ThreadPoolExecutor(streams) as pool:
        found = list(pool.map(among_others, range(streams)))
    assert batcher.counts.window_batches - before < streams * hops  # some were batched
    for stream in range(streams):
        for one, other in zip(found[stream], expected[stream], strict=True):
            np.testing.assert_array_equal(one, other)


def test_sessions_among_others_give_the_events_they_give_alone(diarizer: Diarizer, speech: np.ndarray) -> None:
    pieces = [speech[start : start + 110_000] for start in (60_000, 100_000, 200_000, 300_000, 330_000)]

    def run(piece: np.ndarray, live: bool) -> list[str]:
        client = diarizer.models.client()
        client.live = live
        session = diarizer.session(models=client)
        events = [
            event for start in range(0, len(piece), 1_600) for event in session.feed(piece[start : start + 1_600])
        ]
        return [to_json(event) for event in [*events, *session.flush(), session.close()]]

    alone = [run(piece, True) for piece in pieces]
    assert sum('"turn"' in line for lines in alone for line in lines) > 20
    with ThreadPoolExecutor(len(pieces)) as pool:
        assert list(pool.map(run, pieces, [True, False, True, False, False])) == alone


@pytest.mark.skipif(cpu_threads() < 2 or not on_cpu_kernels(), reason="one model thread: one core, or a GPU")
def test_a_window_is_answered_while_an_embedding_is_computed(
    diarizer: Diarizer, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher, begun, may_end = diarizer.models, threading.Event(), threading.Event()

    def slow(crops: list[np.ndarray]) -> np.ndarray:
        begun.set()
        assert may_end.wait(60)
        return np.zeros((len(crops), 192), np.float32)

    monkeypatch.setattr(batcher._models, "_embed", slow)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(batcher.embed, [np.zeros((40, 80), np.float32)])
        assert begun.wait(60)
        logp, _ = batcher.segment(speech[:WINDOW_SAMPLES], 0, batcher.initial_state())
        assert not asked.done()
        may_end.set()
        assert asked.result().shape == (1, 192)
    assert logp.shape == (589, 7)


@pytest.mark.skipif(not on_cpu_kernels(), reason="the cores are shared on the CPU only")
def test_many_sessions_leave_each_computation_its_core(diarizer: Diarizer, speech: np.ndarray) -> None:
    batcher = diarizer.models
    most = min(MAX_THREADS, cpu_threads())

    def cores_of_one() -> int:
        batcher.segment(speech[:WINDOW_SAMPLES], 0, batcher.initial_state())
        return team_threads()

    assert cores_of_one() == cpu_threads()
    clients = [batcher.client() for _ in range(MANY_CLIENTS * most)]
    assert cores_of_one() == cpu_threads()  # they are open and ask nothing
    for client in clients:
        client.initial_state()
    assert cores_of_one() == cpu_threads() // most
    del clients, client
    gc.collect()
    assert cores_of_one() == cpu_threads()


def test_a_wrong_window_is_the_error_of_its_sender_only(diarizer: Diarizer, speech: np.ndarray) -> None:
    batcher = diarizer.models
    good = speech[:WINDOW_SAMPLES]
    expected, _ = batcher.segment(good, 0, batcher.initial_state())
    with ThreadPoolExecutor(6) as pool:
        states = [batcher.initial_state() for _ in range(6)]
        windows = [good, good[:5_000], good, good[:5_000], good, good]
        asked = [pool.submit(batcher.segment, window, 0, state) for window, state in zip(windows, states, strict=True)]
        for window, future in zip(windows, asked, strict=True):
            if len(window) == WINDOW_SAMPLES:
                np.testing.assert_array_equal(future.result()[0], expected)
            else:
                with pytest.raises(ValueError, match="expected a window of 160000 samples, got 5000"):
                    future.result()


def test_no_crops_need_no_model(diarizer: Diarizer) -> None:
    assert diarizer.models.embed([]).shape == (0, 192)


def test_what_was_asked_before_the_end_is_answered_and_nothing_after(speech: np.ndarray) -> None:
    with Diarizer() as engine:
        batcher = engine.models
        state = batcher.initial_state()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(batcher.segment, speech[:WINDOW_SAMPLES], 0, state)
            while not batcher.counts.windows:
                pass
            batcher.close()
            assert asked.result()[0].shape == (589, 7)
    with pytest.raises(RuntimeError, match="after it was closed"):
        batcher.segment(speech[:WINDOW_SAMPLES], 0, state)


def test_weights_that_do_not_fit_are_said_at_once() -> None:
    with pytest.raises(KeyError):
        Batcher({}, {})
