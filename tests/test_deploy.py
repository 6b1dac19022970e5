"""The files of deploy/: what can be checked without systemd and Docker; nginx and Caddy have tests of their own."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from turnstream.clients.arguments import parser

DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "turnstream.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def setting(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(found)


def test_systemd_understands_the_unit(tmp_path: Path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt install systemd)")
    unit = tmp_path / "turnstream.service"
    unit.write_text(UNIT.replace("/opt/turnstream/bin/turnstream", sys.executable))
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("Type=exec", "Typ=exec"))
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert "Typ" in found.stderr


def test_the_unit_starts_the_server_and_gives_it_time_to_stop():
    command = setting("ExecStart").replace("/etc/turnstream/turnstream.toml", str(DEPLOY / "turnstream.toml"))
    args = parser().parse_args(shlex.split(command)[1:])
    assert (args.command, args.token_file) == ("serve", "%d/token")
    assert int(setting("TimeoutStopSec")) > args.shutdown_s


def test_the_image_starts_the_server():
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    args = parser().parse_args(json.loads(entry)[1:])
    assert args.host == "0.0.0.0"
    assert f"EXPOSE {args.port}" in DOCKERFILE
    (stop,) = re.findall(r"--stop-timeout (\d+)", DOCKERFILE)
    assert int(stop) > args.shutdown_s
