"""What the engine and the clients of its server agree on: bounds, encodings, names, reasons. Imports no package.

A program that only speaks the protocol gets all of this without loading audio, NumPy or SciPy.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MAX_CHANNELS = 128
MAX_GAP_S = 600
MAX_SPEAKERS = 10_000  # of one stream: no bound in practice
Encoding = Literal["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"]
SAMPLE_BYTES: dict[str, int] = {"pcm_s16le": 2, "pcm_s24le": 3, "pcm_s32le": 4, "pcm_f32le": 4}
MIN_LATENCY_S, MAX_LATENCY_S = 0.5, 5.0
MIN_HOP_S, MAX_HOP_S = 0.34, 2.0  # of a live stream; windows.HOPS_FRAMES
NAME_LETTERS = 64  # the longest name
JOINERS = re.compile("[\u200c\u200d]")  # without them Persian, Sinhala and many emoji are misspelled
INVISIBLE = re.compile("[\u200c\u200d\u034f\u115f\u1160\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0]")
EMBEDDING_SIZE = 192  # numbers in a voice

Reason = Literal["reassigned", "merged", "split", "named", "corrected"]  # why a turn's speaker was revised

RefusalCode = Literal[  # why what the user asked for was not done
    "name_in_use", "unknown_speaker", "unknown_turn", "same_speaker", "nothing_to_undo", "too_many_corrections"
]


def legible(text: str) -> bool:
    """Whether a name can be shown: printable apart from joiners, and something in it can be seen."""
    return JOINERS.sub("", text).isprintable() and any(
        unicodedata.category(letter)[0] in "LNPS" for letter in INVISIBLE.sub("", text)
    )
