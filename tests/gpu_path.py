"""The GPU path forced on the CPU: `python -m pytest -p tests.gpu_path`. No CPU kernel is used and Numba is absent.

Operations that MLX would run on a GPU run on MLX's CPU device, so arrays of the wrong kind fail here as on a Mac.
"""

from __future__ import annotations

import sys


def force() -> None:
    """Before anything else of turnstream is imported."""
    loaded = [name for name in sys.modules if name.startswith("turnstream.") and "kernels" in name]
    assert not loaded, f"expected nothing loaded yet, got {loaded}"
    sys.modules["numba"] = None  # type: ignore[assignment]  # every import of it fails
    from turnstream.kernels import backend

    backend.on_cpu = lambda: False


force()
