"""The Ray cluster at an address."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from turnstream.errors import TurnstreamError


@contextlib.contextmanager
def joined(address: str) -> Iterator[Any]:
    """Ray itself, as a driver of the cluster. Raises TurnstreamError where there is no Ray, or no cluster."""
    try:
        import ray
    except ImportError:
        raise TurnstreamError("expected Ray for --ray: install it with pip install 'turnstream[cluster]'") from None
    try:  # without an address, Ray would join any cluster that it finds on this machine
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise TurnstreamError(f"cannot join a Ray cluster at {address}: {sentence(error)}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def sentence(error: Exception) -> str:
    """What it says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
