"""What is kept of a stream for hours, and the final result: every window decided once, when all of it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..labels import Labels, joined
from .aggregation import Aggregator
from .assignment import Window
from .clustering import CosineTable
from .config import StitcherConfig
from .finding import NOBODY, FoundSpeakers, find_speakers
from .history import WindowHistory
from .profile import Profile, profiles
from .segments import Segment
from .splitting import Splitter
from .stitcher import Floats, Ints, Stitcher

FINAL_BLOCK_WINDOWS = 256  # decided before their votes are counted: keeps the end of a long stream small


class RecordStitcher(Stitcher):
    """Takes one stream's windows in order; call `remember` once for each `observe`, any number of windows later.

    How far `remember` lags behind `observe` changes nothing. At the end of the stream `finish` embeds the rest and
    decides everything.
    """

    def __init__(self, config: StitcherConfig | None = None):
        super().__init__(config)
        self.windows = WindowHistory()
        self._found: FoundSpeakers | None = None  # at the end

    def remember(self, vectors: Floats) -> list[Segment]:
        """Take the embeddings of the oldest crops that wait for them, (crops, D) float32 of unit norm; their segments.

        Raises ValueError if there are more or fewer of them than crops.
        """
        asked = self._answered(vectors)
        self.links.gather(self.store.segments)
        self.store.condense(asked.first_frame)
        self.windows.pack([*self.store.near, *(segment for later in self._asked for segment in later.segments)])
        return asked.segments

    def finish(self, embed: Callable[[list[Ints]], Floats], known: tuple[Sequence[int], Floats] = NOBODY) -> Labels:
        """The stream has ended, and with it every segment: labels of the whole stream from frame 0 on.

        `embed` gives unit-norm embeddings (crops, D) float32 of crops (see `observe`); `known` are the live
        speakers, whom links mean, and their centroids (K, D).
        """
        rest = [segment for segment in self.store.near if self.store.due_at_end(segment)]
        if crops := self._ask(self.windows.newest_frame, rest):
            self.remember(embed(crops))
        config = self.links.relaxed(self.config)
        self._found = found = find_speakers(
            self.store.segments,
            config,
            CosineTable(),
            Splitter(config),
            self.store.pair_votes,
            links=self.links,
            known=known,
        )
        return joined(self._decided(found, config), (*sorted(found.ids), None), self.windows.end_frame)

    def profiles(self) -> dict[int, Profile]:
        """The voices of the speakers in the labels of `finish`, by id."""
        found = self._found
        return profiles(found.ids, found.centroids, zip(found.speakers, found.members, strict=True)) if found else {}

    def _decided(self, found: FoundSpeakers, config: StitcherConfig) -> Iterator[Labels]:
        """The labels of all windows in blocks, in order of time."""
        votes = Aggregator(config, 0)
        for start in range(0, len(self.windows), FINAL_BLOCK_WINDOWS):
            block = self.windows.between(start, start + FINAL_BLOCK_WINDOWS)
            self._add(votes, block, found.ids, found.centroids)
            following = self.windows.between(start + FINAL_BLOCK_WINDOWS, start + FINAL_BLOCK_WINDOWS + 1)
            yield votes.settle(max(0, following[0].first_frame) if following else block[-1].end_frame)

    def _keep(self, window: Window) -> None:
        self.windows.append(window)

    def _due(self, segment: Segment, window: Window) -> bool:
        grown = self.store.due(segment, window.end_frame, self.config.record_embed_growth)
        return grown or self.store.due_whole(segment, window.end_frame)
