"""The same networks in PyTorch and ONNX Runtime. Needs the extra `peers`, not the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peers import nets
from benchmarks.peers.passes import Timed, centered, read_hops, timed_hops, timed_windows, unit

NO_EXPORT = "it needs the networks as ONNX, which PyTorch writes, and PyTorch was not run"


class PyTorch:
    """Eager, in inference mode."""

    def __init__(self, folder: Path, cores: int):
        import torch  # not above: its memory is not ONNX Runtime's

        self._torch = torch
        self.folder = folder
        self.settings = {"threads": cores}
        with np.load(folder / "segmentation.npz") as weights:
            self.segmentation = nets.torch_segmentation(weights, cores)
        with np.load(folder / "embedding.npz") as weights:
            self.embedding = nets.torch_embedding(weights, cores)

    def window(self) -> Timed:
        """Whole windows."""
        return timed_windows(self._segment, read_hops(self.folder))

    def hops(self) -> Timed:
        """A whole window and the crops for every hop."""
        return timed_hops(lambda window, _: self._segment(window), self._embed, read_hops(self.folder))

    def export(self) -> Timed:
        """Write `segmentation.onnx` and `embedding.onnx` into the folder."""
        (self.folder / "segmentation.onnx").write_bytes(nets.onnx_segmentation(self.segmentation))
        (self.folder / "embedding.onnx").write_bytes(nets.onnx_embedding(self.embedding))
        return Timed([])

    def _segment(self, window: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            found: np.ndarray = self.segmentation(self._torch.from_numpy(window)).numpy()
        return found

    def _embed(self, rows: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            return unit(self.embedding(self._torch.from_numpy(centered(rows)))[0].numpy())


class OnnxRuntime:
    """The networks that `PyTorch.export` wrote."""

    def __init__(self, folder: Path, cores: int):
        self.folder = folder
        self.settings = {"threads": cores}
        if not (folder / "embedding.onnx").exists():
            raise RuntimeError(NO_EXPORT)
        self.segmentation = nets.onnx_session((folder / "segmentation.onnx").read_bytes(), cores)
        self.embedding = nets.onnx_session((folder / "embedding.onnx").read_bytes(), cores)

    def window(self) -> Timed:
        """Whole windows."""
        return timed_windows(self._segment, read_hops(self.folder))

    def hops(self) -> Timed:
        """A whole window and the crops for every hop."""
        return timed_hops(lambda window, _: self._segment(window), self._embed, read_hops(self.folder))

    def _segment(self, window: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.segmentation.run(None, {"windows": window[:, None]})[0]
        return found

    def _embed(self, rows: np.ndarray) -> np.ndarray:
        return unit(self.embedding.run(None, {"features": centered(rows)})[0][0])
