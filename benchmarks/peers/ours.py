"""turnstream as the peers are timed: window, hop, stream and whole recordings."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.passes import RATE_HZ, Timed, read_audio, read_hops, timed_hops, timed_windows
from turnstream.clients.evaluation.recordings import Turns, turns_of
from turnstream.diarizer import Diarizer
from turnstream.kernels.backend import cpu_threads, describe, mx
from turnstream.models.embedding import CamPlusPlus
from turnstream.models.segmentation import PyanNet
from turnstream.session import Session
from turnstream.weights.store import embedding_weights, segmentation_weights


class Turnstream:
    """Models are loaded by the task that needs them, so that the peak of memory is that task's."""

    def __init__(self, folder: Path, cores: int):
        self.folder = folder
        self.settings = {"threads": cpu_threads(), "device": describe().device}

    @cached_property
    def _networks(self) -> tuple[PyanNet, CamPlusPlus]:
        return PyanNet(segmentation_weights()), CamPlusPlus(embedding_weights())

    @cached_property
    def _diarizer(self) -> Diarizer:
        return Diarizer()

    def window(self) -> Timed:
        """Whole windows, nothing kept from one to the next."""
        network, _ = self._networks

        def segment(window: np.ndarray) -> np.ndarray:
            return np.array(network(mx.array(window)))

        return timed_windows(segment, read_hops(self.folder))

    def hops(self) -> Timed:
        """As a stream computes them: the filterbank of the new samples only."""
        network, embedding = self._networks
        states = [network.initial_window_state()]

        def segment(window: np.ndarray, start: int) -> np.ndarray:
            return np.array(network.window_step(window, [start], states)[0])

        return timed_hops(segment, embedding.embed_rows, read_hops(self.folder))

    def stream(self, audio: str, step_s: float, latency_s: float) -> Timed:
        """One live session fed `step_s` at a time; its turns as first committed."""
        session, samples, seconds = self._diarizer.session(latency_s=latency_s), read_audio(audio), []
        for step in _steps(samples, step_s):
            began = time.perf_counter()
            session.feed(step)
            seconds.append(time.perf_counter() - began)
        session.close()
        return Timed(seconds, _plain(turns_of(session.live_rttm("x"))))

    def file(self, audio: str) -> Timed:
        """A whole recording, nothing told before its end, as `turnstream file` does it: its final turns."""
        return self._whole(audio, self._diarizer.session(live=False))

    def live_file(self, audio: str) -> Timed:
        """A whole recording as a live stream, as fast as it goes: its final turns."""
        return self._whole(audio, self._diarizer.session())

    def _whole(self, audio: str, session: Session) -> Timed:
        samples, began = read_audio(audio), time.perf_counter()
        for block in _steps(samples, 1.0):
            session.feed(block)
        final = session.close()
        return Timed([time.perf_counter() - began], _plain(turns_of(final.to_rttm("x"))))

    def command(self, recording: str) -> Timed:
        """`turnstream file RECORDING` in this process, loading included."""
        from turnstream.clients.cli import main

        began = time.perf_counter()
        if code := main(["file", recording]):
            raise RuntimeError(f"expected exit code 0 of turnstream file, got {code}")
        return Timed([time.perf_counter() - began])


def _steps(samples: np.ndarray, step_s: float) -> list[np.ndarray]:
    size = round(step_s * RATE_HZ)
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def _plain(turns: Turns) -> list[list[Any]]:
    """[start s, end s, speaker] of every turn."""
    return [[turn.start_s, turn.end_s, turn.speaker] for turn in turns]
