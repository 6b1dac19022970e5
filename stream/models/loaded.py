"""Both networks, ready to compute: answers to batches of requests, on the thread that calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnstream.kernels.backend import limit_cache

from ..audio.fbank import MEL_BINS, ROW_STEP_SAMPLES
from ..windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES
from .activity import AHEAD_FRAMES
from .carried_state import CarriedState
from .embedding import CamPlusPlus
from .requests import F32, Request
from .segmentation import PyanNet
from .speech_prior import voice_like


class LoadedModels:
    """The networks of some weights. MLX arrays belong to one thread: on a GPU it must be the one that made this."""

    def __init__(self, segmentation: dict[str, NDArray[Any]], embedding: dict[str, NDArray[Any]]):
        """Errors: those of the networks, for weights that are not theirs."""
        limit_cache()
        self._pyannet = PyanNet(segmentation)
        self._campplus = CamPlusPlus(embedding)
        # Compile the kernels before the first audio arrives.
        self._segment((np.zeros(WINDOW_SAMPLES, np.float32),), (0,), (self._pyannet.initial_window_state(),))
        self._embed([np.zeros((SAMPLE_RATE_HZ // ROW_STEP_SAMPLES, MEL_BINS), np.float32)])

    def answer(self, batch: list[Request]) -> None:
        """Compute a batch of one kind and give every request its answer, or the error that it causes."""
        match batch[0].kind:
            case "segment":
                self._answer_together(batch, self._segment)
            case "listen":
                self._answer_together(batch, self._listen)
            case "embed":
                _settle(batch[0], self._embed)
            case "block":
                _settle(batch[0], self._segment_block)
            case "state":
                _settle(batch[0], self._pyannet.initial_window_state)
            case "activity_state":
                _settle(batch[0], lambda: self._expecting_a_voice)

    def _answer_together(self, batch: list[Request], compute: Callable[..., list[Any]]) -> None:
        """Answer all requests in one call; if that fails, each one separately, so that only the faulty one fails."""
        try:
            answers = compute(*zip(*(request.arguments for request in batch), strict=True))
        except Exception:
            for request in batch:
                _settle(request, lambda *arguments: compute(*((one,) for one in arguments))[0])
            return
        for request, answer in zip(batch, answers, strict=True):
            request.answer.set_result(answer)

    def _segment(self, windows: Sequence[F32], starts: Sequence[int], states: Sequence[Any]) -> list[tuple[F32, Any]]:
        logp, after = self._pyannet.window_step(np.stack(windows), starts, states)
        return list(zip(np.array(logp), after, strict=True))

    def _segment_block(self, windows: F32, starts: Sequence[int]) -> F32:
        """Windows of one stream in order; all of them move one state on."""
        logp, _ = self._pyannet.window_step(windows, starts, [self._pyannet.initial_window_state()] * len(windows))
        return np.array(logp)

    def _listen(self, chunks: Sequence[F32], states: Sequence[CarriedState]) -> list[tuple[F32, CarriedState]]:
        logp, after = self._pyannet.step(np.stack(chunks), states, AHEAD_FRAMES)
        faded = [state.faded(len(chunk)) for state, chunk in zip(after, chunks, strict=True)]
        return list(zip(np.array(logp), faded, strict=True))

    def _embed(self, crops: list[F32]) -> F32:
        return self._campplus.embed(crops)

    @cached_property
    def _expecting_a_voice(self) -> CarriedState:
        return self._pyannet.expecting(voice_like())


def _settle(request: Request, compute: Callable[..., Any]) -> None:
    try:
        request.answer.set_result(compute(*request.arguments))
    except Exception as error:
        request.answer.set_exception(error)
