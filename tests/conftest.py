"""Shared fixtures: where the real recordings are, and a clear skip where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def speech_data() -> Path:
    """The folder of real speech (ami/, speakers/, sim_dev/, ...), beside the checkout or named by TURNSTREAM_DATA."""
    path = Path(os.environ.get("TURNSTREAM_DATA", ROOT.parent / "shared" / "data"))
    if not (path / "ami").is_dir():
        pytest.skip(f"no real-speech folder at {path}: set TURNSTREAM_DATA to run this")
    return path
