"""The CPU path of CAM++ equals its reference ops, tile by tile, block by block, for any length and any team."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.kernels import conv_head as heads
from turnstream.kernels import dense_tdnn as blocks
from turnstream.kernels.backend import mx, on_cpu
from turnstream.kernels.conv_head import Affine, ConvHead, ResidualBlock, conv_head, conv_head_ops
from turnstream.kernels.dense_tdnn import DenseBlock, DenseLayer, dense_block, dense_block_ops

if not on_cpu() or heads.cpu is None:
    pytest.skip("the CPU path of CAM++ runs where MLX computes on the CPU, with Numba", allow_module_level=True)

import numba

from turnstream.kernels.cpu import conv_plan, jit, team
from turnstream.kernels.cpu.tile import COLUMNS, NOTHING, ROWS, aligned_copy, pack, tile

RELATIVE = 1e-5  # of the largest value: float32 in another order
random = np.random.default_rng(7)


def values(*shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


def affine(*shape: int, out: int) -> Affine:
    return Affine(values(*shape) / np.float32(np.sqrt(np.prod(shape) / out)), values(out))


def close(ours: Any, reference: Any) -> None:
    ours, reference = np.array(ours), np.array(reference)
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= RELATIVE * np.abs(reference).max()


@pytest.fixture(scope="module")
def head() -> ConvHead:
    def block(halving: bool) -> ResidualBlock:
        return ResidualBlock(conv(), conv(), affine(32, 32, out=32) if halving else None)

    def conv(channels: int = 32) -> Affine:
        return affine(32, 3, 3, channels, out=32)

    return ConvHead(conv(1), tuple(map(block, (True, False, True, False))), conv(), affine(128, 5, 320, out=128))


def dense(layers: int, dilation: int, rectified: bool) -> DenseBlock:
    def layer(channels: int) -> DenseLayer:
        norm, local = Affine(values(channels), values(channels)), values(32, 3, 128) / 20
        return DenseLayer(norm, affine(channels, 128, out=128), local, affine(128, 64, out=64), affine(64, 32, out=32))

    channels = 64 + 32 * layers
    norm = Affine(values(channels), values(channels))
    each = tuple(layer(64 + 32 * i) for i in range(layers))
    return DenseBlock(each, dilation, norm, affine(channels, 96, out=96), rectified)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 20, 41, 199, 298])
@pytest.mark.parametrize("batch", [1, 2])
def test_conv_head_equals_ops(steps: int, batch: int, head: ConvHead) -> None:
    features = mx.array(values(batch, steps, 80))
    close(conv_head(features, head), conv_head_ops(features, head))


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 99, 100, 101, 200, 203])
@pytest.mark.parametrize(("layers", "dilation", "rectified"), [(1, 1, True), (2, 2, False), (5, 2, True)])
def test_dense_block_equals_ops(steps: int, layers: int, dilation: int, rectified: bool) -> None:
    block, x = dense(layers, dilation, rectified), mx.array(values(2, steps, 64))
    close(dense_block(x, block), dense_block_ops(x, block))


def test_input_that_is_not_contiguous(head: ConvHead) -> None:
    features = mx.array(values(2, 80, 50)).swapaxes(1, 2)[:, ::2]
    close(conv_head(features, head), conv_head_ops(features, head))
    x, block = mx.array(values(1, 64, 30)).swapaxes(1, 2), dense(2, 1, False)
    close(dense_block(x, block), dense_block_ops(x, block))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_team_does_not_change_one_bit(threads: int, head: ConvHead, monkeypatch: pytest.MonkeyPatch) -> None:
    features, x, block = mx.array(values(1, 150, 80)), mx.array(values(1, 150, 64)), dense(4, 2, False)
    monkeypatch.setattr(team, "team_threads", lambda: 1)
    alone = np.array(conv_head(features, head)).tobytes(), np.array(dense_block(x, block)).tobytes()
    monkeypatch.setattr(team, "team_threads", lambda: threads)
    for _ in range(20):
        assert np.array(conv_head(features, head)).tobytes() == alone[0]
        assert np.array(dense_block(x, block)).tobytes() == alone[1]


@numba.njit(nogil=True)  # type: ignore[misc]
def _sum_of_the_phase_before(marks: Any, counters: Any) -> None:
    phases, chunks = marks.shape
    for phase in range(1, phases):
        chunk = team.claim(counters, phase)
        while chunk < chunks:
            before = marks[phase - 1].sum() // chunks
            for i in range(20_000 * (chunk % 3)):  # so that chunks end at different times
                before = (before * 3 + i) - before * 2 - i
            marks[phase, chunk] += before
            team.finish(counters, phase)
            chunk = team.claim(counters, phase)
        team.wait(counters, phase, chunks)


@pytest.mark.slow
def test_every_chunk_is_done_once_and_after_the_phase_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "team_threads", lambda: 4)
    for _ in range(30):
        marks = np.zeros((60, 33), np.int64)
        marks[0] = 1
        team.run(_sum_of_the_phase_before, 60, marks)
        assert (marks == 1).all()


@numba.njit(nogil=True)  # type: ignore[misc]
def _one_tile(
    x: Any, x_step: int, taps: int, tap_step: int, weight: Any, bias: Any, beside: Any, out: Any, floor: float
) -> None:
    depth = weight.shape[0] // taps
    tile(
        x.ctypes.data, x_step, taps, tap_step, depth, weight.ctypes.data, bias.ctypes.data,
        beside.ctypes.data, beside.shape[1] if beside.shape[0] > 1 else 0,
        out.ctypes.data + 4 * out.shape[1], out.shape[1], np.float32(floor),
    )  # fmt: skip


@pytest.mark.parametrize(("x_step", "taps", "tap_step", "depth"), [(1, 3, 80, 3), (32, 3, 500, 96), (64, 1, 0, 7)])
@pytest.mark.parametrize("floor", [0.0, -np.inf])
def test_tile_equals_its_formula_and_writes_nothing_else(
    x_step: int, taps: int, tap_step: int, depth: int, floor: float
) -> None:
    x = aligned_copy(values(2000))
    weight, bias, beside = values(taps * depth, COLUMNS), aligned_copy(values(COLUMNS)), values(ROWS, COLUMNS)
    expected = np.empty((ROWS, COLUMNS))
    for i in range(ROWS):
        inputs = np.concatenate([x[i * x_step + tap * tap_step :][:depth] for tap in range(taps)])
        expected[i] = np.maximum(inputs.astype(np.float64) @ weight + bias + beside[i], floor)
    out = np.full((ROWS + 2, COLUMNS + 16), 99, np.float32)
    _one_tile(x, x_step, taps, tap_step, pack(weight)[0], bias, beside, out, floor)
    close(out[1:-1, :COLUMNS], expected)
    assert (out[[0, -1]] == 99).all()
    assert (out[:, COLUMNS:] == 99).all()


def test_workspace_is_never_assumed_to_be_zero(head: ConvHead, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned = conv_plan.aligned_empty(4_000_000)
    poisoned[:] = np.nan
    monkeypatch.setattr(conv_plan, "aligned_empty", lambda size: poisoned[:size])
    features = mx.array(values(1, 61, 80))
    close(conv_head(features, head), conv_head_ops(features, head))


def test_without_numba_the_reference_is_used(head: ConvHead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "cpu", None)
    monkeypatch.setattr(blocks, "tile", None)
    features, x, block = mx.array(values(1, 20, 80)), mx.array(values(1, 20, 64)), dense(1, 1, True)
    assert np.array_equal(np.array(conv_head(features, head)), np.array(conv_head_ops(features, head)))
    assert np.array_equal(np.array(dense_block(x, block)), np.array(dense_block_ops(x, block)))
    assert NOTHING.shape == (COLUMNS,)


def test_a_change_in_any_kernel_file_gives_new_machine_code(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("from tile import tile")
    (tmp_path / "tile.py").write_text("PREFETCH_BYTES = 0")
    before = jit.cache_folder(tmp_path)
    jit.cache_folder.cache_clear()
    assert jit.cache_folder(tmp_path) == before
    (tmp_path / "tile.py").write_text("PREFETCH_BYTES = 8192")
    jit.cache_folder.cache_clear()
    assert jit.cache_folder(tmp_path) != before
