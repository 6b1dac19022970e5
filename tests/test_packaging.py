"""The wheel: what is in it, and that it runs from site-packages alone, beside anybody else's `kernels`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

from turnstream.weights.store import demo_recording, models_where

LIMIT_S = 300
MARK = "somebody else's kernels"
BUILD_SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
pip_and_weights = [pytest.mark.slow, pytest.mark.network]


def run(*command: object, cwd: Path, **more: str) -> str:
    """What it says on stdout, in an environment that knows nothing of this checkout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))} | more
    words = [str(word) for word in command]
    ran = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def build_wheel(source: Path, out: Path) -> Path:
    """Without a warning of setuptools."""
    log = out.with_suffix(".log")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--log", log]
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", out, source, cwd=out.parent)
    assert "Warning" not in log.read_text()
    (wheel,) = out.glob("*.whl")
    return wheel


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


@dataclass(frozen=True)
class Environment:
    """A new virtual environment: the wheel, a dummy `kernels`, and the dependencies of the one that runs this."""

    folder: Path
    elsewhere: Path
    installed: set[str]

    def run(self, program: str, *arguments: object) -> str:
        command = self.folder / "bin" / program
        return run(command, *arguments, cwd=self.elsewhere, TURNSTREAM_CACHE=str(models_where()))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that nothing of an earlier build gets in."""
    folder = tmp_path_factory.mktemp("source") / "turnstream"
    for part in ("stream", "kernels", "clients"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY_LICENSES.md"):
        shutil.copy(ROOT / part, folder / part)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp("build") / "wheel")


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder, elsewhere = tmp_path_factory.mktemp("fresh") / "venv", tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=elsewhere)
    (packages,) = folder.glob("lib/python*/site-packages")
    before = set(os.listdir(packages))
    pip = [sys.executable, "-m", "pip", "--python", folder, "install", "--no-deps", "--no-index", "--quiet"]
    run(*pip, wheel, cwd=elsewhere)
    installed = set(os.listdir(packages)) - before
    (packages / "kernels").mkdir()
    (packages / "kernels" / "__init__.py").write_text(f"MARK = {MARK!r}\n")
    # Path files in a folder that a path file names are not read: the editable install stays out.
    dependencies = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return Environment(folder, elsewhere, installed)


def test_every_package_is_listed() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {folder: name for name, folder in setup["package-dir"].items()}
    inits = [file.relative_to(ROOT).parent.parts for top in folders for file in (ROOT / top).rglob("__init__.py")]
    names = {".".join((folders[top], *parts)) for top, *parts in inits}
    assert names <= set(setup["packages"])
    assert len(setup["packages"]) == len(set(setup["packages"]))


class TestWheel:
    pytestmark = pip_and_weights

    def test_one_name_at_the_top(self, wheel: Path) -> None:
        tops = {name.split("/")[0] for name in contents(wheel)}
        (info,) = tops - {"turnstream"}
        assert info.startswith("turnstream-")
        assert info.endswith(".dist-info")

    def test_every_file_is_in_it(self, source: Path, wheel: Path) -> None:
        expected = {str(file.relative_to(source)) for file in source.glob("stream/**/*") if file.is_file()}
        expected = {name.replace("stream/", "turnstream/", 1) for name in expected}
        for top in ("kernels", "clients"):
            files = (file for file in source.glob(f"{top}/**/*") if file.is_file() and file.name != "README.md")
            expected |= {f"turnstream/{file.relative_to(source)}" for file in files}
        packed = {name for name in contents(wheel) if ".dist-info/" not in name}
        assert packed == expected
        assert {"turnstream/py.typed", "turnstream/clients/web/index.html"} <= packed

    def test_the_sdist_builds_the_same(self, source: Path, wheel: Path, tmp_path: Path) -> None:
        name = run(sys.executable, "-c", BUILD_SDIST, tmp_path, cwd=source).splitlines()[-1]
        with tarfile.open(tmp_path / name) as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
        (unpacked,) = (tmp_path / "unpacked").iterdir()
        assert contents(build_wheel(unpacked, tmp_path / "again")) == contents(wheel)


class TestInstalled:
    pytestmark = pip_and_weights

    def test_nothing_else_is_installed(self, environment: Environment) -> None:
        assert "turnstream" in environment.installed
        assert all(name.startswith("turnstream") for name in environment.installed), environment.installed

    def test_another_package_called_kernels_is_left_alone(self, environment: Environment) -> None:
        code = "import turnstream.kernels.backend as own, kernels; print(own.__file__, kernels.MARK, sep='\\n')"
        own, mark = environment.run("python", "-c", code).splitlines()
        assert Path(own).is_relative_to(environment.folder)
        assert mark == MARK

    def test_the_command_says_its_version(self, environment: Environment) -> None:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert version in environment.run("turnstream", "--version")

    def test_a_recording_gives_turns(self, environment: Environment) -> None:
        lines = environment.run("turnstream", "file", demo_recording()[0], "--json").splitlines()
        final = json.loads(lines[-1])
        assert final["type"] == "final"
        assert final["turns"]
