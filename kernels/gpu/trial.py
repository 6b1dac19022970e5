"""Asks the device, once, whether it runs a kernel: only the device knows how many registers a body needs there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from ..backend import mx


@cache
def runs(kernel: Any, name: str, sample: Callable[..., Any], *arguments: Any) -> bool:
    """Whether `sample(kernel, *arguments)` can be evaluated; if not, a RuntimeWarning names the kernel and the reason.

    Metal limits the threads of a body by the registers it needs, and refuses a larger threadgroup only when the body
    is run. The answer is kept for each kernel and its arguments, so this is asked and said once.
    """
    try:
        mx.eval(sample(kernel, *arguments))
    except (RuntimeError, ValueError) as error:
        message = f"the GPU refuses the kernel {name}, slower MLX operations take its place: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return False
    return True
