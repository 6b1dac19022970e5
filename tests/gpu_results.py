"""What the engine computes on this device, as arrays in a file: `python -m tests.gpu_results OUT.npz [forced|shim]`.

`forced`: the GPU path on the CPU (`tests/gpu_path.py`); `shim`: one window only, with the Metal bodies simulated.
Without a word: what the CPU kernels compute, to compare with.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

WINDOWS_S = (0.0, 12.0)
CHUNKS = 20  # 2 s
CROPS_ROWS = (97, 150, 431)
FILE_S = (6.0, 16.0)  # of the demo recording: both speakers

Arrays = dict[str, np.ndarray]


def results() -> Arrays:
    """Log-probabilities of windows, silence and activity chunks, embeddings, and the turns of a file run."""
    from turnstream.diarizer import Diarizer
    from turnstream.kernels.backend import mx
    from turnstream.weights.store import demo_recording

    samples, _ = soundfile.read(demo_recording()[0], dtype="float32")
    with Diarizer() as diarizer:
        found = {"cache limit": np.array(mx.set_cache_limit(2**40))}
        found |= windows(diarizer.models, samples) | activity(diarizer.models, samples)
        found["embeddings"] = diarizer.models.embed(crops(samples))
        session = diarizer.session(hop_s=2.0)  # the final result is that of any hop
        session.feed(samples[slice(*(int(16_000 * second) for second in FILE_S))])
        return found | {"rttm": np.array(session.close().to_rttm("demo"))}


def windows(models: Any, samples: np.ndarray) -> Arrays:
    """Of speech, and of digital silence."""
    starts = [int(16_000 * second) for second in WINDOWS_S]
    waves = [samples[start : start + 160_000] for start in starts] + [np.zeros(160_000, np.float32)]
    names = [f"window at {second} s" for second in WINDOWS_S] + ["silent window"]
    return {name: models.segment(wave, 0, models.initial_state())[0] for name, wave in zip(names, waves, strict=True)}


def activity(models: Any, samples: np.ndarray) -> Arrays:
    """Of a stream that begins with digital silence and goes on with speech."""
    from turnstream.models.activity import CHUNK_SAMPLES, FIRST_SAMPLES

    wave = np.concatenate([np.zeros(16_000, np.float32), samples[112_000:]])
    state, parts = models.initial_activity_state(), []
    for end in range(FIRST_SAMPLES, FIRST_SAMPLES + CHUNKS * CHUNK_SAMPLES, CHUNK_SAMPLES):
        start = 0 if end == FIRST_SAMPLES else end - CHUNK_SAMPLES
        logp, state = models.listen(wave[start:end], state)
        parts.append(logp)
    return {"activity": np.concatenate(parts)}


def crops(samples: np.ndarray) -> list[np.ndarray]:
    """Feature rows of speech."""
    from turnstream.audio.fbank import fbank

    rows = fbank(samples[112_000:240_000])
    return [rows[:count] for count in CROPS_ROWS]


def shim_window() -> Arrays:
    """One window through the Metal bodies in the simulator."""
    from metal_on_cpu import metal_kernel, on_mlx

    from turnstream.kernels.gpu import lstm, sincnet
    from turnstream.models.segmentation import PyanNet
    from turnstream.weights.store import demo_recording, segmentation_weights

    for body in (lstm, sincnet):
        body.on_metal = lambda: True
        body.metal_kernel = on_mlx(metal_kernel(**body.KERNEL, source=body.METAL_SOURCE))
    samples, _ = soundfile.read(demo_recording()[0], start=192_000, frames=160_000, dtype="float32")
    return {"window at 12.0 s": np.array(PyanNet(segmentation_weights())(samples[None]))[0]}


def main(out: Path, how: str = "") -> None:
    if how:
        import tests.gpu_path  # noqa: F401  (forces the path)
    np.savez(out, **(shim_window() if how == "shim" else results()))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(Path(sys.argv[1]), *sys.argv[2:])
