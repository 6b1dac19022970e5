"""Checkpoints are read as torch reads them, and no checkpoint can do anything but be read."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from turnstream.errors import WeightsError
from turnstream.weights.checkpoint import parse_safetensors, read_checkpoint
from turnstream.weights.unpickler import unpickle

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = np.arange(12, dtype="<f4")


class Ops(bytes):
    """A piece of a pickle that leaves one object on the stack."""


def ops(value: object) -> bytes:
    """Pickle opcodes for plain values and for containers in which some values are given as Ops."""
    if isinstance(value, Ops):
        return value
    if isinstance(value, dict):
        return b"}(" + b"".join(ops(key) + ops(item) for key, item in value.items()) + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(ops, value)) + b"t"
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> Ops:
    return Ops(f"c{module}\n{attribute}\n".encode())


def call(function: bytes, *arguments: object) -> Ops:
    return Ops(function + ops(arguments) + b"R")


def tensor(size: tuple, stride: tuple, offset: object = 0, key: str = "0", storage: str = "FloatStorage") -> Ops:
    reference = Ops(ops(("storage", name("torch", storage), key, "cpu", 12)) + b"Q")
    return call(name("torch._utils", "_rebuild_tensor_v2"), reference, offset, size, stride, False, {})


def write(
    path: Path, pickled: object, numbers: bytes = NUMBERS.tobytes(), compression: int = 0, **extra: bytes
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        data = pickled if type(pickled) is bytes else b"\x80\x02" + ops(pickled) + b"."
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", numbers)
        for member, content in extra.items():
            archive.writestr(f"archive/{member}", content)
    return path


@pytest.mark.parametrize("kind", ["plain", "lightning"])
def test_reads_what_torch_saved(kind: str) -> None:
    with np.load(GOLDEN / f"checkpoint_{kind}.npz") as expected:
        found = read_checkpoint(GOLDEN / f"checkpoint_{kind}.pt")
        assert sorted(found) == sorted(expected)
        for key in expected:
            assert found[key].dtype == expected[key].dtype
            np.testing.assert_array_equal(found[key], expected[key], strict=True, err_msg=key)


def test_handmade_checkpoint_is_read(tmp_path: Path) -> None:
    """The hostile files below are made like this one, so what they fail for is not the way they are made."""
    found = read_checkpoint(write(tmp_path / "a.pt", {"a": tensor((3, 2), (2, 1), 4), "note": "text"}))
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"], NUMBERS[4:10].reshape(3, 2))


def test_big_endian_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", {"a": tensor((12,), (1,))}, NUMBERS.astype(">f4").tobytes(), byteorder=b"big")
    np.testing.assert_array_equal(read_checkpoint(path)["a"], NUMBERS)


def touch(path: Path) -> str:
    return f"touch {path}"


HOSTILE = {
    "os.system": lambda mark: call(name("os", "system"), touch(mark)),
    "posix.system": lambda mark: call(name("posix", "system"), touch(mark)),
    "stack global": lambda mark: call(ops("os") + ops("system") + b"\x93", touch(mark)),
    "instance": lambda mark: Ops(b"(" + ops(touch(mark)) + b"ios\nsystem\n"),
    "object": lambda mark: Ops(b"(" + name("os", "system") + ops(touch(mark)) + b"o"),
    "new object": lambda mark: Ops(name("subprocess", "Popen") + ops((["touch", str(mark)],)) + b"\x81"),
    "eval": lambda mark: call(name("builtins", "eval"), f"__import__('os').system('touch {mark}')"),
    "getattr": lambda mark: call(call(name("builtins", "getattr"), name("os", "path"), "os.system"), touch(mark)),
    "known module": lambda mark: call(name("torch._utils", "os.system"), touch(mark)),
    "storage type": lambda mark: call(name("torch", "FloatStorage.__init__.__globals__"), touch(mark)),
    "state": lambda mark: Ops(
        call(name("torch._utils", "_rebuild_tensor_v2.x")) + ops({"__class__": touch(mark)}) + b"b"
    ),
    "state of a name": lambda mark: Ops(name("os", "system") + ops((None, {"__new__": touch(mark)})) + b"b"),
    "items": lambda mark: Ops(call(name("os", "environ")) + b"(" + ops("MARK") + ops(str(mark)) + b"u"),
    "list items": lambda mark: Ops(call(name("sys", "path")) + b"(" + ops(str(mark)) + b"e"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_foreign_callables_are_never_executed(hostile: str, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = write(tmp_path / "a.pt", {"state_dict": {"a": tensor((12,), (1,))}, "extra": HOSTILE[hostile](mark)})
    np.testing.assert_array_equal(read_checkpoint(path)["a"], NUMBERS)
    assert not mark.exists()
    assert "MARK" not in os.environ


def test_hostile_samples_would_do_harm_elsewhere(tmp_path: Path) -> None:
    """Python's own unpickler executes the first sample: the test above can fail."""
    mark = tmp_path / "executed"
    pickle.loads(b"\x80\x02" + ops(HOSTILE["os.system"](mark)) + b".")
    assert mark.exists()


def test_hostile_values_inside_the_state_dict_are_left_out(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = write(tmp_path / "a.pt", {"a": tensor((2,), (1,)), "b": HOSTILE["os.system"](mark)})
    assert list(read_checkpoint(path)) == ["a"]
    assert not mark.exists()


BROKEN = {
    "beyond the storage": {"a": tensor((13,), (1,))},
    "offset beyond": {"a": tensor((1,), (1,), 12)},
    "stride beyond": {"a": tensor((3,), (6,))},
    "negative offset": {"a": tensor((1,), (1,), -1)},
    "negative stride": {"a": tensor((2,), (-1,), 3)},
    "negative size": {"a": tensor((-1,), (1,))},
    "size and stride of different length": {"a": tensor((2, 2), (1,))},
    "too many dimensions": {"a": tensor((1,) * 99, (0,) * 99)},
    "more elements than memory": {"a": tensor((1 << 60, 1 << 60), (0, 0))},
    "half a number": {"a": tensor((1,), (1,), storage="LongStorage", key="half")},
    "missing storage": {"a": tensor((1,), (1,), key="1")},
    "offset is no number": {"a": tensor((1,), (1,), "0")},
    "storage is no storage": {"a": call(name("torch._utils", "_rebuild_tensor_v2"), "0", 0, (1,), (1,))},
    "other reference": {"a": Ops(ops(("module", "x", "y", "z", 1)) + b"Q")},
    "list": [1, 2],
    "one object": call(name("os", "getcwd")),
    "truncated pickle": b"\x80\x02}(",
    "empty pickle": b"",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_malformed_checkpoints_are_refused(broken: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", BROKEN[broken], **{"data/half": b"1234567"})
    with pytest.raises(WeightsError, match=r"a\.pt (is damaged|holds no state dict)"):
        read_checkpoint(path)


def test_error_of_a_short_storage_has_both_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", {"a": tensor((7, 2), (2, 1), 1)})
    with pytest.raises(WeightsError, match="tensor a needs 15 numbers, got 12"):
        read_checkpoint(path)


def test_pickle_cannot_ask_for_a_huge_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", b"\x80\x02}r\x00\x00\x10\x00.")
    with pytest.raises(WeightsError, match="memo index 1048576 in 9 bytes"):
        read_checkpoint(path)


def doubled(levels: int) -> Ops:
    """A tuple that holds itself twice, over and over."""
    return Ops(b")" + b"2\x86" * levels)


WORK = {
    "doubled tuple as a name": {doubled(40): 1},
    "doubled tuple in a tensor": {"a": tensor((1,), (1,), doubled(40))},
    "doubled tuple in a reference": {"a": Ops(ops((doubled(40), "y", "z", "cpu", 1)) + b"Q")},
    "doubled tuple in a set": Ops(b"\x8f(" + doubled(40) + b"\x90"),
    "deep tuple as a name": {Ops(b")" + b"\x85" * 900_000): 1},
    "one tuple in many names": Ops(b"}" + b")" + b"2\x86" * 15 + b"q\x000" + b"h\x00Ns" * 10_000),
    "many objects": Ops(b"]" + b"]0" * 160_000),
    "numbers of one hash": Ops(b"}" + b"G\x00\x00\x00\x00\x00\x00\x00\x00Ns" * 10_001),
}


@pytest.mark.parametrize("work", WORK)
def test_a_small_pickle_cannot_ask_for_much_work(work: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", WORK[work])
    with pytest.raises(WeightsError, match="expected the work of reading a checkpoint, got more"):
        read_checkpoint(path)


def test_a_list_of_pairs_is_no_way_around_the_budget(tmp_path: Path) -> None:
    """An OrderedDict made from a list would hash names that the budget has not counted; torch makes them empty."""
    pairs = call(name("collections", "OrderedDict"), [["a", 1]])
    assert unpickle(b"\x80\x02" + pairs + b".") == {}


def write_overlapping(path: Path, pickled: object, keys: list[str], numbers: bytes) -> None:
    """A zip in which every storage holds the headers and the numbers of all those behind it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + ops(pickled) + b".")
        start, body, infos = archive.start_dir, numbers, []
        for key in reversed(keys):
            info = zipfile.ZipInfo(f"archive/data/{key}")
            info.file_size = info.compress_size = len(body)
            info.CRC = zlib.crc32(body)
            body = info.FileHeader() + body
            info.header_offset = -len(body)
            infos.append(info)
        for info in infos:
            info.header_offset += start + len(body)
        archive.fp.seek(start)
        archive.fp.write(body)
        archive.start_dir = start + len(body)
        archive.filelist += infos


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    keys = [f"{number:02d}" for number in range(50)]
    tensors = {key: tensor((1,), (1,), key=key, storage="ByteStorage") for key in keys}
    write_overlapping(tmp_path / "a.pt", tensors, keys, bytes(100_000))
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert sum(info.file_size for info in archive.infolist()) > 5_000_000
    with pytest.raises(WeightsError, match=r"its parts are longer than the file|[Oo]verlap"):
        read_checkpoint(tmp_path / "a.pt")


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", {"a": tensor((1,), (1,))}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="compressed"):
        read_checkpoint(path)


def test_flipped_bit_in_the_numbers_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", {"a": tensor((12,), (1,))})
    data = path.read_bytes()
    position = data.index(NUMBERS.tobytes())
    path.write_bytes(data[:position] + b"\x01" + data[position + 1 :])
    with pytest.raises(WeightsError, match="damaged"):
        read_checkpoint(path)


GOOD = (GOLDEN / "checkpoint_plain.pt").read_bytes()
with zipfile.ZipFile(GOLDEN / "checkpoint_plain.pt") as _archive:
    GOOD_PICKLE = _archive.read("checkpoint_plain/data.pkl")


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GOOD_PICKLE) - 1), st.binary(max_size=6), st.integers(0, 6))
@example(0, b"", len(GOOD_PICKLE))
def test_any_damage_to_the_pickle_gives_tensors_or_one_error(tmp_path, position, inserted, removed) -> None:
    damaged = GOOD_PICKLE[:position] + inserted + GOOD_PICKLE[position + removed :]
    path = write(tmp_path / "a.pt", damaged, NUMBERS.tobytes() * 20)
    with contextlib.suppress(WeightsError):
        assert all(isinstance(array, np.ndarray) for array in read_checkpoint(path).values())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GOOD) - 1))
@example(0)
@example(4)
def test_truncated_files_give_one_error(tmp_path, length) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(GOOD[:length])
    with pytest.raises(WeightsError, match=r"a\.pt"):
        read_checkpoint(path)


def test_unreadable_files_give_one_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read the checkpoint .*nowhere\.pt: No such file"):
        read_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(WeightsError, match="Is a directory"):
        read_checkpoint(tmp_path)
    (tmp_path / "legacy.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsError, match=r"expected \.safetensors, or the zip format"):
        read_checkpoint(tmp_path / "legacy.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(WeightsError, match=r"expected one data\.pkl, got 0"):
        read_checkpoint(tmp_path / "other.pt")


def test_safetensors(tmp_path: Path) -> None:
    expected = {dtype: (10 * np.arange(6).reshape(2, 3)).astype(dtype) for dtype in ("f2", "f4", "f8", "i8", "u1", "?")}
    save_file(expected, tmp_path / "a.safetensors")
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, strict=True)
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-1])
    with pytest.raises(WeightsError, match="not a valid safetensors file"):
        read_checkpoint(tmp_path / "a.safetensors")


def safetensors_of(dtype: str, data: bytes) -> bytes:
    entry = {"dtype": dtype, "shape": [2], "data_offsets": [0, len(data)]}
    header = json.dumps({"a": entry}).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_safetensors_bfloat16_and_unknown_dtypes() -> None:
    bits = np.array([1.5, -2.0], "<f4").view("<u4") >> 16
    np.testing.assert_array_equal(
        parse_safetensors(safetensors_of("BF16", bits.astype("<u2").tobytes()), "x")["a"], np.float32([1.5, -2.0])
    )
    with pytest.raises(WeightsError, match="x: tensor a has the unsupported dtype F8_E4M3"):
        parse_safetensors(safetensors_of("F8_E4M3", b"12"), "x")


@pytest.mark.parametrize("shape", [[1] * 100, [2**62, 2**62, 0], [2**63, 0], [0, 2**63 - 1]])
def test_safetensors_of_impossible_shapes_give_one_error(shape: list[int]) -> None:
    data = b"" if 0 in shape else b"1234"
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    with pytest.raises(WeightsError, match=r"^x is (damaged: tensor a: |not a valid safetensors file)"):
        parse_safetensors(len(header).to_bytes(8, "little") + header + data, "x")


def test_an_error_is_short_and_on_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", {"a\n" * 100_000: tensor((13,), (1,)), ("key",) * 3: 1})
    with pytest.raises(WeightsError, match="needs 13 numbers, got 12") as caught:
        read_checkpoint(path)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_names_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    deep = Ops(b")" + b"\x85" * 3000)
    path = write(tmp_path / "a.pt", {"a": tensor((12,), (1,)), deep: tensor((12,), (1,)), 7: tensor((12,), (1,))})
    assert list(read_checkpoint(path)) == ["a"]


@pytest.mark.parametrize("name", ["pipe.pt", "pipe.safetensors"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(WeightsError, match="expected a regular file, got a pipe or a device"):
        read_checkpoint(tmp_path / name)
