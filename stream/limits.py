"""What the engine and the clients of its server agree on: bounds, encodings, reasons. Imports nothing but typing.

A program that only speaks the protocol gets all of this without loading audio, NumPy or SciPy.
"""

from __future__ import annotations

from typing import Literal

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MAX_CHANNELS = 128
MAX_GAP_S = 600
SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_s24le": 3, "pcm_s32le": 4, "pcm_f32le": 4}
MIN_LATENCY_S, MAX_LATENCY_S = 0.5, 5.0
NAME_LETTERS = 64  # the longest name

Reason = Literal["reassigned", "merged", "split", "named"]  # why a turn's speaker was revised
