"""From the local speakers of overlapping windows to speakers of the stream. Knows no model and no audio.

Two stitchers follow a stream. The live one (`live.py`) takes every window and says who is speaking now; it keeps what
the newest windows need. The record (`record.py`) takes a window every two seconds and decides everything once, at the
end; it is all that is kept for hours, and all that a recording needs.

Both take a window in two steps, so that the embeddings of many streams can share one call: `observe` takes its
segmentation and returns the crops to embed, the next call takes their embeddings. The same windows and embeddings
always give the same labels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..labels import Bools
from ..windows import WINDOW_FRAMES
from .aggregation import Aggregator, edge_trust
from .assignment import Window, decide
from .config import StitcherConfig, frames
from .links import Links
from .segments import Segment, SegmentStore, find_runs

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
CROP_REACH_FRAMES = frames(20.0)  # crops reach back at most this far from the window's end; audio is kept that long


@dataclass(frozen=True, slots=True)
class Asked:
    """Segments of the window at `first_frame` whose embeddings are awaited."""

    first_frame: int
    segments: list[Segment]


class Stitcher:
    """What both stitchers share: windows are cut into runs, runs followed as segments, segments embedded."""

    def __init__(self, config: StitcherConfig | None = None):
        self.config = config or StitcherConfig()
        self.store = SegmentStore(self.config)
        self.links = Links()
        self._trust = edge_trust(WINDOW_FRAMES, self.config)
        self._asked: deque[Asked] = deque()
        self._newest_frame: int | None = None

    def observe(self, first_frame: int, active: Bools) -> list[Ints]:
        """Take a window's local activities; returns the crops to embed.

        Shapes:
            first_frame: absolute, may be negative; frames before 0 are ignored
            active: (589, S) bool, S local speakers
            returns: crops, each an increasing int64 array of absolute frames >= 0, clean speech of one local speaker,
                about `run_piece_s` long at most, and none older than 20 s before the window's end
        Raises ValueError for another number of frames and for a window that is not later than the last one.
        """
        if len(active) != WINDOW_FRAMES:
            raise ValueError(f"expected a window of {WINDOW_FRAMES} frames, got {len(active)}")
        if self._newest_frame is not None and first_frame <= self._newest_frame:
            raise ValueError(f"expected a window after frame {self._newest_frame}, got {first_frame}")
        self._newest_frame = first_frame
        active = active & (np.arange(first_frame, first_frame + len(active)) >= 0)[:, None]
        clean = active & (active.sum(axis=1) == 1)[:, None]
        runs = self.store.follow(find_runs(active, first_frame, self.config), clean, first_frame)
        window = Window(first_frame, np.packbits(active), runs)
        self._keep(window)
        return self._ask(
            first_frame, [run.segment for found in runs for run in found if self._due(run.segment, window)]
        )

    def _keep(self, window: Window) -> None:
        """Keep the newest window as long as it is needed."""
        raise NotImplementedError

    def _due(self, segment: Segment, window: Window) -> bool:
        """Whether the segment is to be embedded now."""
        raise NotImplementedError

    def _ask(self, first_frame: int, due: list[Segment]) -> list[Ints]:
        """The crops of these segments of the window at `first_frame`; `_answered` takes their embeddings."""
        self._asked.append(Asked(first_frame, due))
        end_frame = first_frame + WINDOW_FRAMES
        crops = [self.store.ask(segment, end_frame) for segment in due]
        return [crop[crop >= end_frame - CROP_REACH_FRAMES] for crop in crops]

    def _answered(self, vectors: Floats) -> Asked:
        """The segments that have waited longest, now with their embeddings, (crops, D) float32 of unit norm.

        Raises ValueError if there are more or fewer of them than crops.
        """
        waiting = self._asked[0].segments if self._asked else []
        if len(vectors) != len(waiting):
            raise ValueError(f"expected {len(waiting)} embeddings, got {len(vectors)}")
        asked = self._asked.popleft()
        for segment, vector in zip(asked.segments, vectors, strict=True):
            segment.vector = vector
        return asked

    def _add(self, votes: Aggregator, windows: Sequence[Window], ids: list[int], vectors: Floats) -> None:
        """Add the windows' votes, decided with the speakers `ids` with centroids `vectors` (K, D)."""
        for window, said in decide(windows, ids, vectors, self.config):
            votes.add(window.first_frame, self._trust, said)
