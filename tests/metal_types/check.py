"""What is wrong with a Metal source, as far as Clang and a walk over its syntax tree can tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from clang.cindex import Cursor, CursorKind, Diagnostic, Index, TypeKind

HERE = Path(__file__).parent
FLAGS = [
    *("-x", "clcpp", "-cl-std=clc++2021", "-target", "x86_64-unknown-linux-gnu", "-cl-no-stdinc", f"-I{HERE}"),
    *("-Xclang", "-cl-ext=-all,+cl_khr_fp16,-__opencl_c_generic_address_space", "-Xclang", "-fno-signed-char"),
    *("-Wall", "-Wextra", "-Wconversion"),
    # what bodies may do: indices of either sign, loop pragmas, a local of an argument's name
    *("-Wno-sign-conversion", "-Wno-sign-compare", "-Wno-implicit-int-float-conversion", "-Wno-shadow"),
    *("-Wno-unknown-attributes", "-Wno-unused-parameter", "-Wno-pass-failed"),
]
CONSTRUCTED = re.compile(r"(?<![\w:<])((?:float|half|bfloat|u?int|u?short|bool)[234])\(")
BARRIERS = ("threadgroup_barrier", "simdgroup_barrier")
FUNCTION = CursorKind.FUNCTION_DECL
WRITES = (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR)


def faults(metal: str) -> list[str]:
    """One line for each fault, with its line in the body; empty for a source that passes."""
    text = as_opencl(metal)
    unit = Index.create().parse("body.clcpp", args=FLAGS, unsaved_files=[("body.clcpp", text)])
    said = [f"{d.location.line}: {d.spelling}" for d in unit.diagnostics if d.severity >= Diagnostic.Warning]
    return [*said, *component_writes(unit.cursor), *barriers_that_some_miss(unit.cursor)]


def as_opencl(metal: str) -> str:
    """The kernel as C++ for OpenCL: one instance of the template, constructors of vectors as calls."""
    head = re.search(r"template <(.*)>\n\[\[kernel\]\] void (\w+)\(", metal)
    assert head, "expected a kernel as MLX writes it"
    end = metal.rindex("\ntemplate [[host_name")
    instance = re.search(re.escape(head[2]) + r"<([^<>]*)> *\) *" + re.escape(head[2]), metal[end:])
    assert instance, "expected one instance of the kernel"
    values = zip(head[1].split(", "), instance[1].split(", "), strict=True)
    template = [constant(*parameter.split(), value) for parameter, value in values]
    lines = ['#include "metal_stdlib.h"', metal[: head.start()], *template, '#line 1 "body"', "__kernel void entry("]
    return CONSTRUCTED.sub(r"vector_of_<\1>(", "\n".join(lines) + metal[head.end() : end])


def constant(kind: str, name: str, value: str) -> str:
    """A template parameter that has its value."""
    return f"typedef {value} {name};" if kind == "typename" else f"constant constexpr {kind} {name} = {value};"


def component_writes(unit: Cursor) -> Iterator[str]:
    """Assignments to v[i] or v.x of a vector v in shared memory, which Metal may carry out as a write of all of v."""
    for node in unit.walk_preorder():
        if node.kind in WRITES and is_assignment(node) and is_shared_vector(base_of(next(node.get_children()))):
            yield f"{node.location.line}: one component of a vector in shared memory is written"


def is_assignment(node: Cursor) -> bool:
    """Whether a binary operator is `=`; all compound ones assign."""
    if node.kind is CursorKind.COMPOUND_ASSIGNMENT_OPERATOR:
        return True
    left, right = node.get_children()
    between = range(left.extent.end.offset, right.extent.start.offset)
    return any(token.spelling == "=" and token.extent.start.offset in between for token in node.get_tokens())


def base_of(place: Cursor) -> Cursor | None:
    """v of `v[i]` or `v.x`, without parentheses and conversions."""
    base = next(place.get_children(), None)
    while base is not None and base.kind in (CursorKind.UNEXPOSED_EXPR, CursorKind.PAREN_EXPR) and not is_vector(base):
        base = next(base.get_children(), None)
    return base


def is_vector(node: Cursor) -> bool:
    return node.type.get_canonical().kind is TypeKind.EXTVECTOR


def is_shared_vector(node: Cursor | None) -> bool:
    spaces = ("__global", "__local")
    return node is not None and is_vector(node) and any(s in node.type.get_canonical().spelling for s in spaces)


def barriers_that_some_miss(unit: Cursor) -> Iterator[str]:
    """Barriers in a branch, or behind a `return`: threads that wait for others that never come."""
    (kernel,) = (node for node in unit.walk_preorder() if node.kind is FUNCTION and node.spelling == "entry")
    returns = [node.location.offset for node in kernel.walk_preorder() if node.kind is CursorKind.RETURN_STMT]
    branches = (node for node in kernel.walk_preorder() if node.kind is CursorKind.IF_STMT)
    yield from (f"{line}: a barrier in a branch" for branch in branches for line, _ in barriers(branch))
    yield from (f"{line}: a barrier behind a return" for line, at in barriers(kernel) if at > min(returns, default=at))


def barriers(node: Cursor) -> list[tuple[int, int]]:
    """Line and offset of each."""
    calls = (n for n in node.walk_preorder() if n.kind is CursorKind.CALL_EXPR and n.spelling in BARRIERS)
    return [(call.location.line, call.location.offset) for call in calls]
