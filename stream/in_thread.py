"""Work in a thread for a task that may be cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def finish_in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """What `function` returns, computed in a thread; a cancelled task ends only when it is done.

    A thread cannot be stopped: who would not wait for it could not use what it still changes. A second cancellation
    does not wait.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        work.exception()  # retrieved: nobody is left to be told of it
        raise
