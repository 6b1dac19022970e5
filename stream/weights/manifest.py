"""The tensors each model expects in a checkpoint: original PyTorch names and shapes, derived from the architecture.

Layer counts and channels of the two networks are defined here, kernel sizes and strides over time in `windows.LAYERS`.
Counters of training steps (`num_batches_tracked`) are not weights and are left out.
"""

from __future__ import annotations

from ..limits import EMBEDDING_SIZE
from ..windows import LAYERS

Shapes = dict[str, tuple[int, ...]]

BANK_CHANNELS = 80
CONV_CHANNELS = 60
LSTM_HIDDEN = 128
LSTM_LAYERS = 4
LINEAR_SIZE = 128
DENSE_LAYERS = (12, 24, 16)  # tdnnd layers in the three dense blocks of CAM++
DENSE_GROWTH = 32
HEAD_CHANNELS = 32


def segmentation_shapes() -> Shapes:
    """Names and shapes of the weights of PyanNet (pyannote segmentation-3.0), 54 tensors."""
    return _sincnet() | _lstm() | _classifier()


def embedding_shapes() -> Shapes:
    """Names and shapes of the weights of CAM++ (Wang et al. 2023, arXiv:2303.00332), 192-d, 815 tensors."""
    shapes = _front_end()
    shapes |= {"xvector.tdnn.linear.weight": (128, 320, 5)} | _norm("xvector.tdnn.nonlinear.batchnorm", 128)
    channels = 128
    for block, layers in enumerate(DENSE_LAYERS, start=1):
        for layer in range(1, layers + 1):
            shapes |= _dense_layer(f"xvector.block{block}.tdnnd{layer}", channels)
            channels += DENSE_GROWTH
        shapes |= _norm(f"xvector.transit{block}.nonlinear.batchnorm", channels)
        shapes[f"xvector.transit{block}.linear.weight"] = (channels // 2, channels, 1)
        channels //= 2
    shapes |= _norm("xvector.out_nonlinear.batchnorm", channels)
    shapes["xvector.dense.linear.weight"] = (EMBEDDING_SIZE, 2 * channels, 1)
    return shapes | _statistics("xvector.dense.nonlinear.batchnorm", EMBEDDING_SIZE)


def _sincnet() -> Shapes:
    bank = "sincnet.conv1d.0.filterbank"
    (sinc_taps, _), _, (taps1, _), _, (taps2, _), _ = LAYERS
    filters, half = BANK_CHANNELS // 2, sinc_taps // 2
    shapes: Shapes = {f"{bank}.low_hz_": (filters, 1), f"{bank}.band_hz_": (filters, 1)}
    shapes |= {f"{bank}.window_": (half,), f"{bank}.n_": (1, half)}
    shapes |= _weight_bias("sincnet.conv1d.1", (CONV_CHANNELS, BANK_CHANNELS, taps1))
    shapes |= _weight_bias("sincnet.conv1d.2", (CONV_CHANNELS, CONV_CHANNELS, taps2))
    shapes |= _weight_bias("sincnet.wav_norm1d", (1,))
    for index, channels in enumerate((BANK_CHANNELS, CONV_CHANNELS, CONV_CHANNELS)):
        shapes |= _weight_bias(f"sincnet.norm1d.{index}", (channels,))
    return shapes


def _lstm() -> Shapes:
    shapes: Shapes = {}
    gates = 4 * LSTM_HIDDEN
    for layer in range(LSTM_LAYERS):
        inputs = 2 * LSTM_HIDDEN if layer else CONV_CHANNELS
        for direction in ("", "_reverse"):
            suffix = f"l{layer}{direction}"
            shapes[f"lstm.weight_ih_{suffix}"] = (gates, inputs)
            shapes[f"lstm.weight_hh_{suffix}"] = (gates, LSTM_HIDDEN)
            shapes |= {f"lstm.bias_ih_{suffix}": (gates,), f"lstm.bias_hh_{suffix}": (gates,)}
    return shapes


def _classifier() -> Shapes:
    shapes = _weight_bias("linear.0", (LINEAR_SIZE, 2 * LSTM_HIDDEN)) | _weight_bias(
        "linear.1", (LINEAR_SIZE, LINEAR_SIZE)
    )
    return shapes | _weight_bias("classifier", (7, LINEAR_SIZE))


def _front_end() -> Shapes:
    square = (HEAD_CHANNELS, HEAD_CHANNELS, 3, 3)
    shapes: Shapes = {"head.conv1.weight": (HEAD_CHANNELS, 1, 3, 3), "head.conv2.weight": square}
    shapes |= _norm("head.bn1", HEAD_CHANNELS) | _norm("head.bn2", HEAD_CHANNELS)
    for block in ("layer1.0", "layer1.1", "layer2.0", "layer2.1"):
        for step in (1, 2):
            shapes[f"head.{block}.conv{step}.weight"] = square
            shapes |= _norm(f"head.{block}.bn{step}", HEAD_CHANNELS)
        if block.endswith(".0"):
            shapes[f"head.{block}.shortcut.0.weight"] = (HEAD_CHANNELS, HEAD_CHANNELS, 1, 1)
            shapes |= _norm(f"head.{block}.shortcut.1", HEAD_CHANNELS)
    return shapes


def _dense_layer(name: str, channels: int) -> Shapes:
    bottleneck = 4 * DENSE_GROWTH
    shapes = _norm(f"{name}.nonlinear1.batchnorm", channels) | _norm(f"{name}.nonlinear2.batchnorm", bottleneck)
    shapes[f"{name}.linear1.weight"] = (bottleneck, channels, 1)
    shapes[f"{name}.cam_layer.linear_local.weight"] = (DENSE_GROWTH, bottleneck, 3)
    shapes |= _weight_bias(f"{name}.cam_layer.linear1", (bottleneck // 2, bottleneck, 1))
    return shapes | _weight_bias(f"{name}.cam_layer.linear2", (DENSE_GROWTH, bottleneck // 2, 1))


def _weight_bias(name: str, shape: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _statistics(name: str, channels: int) -> Shapes:
    return {f"{name}.running_mean": (channels,), f"{name}.running_var": (channels,)}


def _norm(name: str, channels: int) -> Shapes:
    return _weight_bias(name, (channels,)) | _statistics(name, channels)
