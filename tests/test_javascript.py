"""The JavaScript client: its own tests in Node, its types in the TypeScript compiler, both on what is served."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import soundfile
from conftest import ROOT
from node import node_with_websocket
from served import Served

from turnstream.protocol.typescript import declarations
from turnstream.weights.store import demo_recording

PACKAGE, TESTS = ROOT / "clients" / "web" / "client", ROOT / "tests" / "javascript"
TYPE_CHECK = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext")
LIMIT_S = 120
MISSING_MEMBERS = """
import * as client from "%s";
globalThis.WebSocket = class { close() {} };
const made = {
    Connection: new client.Connection("ws://x", {}, { message() {}, state() {} }),
    Edits: new client.Edits(new client.Transcript()),
    SendBuffer: new client.SendBuffer(2),
    Transcript: new client.Transcript(),
};
for (const [name, members] of Object.entries(%s))
    for (const member of members)
        if (!(member in made[name]) && !(member in client[name])) console.log(name, member);
process.exit();
"""


def run(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
    words = [*map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, env=os.environ | env)


def test_the_types_of_messages_are_those_of_the_protocol() -> None:
    stored = (PACKAGE / "messages.d.ts").read_text()
    assert stored == declarations(), "python -m turnstream.protocol.typescript > clients/web/client/messages.d.ts"


def test_the_package_has_the_version_of_the_program() -> None:
    program = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert json.loads((PACKAGE / "package.json").read_text())["version"] == program


def test_what_has_no_socket() -> None:
    tests = [TESTS / f"{name}.test.mjs" for name in ("edits", "formats", "send-buffer", "transcript")]
    done = run(*node_with_websocket(), "--test", *tests)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_sessions_on_a_real_server(server: Served, tmp_path: Path) -> None:
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16", start=100_000, stop=292_000)
    (tmp_path / "talk.pcm").write_bytes(samples.tobytes())
    env = {"TURNSTREAM_URL": f"ws://{server.address}/v1", "TURNSTREAM_PCM": str(tmp_path / "talk.pcm")}
    done = run(*node_with_websocket(), "--test", TESTS / "connection.test.mjs", **env)
    assert done.returncode == 0, done.stdout


def test_the_declared_types_are_those_of_the_code(tmp_path: Path) -> None:
    declared = (PACKAGE / "index.d.ts").read_text()
    classes = re.findall(r"^export class (\w+) \{\n(.*?)^\}", declared, re.MULTILINE | re.DOTALL)
    members = {name: re.findall(r"^  (?:static |readonly )*(\w+)[(:]", body, re.MULTILINE) for name, body in classes}
    assert set(members) == {"Connection", "Edits", "SendBuffer", "Transcript"}
    check = tmp_path / "check.mjs"
    check.write_text(MISSING_MEMBERS % (PACKAGE / "index.js", members))
    assert run(*node_with_websocket(), check).stdout == ""


@pytest.mark.slow
def test_programs_are_type_checked() -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("no TypeScript compiler (Debian: node-typescript)")
    done = run(compiler, *TYPE_CHECK, TESTS / "use.mts")
    assert done.returncode == 0, done.stdout
