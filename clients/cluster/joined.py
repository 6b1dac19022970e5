"""The Ray cluster at an address."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

from turnstream.errors import TurnstreamError

ANSWERS_S = 5.0


@contextlib.contextmanager
def joined(address: str) -> Iterator[Any]:
    """Ray itself, as a driver of the cluster. Raises TurnstreamError where there is no Ray, or no cluster."""
    try:
        import ray
    except ImportError:
        raise TurnstreamError("expected Ray for --ray: install it with pip install 'turnstream[cluster]'") from None
    _knock(address)
    try:  # without an address, Ray would join any cluster that it finds on this machine
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise TurnstreamError(f"cannot join a Ray cluster at {address}: {sentence(error)}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises TurnstreamError where nothing listens, which Ray itself says after minutes only."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():  # `auto`
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_S).close()
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise TurnstreamError(f"cannot join a Ray cluster at {address}: {reason}") from None


def sentence(error: Exception) -> str:
    """What it says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
