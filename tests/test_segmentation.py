"""PyanNet in MLX gives what PyTorch gives, and the check that says so sees every known porting mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.segmentation_cases import ami_cases, demo_cases, odd_cases
from turnstream.kernels import convpool, lstm, sincnet
from turnstream.kernels.backend import like, mx
from turnstream.kernels.convpool import conv_pool, linear_leaky, log_softmax, normal_scale
from turnstream.kernels.lstm import bilstm
from turnstream.kernels.sincnet import SincFilters
from turnstream.models import segmentation
from turnstream.models.segmentation import POWERSET, PyanNet, activity
from turnstream.weights.store import demo_recording, segmentation_weights
from turnstream.windows import WINDOW_FRAMES, frame_count

MAX_DIFFERENCE = 1e-3  # on every window
MEDIAN_DIFFERENCE = 2e-4  # median of the windows' maxima
TIE = 2 * MAX_DIFFERENCE  # a frame whose best two classes are closer than this may fall either way

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def golden() -> Arrays:
    with np.load(Path(__file__).parent / "golden" / "segmentation.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def demo() -> Arrays:
    return demo_cases(demo_recording()[0])


@pytest.fixture(scope="module")
def network() -> PyanNet:
    return PyanNet(segmentation_weights())


def run(network: PyanNet, windows: np.ndarray) -> np.ndarray:
    return np.array(network(mx.array(windows)))


def check_parity(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """The bar: every window, their median, and the class of every frame that is not a tie."""
    worst = [float(np.abs(g - e).max()) for g, e in zip(got, expected, strict=True)]
    assert max(worst) < MAX_DIFFERENCE, f"largest difference {max(worst):.2e}"
    assert np.median(worst) < MEDIAN_DIFFERENCE, f"median of the windows' largest {np.median(worst):.2e}"
    for g, e in zip(got, expected, strict=True):
        best = np.sort(e, axis=1)[:, -2:]
        clear = best[:, 1] - best[:, 0] > TIE
        assert (g.argmax(1) == e.argmax(1))[clear].all()


def check_cases(network: PyanNet, cases: Arrays, golden: Arrays) -> None:
    check_parity([run(network, samples[None])[0] for samples in cases.values()], [golden[name] for name in cases])


@pytest.mark.slow
def test_demo_recording_and_shorter_windows(network: PyanNet, demo: Arrays, golden: Arrays) -> None:
    assert len(demo) == 19
    check_cases(network, demo, golden)


@pytest.mark.slow
def test_ami_excerpts(network: PyanNet, speech_data: Path, golden: Arrays) -> None:
    cases = ami_cases(speech_data / "ami")
    assert len(cases) == sum(name.startswith("ami_") for name in golden)
    check_cases(network, cases, golden)


@pytest.mark.parametrize("name", ["noise", "offset", "clipped", "quiet"])
def test_what_microphones_also_deliver(network: PyanNet, golden: Arrays, name: str) -> None:
    samples = odd_cases(demo_recording()[0])[f"odd/{name}"]
    got, expected = run(network, samples[None])[0], golden[f"odd/{name}"]
    assert np.abs(got - expected).max() < MAX_DIFFERENCE
    assert (got.argmax(1) == expected.argmax(1)).all()


@pytest.mark.parametrize("name", ["silence", "late"])
def test_silence_is_as_exact_as_float32_can_be(network: PyanNet, golden: Arrays, name: str) -> None:
    """The norms turn the rounding of a constant into log-probabilities 0.1 off, in PyTorch too; classes hold."""
    samples = odd_cases(demo_recording()[0])[f"odd/{name}"]
    got, exact = run(network, samples[None])[0], golden[f"exact/{name}"]
    assert np.abs(got - exact).max() < 2 * np.abs(golden[f"odd/{name}"] - exact).max()
    assert (got.argmax(1) == exact.argmax(1)).all()


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_a_batch_is_its_windows(network: PyanNet, demo: Arrays, golden: Arrays, batch: int) -> None:
    names = [name for name in demo if name.startswith("demo/")][:batch]
    got = run(network, np.stack([demo[name] for name in names]))
    check_parity(list(got), [golden[name] for name in names])


@pytest.mark.slow
def test_parity_on_array_operations_alone(monkeypatch: pytest.MonkeyPatch, demo: Arrays, golden: Arrays) -> None:
    """What runs where there is neither Numba nor a GPU kernel."""
    for module in (lstm, sincnet, convpool):
        monkeypatch.setattr(module, "cpu", None)
    monkeypatch.setattr(segmentation, "sincnet_stream", None)
    network = PyanNet(segmentation_weights())
    assert network.initial_window_state() is None
    check_cases(network, {name: demo[name] for name in ("demo/4", "demo/12", "demo/16")}, golden)
    silence = run(network, np.zeros((1, 160_000), np.float32))[0]
    assert np.abs(silence - golden["exact/silence"]).max() < 1e-3
    same, _ = network.window_step(demo["demo/4"][None], [0], [None])
    check_parity([np.array(same)[0]], [golden["demo/4"]])


@pytest.mark.slow
def test_frames_are_those_of_the_geometry(network: PyanNet, demo: Arrays) -> None:
    for samples in demo.values():
        assert run(network, samples[None]).shape == (1, frame_count(len(samples)), 7)
    assert frame_count(160_000) == WINDOW_FRAMES


def test_probabilities_sum_to_one(network: PyanNet, demo: Arrays) -> None:
    np.testing.assert_allclose(np.exp(run(network, demo["demo/4"][None])).sum(-1), 1, atol=1e-5)


def test_same_window_same_bytes(network: PyanNet, demo: Arrays) -> None:
    samples = demo["demo/6"][None]
    assert run(network, samples).tobytes() == run(network, samples).tobytes()


@pytest.mark.parametrize("shape", [(1, 1260), (160_000,), (1, 1, 160_000)])
def test_wrong_windows_are_named(network: PyanNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected windows \(B, N\) with N at least 1261, got \("):
        network(mx.zeros(shape))


def test_activity_reads_the_powerset() -> None:
    assert POWERSET.sum(axis=1).tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert len({tuple(row) for row in POWERSET}) == 7
    order = np.array([6, 0, 3, 5, 1, 4, 2])
    log_probabilities = np.log(np.full((7, 7), 0.1) + 0.3 * np.eye(7)[order])
    np.testing.assert_array_equal(activity(log_probabilities), POWERSET[order])
    assert activity(log_probabilities).dtype == bool


# Porting mistakes, one each. A mistake is either other weights or another function in the network's place.


def no_recurrent_bias(weights: Arrays) -> Arrays:
    return {name: np.zeros_like(w) if "bias_hh" in name else w for name, w in weights.items()}


def halves(y: Any) -> tuple[Any, Any]:
    return y[..., : y.shape[-1] // 2], y[..., y.shape[-1] // 2 :]


def joined(ahead: Any, back: Any) -> Any:
    return (np if isinstance(ahead, np.ndarray) else mx).concatenate([ahead, back], axis=-1)


def reversed_output_not_turned_back(x: Any, layer: Any) -> tuple[Any, None]:
    ahead, back = halves(bilstm(x, layer)[0])
    return joined(ahead, back[:, ::-1]), None


def backward_fed_forwards(x: Any, layer: Any) -> tuple[Any, None]:
    ahead, _ = halves(bilstm(x, layer)[0])
    _, back = halves(bilstm(x[:, ::-1], layer)[0])
    return joined(ahead, back[:, ::-1]), None


def no_activation_between_linears(network: PyanNet, x: Any) -> Any:
    for layer in network.linears:
        x = linear_leaky(x, layer, slope=1.0)
    return log_softmax(x)


Pooled = tuple[Any, Any, Any]


def bank_of(waves: Any, filters: SincFilters, scale: Any, shift: Any) -> np.ndarray:
    waves = mx.array(waves) * mx.array(scale)[:, None] + mx.array(shift)[:, None]
    return np.array(mx.conv1d(waves.astype(mx.float32)[:, :, None], filters.taps[:, :, None], stride=10))


def no_absolute_value(waves: Any, *arguments: Any) -> Pooled:
    bank = bank_of(waves, *arguments)
    frames = bank.shape[1] // 3
    pooled = bank[:, : frames * 3].reshape(bank.shape[0], frames, 3, -1).max(axis=2)
    return like(waves, pooled), like(waves, pooled.sum(axis=1)), like(waves, np.square(pooled).sum(axis=1))


def norm_before_pooling(network: PyanNet, windows: Any) -> Any:
    windows = mx.array(windows)
    bank = np.abs(bank_of(windows, network.filters, *normal_scale(windows, *network.wave_norm, 1e-5)))
    x = network.norm_leaky(mx.array(bank), 0, 0, 0)
    x = x[:, : x.shape[1] // 3 * 3].reshape(len(bank), -1, 3, x.shape[2]).max(axis=2)
    for i, conv in enumerate(network.convs):
        x = network.norm_leaky(*conv_pool(x, conv), i + 1)
    return network.head(network.recurrent(x))


MISTAKES: dict[str, tuple[object, str, object]] = {
    "reversed LSTM output not turned back": (segmentation, "bilstm", reversed_output_not_turned_back),
    "backward LSTM fed forwards": (segmentation, "bilstm", backward_fed_forwards),
    "no activation between the linear layers": (PyanNet, "head", no_activation_between_linears),
    "ReLU for leaky ReLU": (segmentation, "LEAKY_SLOPE", 0.0),
    "no absolute value after the sinc layer": (segmentation, "sinc_pool", no_absolute_value),
    "eps 1e-3 for 1e-5 in the norms": (segmentation, "NORM_EPS", 1e-3),
    "norm before pooling": (PyanNet, "__call__", norm_before_pooling),
    "waveform not normalised": (segmentation, "normal_scale", lambda windows, *_: (np.ones(1), np.zeros(1))),
}


@pytest.fixture
def mistaken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], PyanNet]]:
    """Plants one mistake and gives the network that has it."""

    def plant(mistake: str) -> PyanNet:
        weights = segmentation_weights()
        if mistake == "recurrent bias dropped":
            return PyanNet(no_recurrent_bias(weights))
        monkeypatch.setattr(*MISTAKES[mistake])
        return PyanNet(weights)

    return plant


@pytest.mark.parametrize("mistake", ["recurrent bias dropped", *MISTAKES])
def test_parity_fails_for(mistake: str, mistaken: Callable[[str], PyanNet], demo: Arrays, golden: Arrays) -> None:
    names = ["demo/4", "demo/10", "demo/16"]
    network = mistaken(mistake)
    with pytest.raises(AssertionError):
        check_cases(network, {name: demo[name] for name in names}, golden)


def test_parity_holds_for_the_same_windows_without_a_mistake(network: PyanNet, demo: Arrays, golden: Arrays) -> None:
    check_cases(network, {name: demo[name] for name in ("demo/4", "demo/10", "demo/16")}, golden)
