"""sherpa-onnx's pipeline for whole recordings with the engine's weights. Needs an interpreter that has sherpa-onnx."""

from __future__ import annotations

import time
from pathlib import Path

import sherpa_onnx

from benchmarks.peers.networks import NO_EXPORT
from benchmarks.peers.passes import Timed, read_audio


class Sherpa:
    """The networks that `networks.PyTorch.export` wrote; all settings but the threads are sherpa-onnx's defaults."""

    def __init__(self, folder: Path, cores: int):
        if not (folder / "embedding.onnx").exists():
            raise RuntimeError(NO_EXPORT)
        pyannote = sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(model=str(folder / "segmentation.onnx"))
        config = sherpa_onnx.OfflineSpeakerDiarizationConfig(
            segmentation=sherpa_onnx.OfflineSpeakerSegmentationModelConfig(pyannote=pyannote, num_threads=cores),
            embedding=sherpa_onnx.SpeakerEmbeddingExtractorConfig(
                model=str(folder / "embedding.onnx"), num_threads=cores
            ),
            clustering=sherpa_onnx.FastClusteringConfig(),
        )
        if not config.validate():
            raise RuntimeError(f"expected a configuration that sherpa-onnx takes, got {config}")
        self.pipeline = sherpa_onnx.OfflineSpeakerDiarization(config)
        self.settings = {"threads": cores, "clustering": str(config.clustering)}

    def file(self, audio: str) -> Timed:
        """A whole recording at once."""
        samples, began = read_audio(audio), time.perf_counter()
        found = self.pipeline.process(samples).sort_by_start_time()
        return Timed([time.perf_counter() - began], [[s.start, s.end, str(s.speaker)] for s in found])
