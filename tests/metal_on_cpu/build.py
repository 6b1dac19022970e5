"""Wraps a kernel body in C++ as MLX wraps it for the GPU, compiles it with g++ and loads it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from metal_on_cpu.arrays import cpp_type

HERE = Path(__file__).parent
# Objects live side by side in one process: hidden and not unique, so that none sees another's arrays.
HIDDEN = ("-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-fno-threadsafe-statics")
FLAGS = ("-std=c++20", "-O1", "-U_FORTIFY_SOURCE", "-fsanitize=bounds", *HIDDEN)

# What MLX finds by its name in the body of a Metal kernel, and where the simulator has it.
ATTRIBUTES = {
    "thread_position_in_grid": ("uint3", "sim::position_in_grid(size)"),
    "thread_position_in_threadgroup": ("uint3", "sim::me().position"),
    "threadgroup_position_in_grid": ("uint3", "sim::group"),
    "threads_per_threadgroup": ("uint3", "sim::group_size"),
    "threads_per_grid": ("uint3", "grid"),
    "threadgroups_per_grid": ("uint3", "sim::groups_in(grid, size)"),
    "thread_index_in_threadgroup": ("uint", "sim::me().flat"),
    "thread_index_in_simdgroup": ("uint", "sim::me().flat % sim::SIMD"),
    "simdgroup_index_in_threadgroup": ("uint", "sim::me().flat / sim::SIMD"),
    "threads_per_simdgroup": ("uint", "sim::SIMD"),
    "simdgroups_per_threadgroup": ("uint", "uint(sim::fibers.size() + sim::SIMD - 1) / sim::SIMD"),
}


class Language(Enum):
    METAL = "metal"
    CUDA = "cuda"


@dataclass(frozen=True)
class Parameter:
    name: str
    array: np.ndarray
    is_output: bool

    @property
    def type(self) -> str:
        return ("" if self.is_output else "const ") + cpp_type(self.array.dtype)


def has_compiler() -> bool:
    """Whether the simulator can be used here: what macOS calls g++ is another compiler."""
    return sys.platform == "linux" and shutil.which("g++") is not None


def cpp_source(
    language: Language,
    name: str,
    body: str,
    header: str,
    parameters: Sequence[Parameter],
    template: Sequence[tuple[str, Any]],
) -> str:
    """The whole C++ file: the body between a signature and a `launch` function."""
    metal = language is Language.METAL
    attributes = [a for a in ATTRIBUTES if metal and a in body]
    signature = [f"{_argument_type(p)} {p.name}" for p in parameters] + [f"{ATTRIBUTES[a][0]} {a}" for a in attributes]
    arguments = [_argument(p) for p in parameters] + [ATTRIBUTES[a][1] for a in attributes]
    memories = [
        f'sim::Memory<{p.type}> {p.name}_memory{{"{p.name}", nullptr, 0, sim::Space::{_space(p)}}};' for p in parameters
    ]
    binds = [f"  sim::bind({p.name}_memory, data[{i}], sizes[{i}]);" for i, p in enumerate(parameters)]
    constants = [f"  {_constant(n, v)}" for n, v in template]
    lines = [
        f'#include "{language.value}.h"',
        header,
        "namespace {",
        "uint3 grid, size;",
        *memories,
        f"void {name}({', '.join(signature)}) {{",
        *constants,
        f'#line 1 "{name}"',
        _checked_arrays(body),
        "}",
        f"void entry() {{ {name}({', '.join(arguments)}); sim::finish(); }}",
        "}",
        'extern "C" __attribute__((visibility("default")))',
        "const char* launch(void** data, long* sizes, const uint* g, const uint* s, uint seed) {",
        *binds,
        "  grid = {g[0], g[1], g[2]};",
        f"  size = sim::whole_group(grid, {{s[0], s[1], s[2]}}, {str(metal).lower()});",
        f"  return sim::run_grid(entry, grid, size, {str(metal).lower()}, seed, {32768 if metal else 49152});",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _argument_type(p: Parameter) -> str:
    return p.type if p.array.ndim == 0 else f"sim::View<{p.type}>"


def _argument(p: Parameter) -> str:
    return f"{p.name}_memory.data[0]" if p.array.ndim == 0 else f"sim::view({p.name}_memory)"


def _space(p: Parameter) -> str:
    return "output" if p.is_output else "input"


def _constant(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"constexpr bool {name} = {str(value).lower()};"
    if isinstance(value, int):
        return f"constexpr int {name} = {value};"
    return f"using {name} = {cpp_type(value)};"


def _checked_arrays(body: str) -> str:
    """The body with its threadgroup arrays declared as the simulator's checked ones, on the same lines.

    Errors: ValueError for a declaration that would escape the checks.
    """

    def replace(match: re.Match[str]) -> str:
        element, name, dims = match.groups()
        sizes = dims.strip("[]").replace("][", ", ")
        return f'static sim::Shared<{element}, {sizes}> {name}("{name}");'

    shared = r"\b(?:threadgroup|__shared__)\s+"
    align = r"(?:(?:__align__|alignas)\(\d+\)\s+)?"
    checked = re.sub(shared + align + r"(\w+(?:<[^>]*>)?)\s+(\w+)((?:\[[^\]]+\])+);", replace, body)
    missed = re.search(r"(?:^|[;{}])\s*" + shared + r"[^;()*]*;", checked, re.MULTILINE)
    if missed:
        raise ValueError(f"expected `threadgroup T name[size];`, got `{missed.group().strip()}`")
    return checked


@cache
def load(source: str) -> ctypes.CDLL:
    """Compile (once a machine and version: the object is kept in the temporary folder) and load."""
    library = _cache_folder() / f"{_digest(source)}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
            _compile(source, Path(scratch)).replace(library)
    loaded = ctypes.CDLL(str(library))
    loaded.launch.restype = ctypes.c_char_p
    return loaded


@cache
def _cache_folder() -> Path:
    """Where objects of this version of the headers are kept, with the headers compiled once for all."""
    headers = sorted(HERE.glob("*.h"))
    folder = Path(tempfile.gettempdir()) / f"metal_on_cpu-{os.getuid()}" / _digest(*[h.read_text() for h in headers])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for language in Language:
        compiled = folder / f"{language.value}.h.gch"
        if not compiled.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                made = Path(scratch) / compiled.name
                _gxx("-w", "-x", "c++-header", str(HERE / f"{language.value}.h"), "-o", str(made))
                made.replace(compiled)
    return folder


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join((*texts, *FLAGS)).encode()).hexdigest()[:20]


def _compile(source: str, scratch: Path) -> Path:
    cpp, obj, so = (scratch / name for name in ("kernel.cpp", "kernel.o", "kernel.so"))
    cpp.write_text(source)
    _gxx(f"-I{_cache_folder()}", f"-I{HERE}", "-c", str(cpp), "-o", str(obj))
    # Linked without -fsanitize, so that the checks of private arrays report to the simulator and not to libubsan.
    subprocess.run(["g++", "-shared", str(obj), "-o", str(so)], check=True)
    return so


def _gxx(*arguments: str) -> None:
    run = subprocess.run(["g++", *FLAGS, *arguments], capture_output=True, text=True)
    if run.returncode:
        raise SyntaxError(f"g++ refused the kernel:\n{run.stderr}")
