"""The process's memory: how much is in use, what the C library keeps of what was freed, what Python looks through.

By default glibc gives every thread an arena of its own, up to eight a core, and no thread uses what another's arena has
free. A server has tens of threads, each of which needs megabytes for a moment now and then, and in the end each arena
keeps them. Two arenas keep less and cost no processor time (docs/experiments.md). An arena also keeps up to 64 MiB at
its end, once something large was freed in it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from functools import cache

ARENAS = 2
KEPT_BYTES = 16 * 2**20  # at the end of an arena
MAPPED_FROM_BYTES = 32 * 2**20  # larger pieces are not in an arena; as glibc has it once something large was freed
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # as in malloc.h
FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
ENVIRONMENT = "MALLOC_ARENA_MAX"  # what the user says there stays


class _Figures(ctypes.Structure):
    """struct mallinfo2, in bytes."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in FIELDS)
    hblkhd: int
    uordblks: int


@cache
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallinfo2"):  # before 2.33, or another library
        return None
    library.mallinfo2.restype = _Figures
    return library


def limit_arenas() -> None:
    """At most ARENAS of them; to be called before there are threads."""
    if (library := _glibc()) and ENVIRONMENT not in os.environ:
        library.mallopt(M_ARENA_MAX, ARENAS)


def keep_little() -> None:
    """At most KEPT_BYTES of what was freed at the end of an arena are kept in it."""
    if library := _glibc():
        library.mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def leave_to_stay() -> None:
    """Python's collector no longer looks at what there is now, which stays as long as the process.

    With 150,000 objects of loaded modules and models, all threads stood still for 70 ms at each full collection.
    """
    gc.collect()
    gc.freeze()


def trim() -> None:
    """Gives memory that is free back to the system. Takes milliseconds, in which other threads may have to wait."""
    if library := _glibc():
        library.malloc_trim(0)


def allocated_bytes() -> int | None:
    """What is in use, without Python's small objects, which have their own memory; None where it cannot be told."""
    if (library := _glibc()) is None:
        return None
    figures: _Figures = library.mallinfo2()
    return figures.uordblks + figures.hblkhd
