"""Every constant of the stitcher: a name, a unit and a reason. Found on simulated conversations (benchmarks/der.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import TurnstreamError
from ..limits import MAX_SPEAKERS
from ..windows import FRAME_SAMPLES, SAMPLE_RATE_HZ
from .config_file import read_constants

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ


def frames(seconds: float) -> int:
    """The nearest number of frames."""
    return round(seconds / FRAME_S)


@dataclass(frozen=True, slots=True)
class StitcherConfig:
    """Constants of the stitcher; seconds unless the name says otherwise.

    Cosines are of CAM++ embeddings as published, without a final ReLU: for 3 s of speech the median is .69 with the
    same speaker and .06 with another (95 %: .26); for 0.6 s it is .30 and .05. Thresholds of networks with that ReLU
    are about .25 higher.
    """

    # Runs: maximal active stretches of one local speaker.
    run_min_s: float = 0.1  # shorter ones are flicker of the model
    run_bridge_s: float = 0.3  # a breath; bridged only when nobody else talks in it
    run_piece_s: float = 2.0  # longer runs are cut: the model changes speakers inside one local channel

    # Segments: runs followed from window to window.
    segment_match_share: float = 0.5  # of the shorter one's frames: two different segments cannot share more
    segment_embed_s: float = 0.4  # clean speech before the first embedding; with less, speakers cannot be told apart
    segment_mixed_s: float = 0.3  # with less clean speech, a segment this long is embedded whole once it has ended
    segment_embed_growth: float = 1.4  # factor of new clean speech that makes another embedding worth its cost (live)
    record_embed_growth: float = 2.0  # the same for windows that are kept: few segments grow from one to the next
    segment_ended_s: float = 0.5  # silence after which a segment's end is known, and it is embedded once more
    segment_misses_windows: int = 2  # windows that cover a segment without confirming it before it is forgotten
    segments_most: int = 300  # more than these are condensed: the cost of a clustering grows with their square
    condense_distances: tuple[float, ...] = (0.4, 0.6)  # tried in order until half of them are left

    # Clustering of segments.
    cluster_segment_s: float = 0.6  # shorter segments are too noisy to shape clusters
    cluster_distance: float = 0.6  # 1 - mean cosine at which average linkage stops: most voices are whole, few mixed
    join_noise_s: float = 2.0  # speech whose embedding is as much noise as voice; .69 at 3 s in quiet would be 1.4
    # The demo recording's speakers, on one telephone line, have .6 by this measure; voices of one person have 1.
    join_cosine: float = 0.66  # noise-corrected cosine of two clusters' means from which they are one speaker
    # The halves of a cluster are one voice from this cosine on: split_cosine + split_apart_cosine (1 - held together)
    # + split_light_cosine ln(lighter half / split_light_s); splitting.two_voices. Halves are heavier than clusters that
    # are joined, and their means truer. With an apart of .4 two recordings of one reader, whose halves windows never
    # hold together, were two people.
    split_cosine: float = 0.7
    split_apart_cosine: float = 0.15  # added to the required cosine where windows never hold the halves together
    split_light_cosine: float = 0.2  # subtracted for each factor e by which the lighter half has less speech ...
    split_light_s: float = 30.0  # ... than this, in which a voice has made most of its sounds
    split_least_s: float = 8.0  # of each half: with less, two sentences of one voice may be as unlike as two voices
    split_doubt_windows: float = 10.0  # windows of doubt added for and against: half of those that see a segment
    cluster_keep_share: float = 0.1  # of all clustered speech that makes a cluster a speaker ...
    cluster_keep_min_s: float = 1.0  # ... but not less than this, or the first words would be several people ...
    cluster_keep_max_s: float = 5.0  # ... and this is enough in a short stream
    # 15 s in an hour of talk: what has no more is often a mixture of others, or odd moments of one voice.
    cluster_light_share: float = 0.005

    # How many people there are, where the user knows it; the least number is kept at the end only.
    min_speakers: int = 1
    max_speakers: int = MAX_SPEAKERS

    # New speakers, before a clustering confirms them.
    new_speaker_s: float = 0.5  # embedded speech of one local speaker in the newest window
    # Clean speech that a clustering has given a new speaker before they are told of: most with less are soon absorbed.
    public_s: float = 1.0
    # The longer a stream, the more chances for a few words to sound like nobody, and the fewer people are really new.
    public_growth_s: float = 1.5  # added to it for each factor e by which the stream has more speech than ...
    public_from_s: float = 300.0  # ... this, in which most people have talked
    new_patience_s: float = 10.0  # silence after which an unconfirmed speaker is given up: one window
    # Noise-corrected like join_cosine; lower, because what is left over are the most unlike of many short stretches.
    stranger_cosine: float = 0.45  # a light or new cluster whose cosine to all heavier ones is lower is a speaker ...
    stranger_heavy_cosine: float = 0.15  # ... and more than this higher for each factor e of speech above that share

    # Clusterings of a growing stream go back and forth about speech that sounds like two people.
    change_after_s: float = 10.0  # that they have agreed for, before a turn is taken from somebody who is still there

    # Assignment of local speakers.
    assign_windows: int = 5  # newest windows decided again at every hop; 10 cost more and gained nothing
    assign_trust_floor: float = 0.1  # weight of a cosine with no clean speech ...
    assign_trust_s: float = 2.0  # ... and the clean speech that adds one to it
    assign_mixed_share: float = 0.3  # clean speech that one second counts for in which others talk as well
    force_speaker: bool = False  # always assign the most likely speaker, where it would be unknown otherwise
    override_run_s: float = 0.3  # runs this long may leave their local speaker
    override_margin: float = 0.15  # cosine that another speaker must gain over the local one's, for a run or the whole
    override_cosine: float = 0.25  # and the least cosine to that speaker

    # Aggregation of overlapping windows.
    edge_trust_floor: float = 0.1  # weight of a frame at a window's edge; it grows by 1 per second, up to 1
    vote_share: float = 0.5  # share of the weights that must say a speaker is talking

    def for_people(
        self, speakers: int | None = None, min_speakers: int | None = None, max_speakers: int | None = None
    ) -> StitcherConfig:
        """The same where it is known that there are exactly `speakers` people, or at least or at most so many.

        Raises TurnstreamError where no number of 1 or more agrees with all that is given.
        """
        least = max(n for n in (speakers, min_speakers, self.min_speakers) if n is not None)
        most = min(n for n in (speakers, max_speakers, self.max_speakers) if n is not None)
        if not 1 <= least <= most:
            raise TurnstreamError(
                f"expected a number of speakers of 1 or more, got at least {least} and at most {most}"
            )
        return replace(self, min_speakers=least, max_speakers=most)

    def public_after_s(self, speech_s: float) -> float:
        """Clean speech of a new speaker before they are told of, in a stream with `speech_s` of it; both in seconds."""
        return self.public_s + self.public_growth_s * math.log(max(1.0, speech_s / self.public_from_s))

    @classmethod
    def from_json(cls, path: Path | str) -> StitcherConfig:
        """The constants from a file that `turnstream tune` wrote, defaults for the rest. Raises TurnstreamError."""
        return read_constants(path, cls)
