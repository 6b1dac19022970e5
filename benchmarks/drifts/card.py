"""A sound card whose clock is off, as the microphone's watch for lost audio sees it."""

from __future__ import annotations

import numpy as np

from turnstream.clients.sources.lost_audio import Block, LossWatch

RATE_HZ = 48_000
BLOCK_SAMPLES = RATE_HZ // 50
LATE_S = 0.01  # callbacks come up to so much later than their last sample


def invented(ppm: float, hours: float, seed: int = 0) -> tuple[int, int]:
    """Samples taken for lost in a stream that loses none, and the most blocks that were held back at once.

    ppm: how much faster than it says the card's clock runs.
    """
    watch, rng = LossWatch(RATE_HZ), np.random.default_rng(seed)
    block_s = BLOCK_SAMPLES / (RATE_HZ * (1 + 1e-6 * ppm))
    silence = np.zeros((BLOCK_SAMPLES, 1), np.float32)
    lost, out, most = 0, 0, 0
    for number, late_s in enumerate(rng.uniform(0, LATE_S, round(hours * 3600 / block_s)).tolist(), 1):
        for item in watch.push(Block(silence, number * block_s + late_s, 1.0 + (number - 1) * block_s)):
            if isinstance(item, int):
                lost += item
            else:
                out += 1
        most = max(most, number - out)
    return lost, most
