"""What would give a wrong result or none at all is refused: two threads, going on after a break, a fork, the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tone_speakers import ToneModels

from turnstream.audio.input import AudioInput
from turnstream.errors import AudioError, TurnstreamError
from turnstream.models.batcher import Batcher
from turnstream.session import Session
from turnstream.stitching.config import StitcherConfig
from turnstream.timeline.timeline import Timeline

SECOND = np.zeros(16_000, np.float32)


class Models(ToneModels):
    """Calls `then` before each window."""

    then: Callable[[], object] = staticmethod(lambda: None)

    def initial_state(self) -> None: ...

    def segment(self, window: np.ndarray, start: int, state: object) -> tuple[np.ndarray, None]:
        self.then()
        return super().segment(window, start, state)


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def session(models: Models) -> Session:
    return Session(models, AudioInput(), StitcherConfig(), Timeline(1.0))


def test_a_second_thread_in_a_session_is_refused_and_the_first_one_goes_on(session: Session, models: Models):
    inside, leave = threading.Event(), threading.Event()
    models.then = lambda: (inside.set(), leave.wait(10))
    with ThreadPoolExecutor(1) as first:
        feeding = first.submit(session.feed, SECOND)
        assert inside.wait(10)
        for call in (lambda: session.feed(SECOND), lambda: session.gap(5), session.flush, session.close):
            with pytest.raises(TurnstreamError, match="expected one thread at a time in a session, got a second one"):
                call()
        leave.set()
        feeding.result(10)
    session.feed(SECOND)
    assert session.position_s == 2.0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_going_on_after_an_interruption_is_refused(session: Session, models: Models, error: type[BaseException]):
    def interrupt() -> None:
        raise error

    models.then = interrupt
    with pytest.raises(error):
        session.feed(SECOND)
    del models.then
    for call in (lambda: session.feed(SECOND), lambda: session.gap(5), session.flush, session.close, session.close):
        with pytest.raises(TurnstreamError, match="a session was interrupted in the middle of audio: open a new one"):
            call()


def test_audio_that_is_refused_breaks_nothing(session: Session):
    with pytest.raises(AudioError):
        session.feed(np.zeros((5, 2), np.float32))
    session.feed(SECOND)
    assert session.close() == session.close()


@pytest.fixture
def batcher(monkeypatch: pytest.MonkeyPatch) -> Batcher:
    """Without models."""
    monkeypatch.setattr("turnstream.models.batcher.LoadedModels", lambda *weights: None)
    return Batcher({}, {})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_diarizer_after_a_fork_is_refused_and_not_waited_for(batcher: Batcher):
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a child that waits
        said = 1
        try:
            batcher.ask("state")
        except TurnstreamError as error:
            said = 0 if "make one in the child process" in str(error) else 2
        batcher.close()
        os._exit(said)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    batcher.close()


def test_kernels_compute_alone_where_the_pool_has_ended(monkeypatch: pytest.MonkeyPatch):
    team = pytest.importorskip("turnstream.kernels.cpu.team")
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    monkeypatch.setattr(team, "_pool", ended)
    monkeypatch.setattr(team, "team_threads", lambda: 4)
    calls: list[int] = []
    team.run(lambda value, counters: calls.append(value), 1, 7)
    assert calls == [7]


def test_kernels_compute_after_the_last_line_of_a_script():
    pytest.importorskip("turnstream.kernels.cpu.team")
    script = """
import concurrent.futures.thread as pools, threading, time
from turnstream.kernels.cpu import team
team.team_threads = lambda: 4
def work():
    while not pools._shutdown:
        time.sleep(0.001)
    team.run(lambda counters: print("computed"), 1)
threading.Thread(target=work).start()
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("computed\n", "")
