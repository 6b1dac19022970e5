"""Both stitchers of one stream as one: the live one hears every window, the record those on its coarser grid."""

from __future__ import annotations

from collections.abc import Callable

from ..labels import Bools, Labels
from ..windows import RECORD_FRAMES
from .config import StitcherConfig
from .links import Link, Together
from .live import LiveStitcher
from .profile import Profile
from .record import RecordStitcher
from .stitcher import Floats, Ints


def is_kept(first_frame: int) -> bool:
    """Whether the window that begins there is one of those that are kept, which the record hears."""
    return first_frame % RECORD_FRAMES == 0


class Stitchers:
    """Takes a live stream's windows in order: call `observe` and `assign` in turn, and at the end `finish`."""

    def __init__(self, config: StitcherConfig | None = None):
        self.live, self.record = LiveStitcher(config), RecordStitcher(config)
        self._split = 0  # how many of the crops are the live stitcher's
        self._kept = False

    def observe(self, first_frame: int, active: Bools) -> list[Ints]:
        """See `Stitcher.observe`; the crops of both."""
        crops = self.live.observe(first_frame, active)
        self._split, self._kept = len(crops), is_kept(first_frame)
        return [*crops, *(self.record.observe(first_frame, active) if self._kept else [])]

    def assign(self, vectors: Floats) -> Labels:
        """See `LiveStitcher.assign`; the embeddings of both. What the record has embedded serves both."""
        if self._kept:
            self.live.adopt(self.record.remember(vectors[self._split :]))
        return self.live.assign(vectors[: self._split] if self._kept else vectors)

    def finish(self, embed: Callable[[list[Ints]], Floats]) -> Labels:
        """See `RecordStitcher.finish`."""
        return self.record.finish(embed, (self.live.speakers.ids, self.live.speakers.vectors))

    def link(self, link: Link) -> None:
        """From now on both honor this link."""
        for one in (self.live, self.record):
            one.links.add(link, one.store.segments)

    def unlink(self, link: Link) -> None:
        """The link is taken back."""
        for one in (self.live, self.record):
            one.links.remove(link, one.store.segments)

    def merge(self, ids: set[int], before_frame: int) -> Together:
        """Speakers of the live stitcher are one person; whoever splits off their speech so far is that person too."""
        together = Together(before_frame, ids)
        for one in (self.live, self.record):
            one.links.merges.append(together)
        return together

    def part(self, together: Together) -> None:
        """They are not."""
        for one in (self.live, self.record):
            one.links.merges.remove(together)

    def profiles(self) -> dict[int, Profile]:
        """The voices of the current speakers by their ids in the newest labels."""
        return self.record.profiles() or self.live.profiles()
