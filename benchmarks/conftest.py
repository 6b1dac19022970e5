"""`pytest benchmarks/bench_*.py --results FOLDER` writes what is printed as a result file too, one for each module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import Figure, Result


@dataclass
class Found:
    """What the tests of one module measured; they fill it, and nothing is written where one of them failed."""

    figures: dict[str, Figure] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    data: list[dict[str, Any]] = field(default_factory=list)


def pytest_addoption(parser: pytest.Parser) -> None:
    """See the head of this file."""
    parser.addoption("--results", type=Path, metavar="FOLDER", help="write the figures there, as NAME.json")


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Iterator[Found]:
    """Written when the module is done; `bench_engine.py` makes `engine.json`."""
    load, filled, failed = os.getloadavg()[0], Found(), request.session.testsfailed
    yield filled
    folder = request.config.getoption("--results")
    module = Path(request.module.__file__).name
    if folder and filled.figures and request.session.testsfailed == failed:
        name = module.removeprefix("bench_").removesuffix(".py")
        libraries = ("torch", "onnxruntime")
        Result(
            name,
            f"pytest benchmarks/{module} -s",
            filled.figures,
            filled.parameters,
            data=filled.data,
            load=load,
            libraries=libraries,
        ).write(folder)
