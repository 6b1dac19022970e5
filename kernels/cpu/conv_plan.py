"""Plans a chain of convolutions for the CPU: activations in one workspace, weights in one array, steps in a list."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .camplusplus import BLOCK_TIMES, CONV, convolve
from .team import run
from .tile import COLUMNS, NOTHING, ROWS, aligned_copy, aligned_empty, pack, round_up
from .winograd import transform_taps


def fast(matrix: np.ndarray) -> np.ndarray:
    """The matrix of a convolution with three taps over time, (3 K, out), transformed for `winograd`: (6 K, out)."""
    return transform_taps(matrix.reshape(3, -1, matrix.shape[1])).reshape(-1, matrix.shape[1])


class Packed:
    """Panels and biases of all layers in one array, with the offsets of each layer."""

    def __init__(self, layers: list[tuple[np.ndarray, np.ndarray]]):
        """Each layer is its matrix (taps and inputs, out) and its bias (out,); plans refer to a layer by its bias."""
        parts: list[np.ndarray] = []
        self._found: dict[int, tuple[int, int, int]] = {}
        size = 0
        for matrix, bias in layers:
            self._found[id(bias)] = (size, size + matrix.size, matrix.size // len(bias))
            parts += [pack(matrix).ravel(), bias]
            size += matrix.size + bias.size
        self.weights = aligned_copy(np.concatenate(parts))

    def find(self, bias: np.ndarray) -> tuple[int, int, int]:
        """Offset of the layer's panels, offset of its bias, and the length of its sums."""
        return self._found[id(bias)]


@dataclass(frozen=True)
class Grid:
    """Activations (times, rows, channels) at `offset`, with a border of zeros in time and over rows.

    Zeros also fill the times after the last one up to a multiple of BLOCK_TIMES.
    """

    offset: int
    times: int
    rows: int
    channels: int
    border: tuple[int, int]

    @property
    def time_size(self) -> int:
        return (self.rows + 2 * self.border[1]) * self.channels

    @property
    def origin(self) -> int:
        return self.offset + self.border[0] * self.time_size + self.border[1] * self.channels

    @property
    def trailing(self) -> int:
        return self.border[0] + -self.times % BLOCK_TIMES

    @property
    def end(self) -> int:
        return self.offset + (self.border[0] + self.times + self.trailing) * self.time_size

    def view(self, workspace: np.ndarray) -> np.ndarray:
        return workspace[self.offset : self.end].reshape(-1, self.rows + 2 * self.border[1], self.channels)

    def clear_border(self, workspace: np.ndarray) -> None:
        view, (times, rows) = self.view(workspace), self.border
        view[:times] = view[times + self.times :] = 0
        if rows:
            view[:, :rows] = view[:, -rows:] = 0


class Plan:
    """Convolutions over `features` (steps, frequencies), run in the order in which they were added."""

    def __init__(self, packed: Packed, steps: int, frequencies: int):
        self._packed, self._steps = packed, steps
        self._grids: list[Grid] = []
        self._convs: list[dict[str, int]] = []
        self.features = self._grid(steps, frequencies, 1, (1, 1))

    def conv3x3(
        self,
        x: Grid,
        bias: np.ndarray,
        stride: int = 1,
        beside: Grid | None = None,
        border: tuple[int, int] = (1, 1),
    ) -> Grid:
        """3x3 convolution, plus `beside`, then ReLU; `stride` is over frequency; `border` is the border of the result.

        If x has more than one channel, the weights must come from `fast`.
        """
        out = self._grid(self._steps, x.rows // stride, len(bias), border)
        corner = x.origin - x.time_size - x.channels
        self._add(x, corner, stride * x.channels, bias, out, taps=3, tap_step=x.time_size)
        if x.channels > 1:
            self._convs[-1] |= {"fast": True, "depth": 3 * x.channels}
        if beside is not None:
            self._convs[-1] |= {"beside": beside.origin, "beside_time": beside.time_size, "beside_row": beside.channels}
        return out

    def pointwise(self, x: Grid, bias: np.ndarray) -> Grid:
        """1x1 convolution of every second frequency, no ReLU."""
        out = self._grid(self._steps, x.rows // 2, len(bias), (0, 0))
        self._add(x, x.origin, 2 * x.channels, bias, out)
        self._convs[-1]["relu"] = False
        return out

    def over_time(self, x: Grid, bias: np.ndarray) -> Grid:
        """5 taps over time, all rows and channels of x as one input, stride 2, ReLU; ROWS outputs at a time."""
        out = self._grid(round_up((self._steps + 1) // 2) // ROWS, ROWS, len(bias), (0, 0))
        step = 2 * x.time_size
        self._add(x, x.origin - step, step, bias, out)
        self._convs[-1]["x_time"] = ROWS * step
        return out

    def run(self, features: np.ndarray, out: Grid) -> np.ndarray:
        """Run the plan; returns `out`, the result of `over_time`, as ((steps + 1) // 2, channels)."""
        spare = 2 * ROWS * max(grid.time_size for grid in self._grids)  # read for unused rows of the last tile
        workspace = aligned_empty(self._grids[-1].end + spare)
        for grid in self._grids:
            grid.clear_border(workspace)
        self.features.view(workspace)[1 : 1 + self._steps, 1:-1, 0] = features
        run(convolve, len(self._records), self._records, workspace, self._packed.weights, NOTHING)
        result: np.ndarray = out.view(workspace).reshape(-1, out.channels)[: (self._steps + 1) // 2]
        return result

    @cached_property
    def _records(self) -> np.ndarray:
        return np.array([tuple(conv[name] for name in CONV.names or ()) for conv in self._convs], CONV)

    def _grid(self, times: int, rows: int, channels: int, border: tuple[int, int]) -> Grid:
        offset = -(-self._grids[-1].end // 16) * 16 if self._grids else 0
        grid = Grid(offset, times, rows, channels, border)
        self._grids.append(grid)
        return grid

    def _add(
        self, x: Grid, first: int, row: int, bias: np.ndarray, out: Grid, taps: int = 1, tap_step: int = 0
    ) -> None:
        weight, bias_at, depth = self._packed.find(bias)
        sizes = {"times": out.times, "rows": out.rows, "panels": len(bias) // COLUMNS}
        kind = {"relu": True, "fast": False}
        sums = {"taps": taps, "tap_step": tap_step, "depth": depth // taps, "weight": weight, "bias": bias_at}
        inputs = {"x": first, "x_time": x.time_size, "x_row": row, "beside": -1, "beside_time": 0, "beside_row": 0}
        outputs = {"out": out.origin, "out_time": out.time_size, "out_row": out.channels}
        self._convs.append(sizes | kind | sums | inputs | outputs)
