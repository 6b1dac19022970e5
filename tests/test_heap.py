"""What the server's memory is: how much is in use, how much is only kept, and that it is given back."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from typing import Any

import numpy as np
import psutil
import pytest
from server_kit import serving
from silent_diarizer import SilentDiarizer
from test_metrics import figures_of

from turnstream import heap
from turnstream.server import upkeep

MIB = 1 << 20
PIECE = 100_000  # bytes; larger ones may have a mapping of their own
MANY = 1000

pytestmark = pytest.mark.skipif(heap.allocated_bytes() is None, reason="only glibc 2.33 and newer tell")


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def fragments() -> np.ndarray:
    """Frees most of what it allocates, but not the last piece of the heap, which is returned."""
    pieces = [np.ones(PIECE, np.uint8) for _ in range(MANY)]
    return pieces[-1]


def test_memory_in_use_is_told_apart_from_what_is_kept() -> None:
    before = heap.allocated_bytes()
    assert before is not None
    pieces = [np.ones(PIECE, np.uint8) for _ in range(MANY)]
    used = heap.allocated_bytes()
    assert used is not None
    assert PIECE * MANY <= used - before < 1.2 * PIECE * MANY
    del pieces
    after = heap.allocated_bytes()
    assert after is not None
    assert after - before < MIB


def test_what_was_freed_is_given_back() -> None:
    last = fragments()
    before = resident()
    heap.trim()
    assert before - resident() > 0.8 * PIECE * MANY
    assert last.all()


def test_a_server_gives_back_what_it_does_not_use_and_tells_what_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "TRIM_S", 0.05)
    diarizer: Any = SilentDiarizer()

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            last = fragments()
            before = resident()
            await asyncio.sleep(0.5)
            assert before - resident() > 0.8 * PIECE * MANY
            figures = await figures_of(url)
            assert figures["turnstream_allocated_bytes", ""] == pytest.approx(heap.allocated_bytes(), abs=MIB)
            assert figures["turnstream_python_blocks", ""] == pytest.approx(sys.getallocatedblocks(), rel=0.02)
            assert figures["process_resident_memory_bytes", ""] == pytest.approx(resident(), abs=4 * MIB)
            assert last.all()

    asyncio.run(asyncio.wait_for(client(), 60))


ARENAS = """
import ctypes, sys, tempfile, threading
from turnstream.heap import limit_arenas
if sys.argv[1] == "limited":
    limit_arenas()
libc, all_there = ctypes.CDLL(None), threading.Barrier(9)
libc.malloc.restype = ctypes.c_void_p
def use():
    libc.malloc(1000)
    all_there.wait()
for _ in range(8):
    threading.Thread(target=use).start()
all_there.wait()
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap nr="))
"""


@pytest.mark.parametrize(
    ("environment", "limit", "least", "most"),
    [({}, "limited", 1, heap.ARENAS), ({}, "free", 3, 9), ({heap.ENVIRONMENT: "4"}, "limited", 3, 4)],
)
def test_threads_share_arenas_unless_the_user_says_how_many(
    environment: dict[str, str], limit: str, least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(heap.ENVIRONMENT, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "-c", ARENAS, limit], capture_output=True, text=True, check=True)
    assert least <= int(done.stdout) <= most


LARGE = """
import sys, psutil
import numpy as np
from turnstream.heap import keep_little
if sys.argv[1] == "little":
    keep_little()
np.ones(30 << 20, np.uint8)  # from now on glibc takes such pieces from an arena
before = psutil.Process().memory_info().rss
np.ones(30 << 20, np.uint8)
print(psutil.Process().memory_info().rss - before)
"""


@pytest.mark.parametrize(("kept", "least", "most"), [("little", 0, 17), ("more", 25, 32)])
def test_a_command_keeps_little_of_what_was_freed(kept: str, least: int, most: int) -> None:
    done = subprocess.run([sys.executable, "-c", LARGE, kept], capture_output=True, text=True, check=True)
    assert least <= int(done.stdout) / MIB <= most


def test_what_there_is_at_the_start_is_not_looked_through_again() -> None:
    heap.leave_to_stay()
    try:
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1_000
    finally:
        gc.unfreeze()
