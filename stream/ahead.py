"""A recording's windows, computed in blocks ahead of the stitcher, so that the models never wait for anything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .audio.fbank import FbankStream
from .labels import Bools
from .models.segmentation import activity
from .stitching.record import RecordStitcher
from .stitching.stitcher import CROP_REACH_FRAMES
from .windows import FRAME_SAMPLES, WINDOW_FRAMES

F32 = NDArray[np.float32]
Seen = Callable[[int, Bools], None]  # a window's first frame and its local activity (T, S)
BLOCK_WINDOWS = 4  # more make a window no cheaper
AHEAD_BLOCKS = 4  # segmented, or being so, before the oldest is stitched: two for each of two cores
EMBEDDED_BLOCKS = 2  # stitched, their embeddings on the way


class BlockModels(Protocol):
    """What is needed of the models; NumPy in, NumPy out."""

    def segment_block(self, windows: F32, start_samples: list[int]) -> Future[F32]:
        """Log-probabilities (B, 589, 7) of a stream's windows (B, 160000), which begin at these samples."""

    def embed_block(self, crops: list[F32]) -> Future[F32]:
        """Unit-norm speaker embeddings (len(crops), 192) of fbank crops, each (rows, 80)."""


@dataclass(slots=True)
class Block:
    """Windows that follow each other."""

    windows: list[F32] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


class WindowsAhead:
    """Give it each window of the record when it is complete (`add`), and `finish` when there are no more.

    The stitcher is asked about the same windows, and gets the same embeddings, whatever is computed ahead. Where `seen`
    has to know each window's activity before the next one is due, nothing is.
    """

    def __init__(self, models: BlockModels, stitcher: RecordStitcher, fbank: FbankStream, seen: Seen | None = None):
        self._models, self._stitcher, self._fbank, self._seen = models, stitcher, fbank, seen
        self._block = Block()
        self._segmented: deque[tuple[list[int], Future[F32]]] = deque()
        self._embedded: deque[tuple[list[int], Future[F32]]] = deque()  # crops of each window, and their embeddings

    def add(self, window: F32, start_sample: int) -> None:
        """Take the window (160000,) that begins at `start_sample`; the features that crops can ask for are kept."""
        self._block.windows.append(window)
        self._block.starts.append(start_sample)
        if len(self._block.starts) == BLOCK_WINDOWS or self._seen:
            self._segment()
            if len(self._segmented) > AHEAD_BLOCKS or self._seen:
                self._stitch()
        self._fbank.drop_before(self._oldest_sample // FRAME_SAMPLES + WINDOW_FRAMES - CROP_REACH_FRAMES)

    def finish(self) -> None:
        """Compute and stitch what is left."""
        if self._block.starts:
            self._segment()
        while self._segmented:
            self._stitch()
        while self._embedded:
            self._remember()

    @property
    def _oldest_sample(self) -> int:
        """Where the oldest window that is not stitched begins."""
        waiting = [*(starts for starts, _ in self._segmented), self._block.starts]
        return next((starts[0] for starts in waiting if starts), 0)

    def _segment(self) -> None:
        block, self._block = self._block, Block()
        self._segmented.append((block.starts, self._models.segment_block(np.stack(block.windows), block.starts)))

    def _stitch(self) -> None:
        starts, answer = self._segmented.popleft()
        crops: list[F32] = []
        counts = []
        for start, logp in zip(starts, answer.result(), strict=True):
            active = activity(logp)
            if self._seen:
                self._seen(start // FRAME_SAMPLES, active)
            found = self._stitcher.observe(start // FRAME_SAMPLES, active)
            crops += map(self._fbank.rows_of_frames, found)
            counts.append(len(found))
        self._embedded.append((counts, self._models.embed_block(crops)))
        if len(self._embedded) > EMBEDDED_BLOCKS:
            self._remember()

    def _remember(self) -> None:
        counts, answer = self._embedded.popleft()
        for vectors in np.split(answer.result(), np.cumsum(counts)[:-1]):
            self._stitcher.remember(vectors)
