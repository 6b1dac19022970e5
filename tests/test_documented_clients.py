"""The clients that clients/README.md shows are run as they stand there."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import soundfile
from conftest import ROOT
from served import Served

from turnstream.rttm import parse_rttm
from turnstream.weights.store import demo_recording

pytestmark = pytest.mark.slow

LIMIT_S = 120


def shown(language: str) -> str:
    """The example in this language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "clients" / "README.md").read_text(), re.DOTALL)
    return str(code)


@pytest.fixture(scope="module")
def audio() -> bytes:
    """9 s of the demo recording, pcm_s16le at 16 kHz."""
    return soundfile.read(demo_recording()[0], dtype="int16", start=100_000, stop=244_000)[0].tobytes()


@pytest.fixture
def node() -> list[str]:
    """Node with a WebSocket of its own: the system's, or the one that Playwright brings."""
    programs = [path for path in (shutil.which("node"), _playwrights_node()) if path]
    for program, flags in itertools.product(programs, ([], ["--experimental-websocket"])):
        asks = [program, *flags, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
        if subprocess.run(asks, capture_output=True).returncode == 0:
            return [program, "--no-warnings", *flags]
    pytest.skip("no Node.js with a WebSocket: Node 22, or 20.10 with a flag (Debian: nodejs)")


def _playwrights_node() -> str | None:
    found = importlib.util.find_spec("playwright")
    program = Path(found.origin).parent / "driver" / "node" if found and found.origin else None
    return str(program) if program and program.exists() else None


def test_node(server: Served, node: list[str], audio: bytes, tmp_path: Path) -> None:
    (tmp_path / "client.mjs").write_text(shown("js"))
    (tmp_path / "talk.pcm").write_bytes(audio)
    command = [*node, "client.mjs", f"ws://{server.address}/v1", "talk.pcm"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 0, run.stderr
    (segments,) = parse_rttm(run.stdout).values()
    assert len(segments) >= 4
    assert "S1" in run.stderr
    assert len(shown("js").splitlines()) <= 45


def test_node_says_what_the_server_refuses(server: Served, node: list[str], tmp_path: Path) -> None:
    (tmp_path / "client.mjs").write_text(shown("js").replace("sample_rate: 16000", "sample_rate: 16"))
    (tmp_path / "talk.pcm").write_bytes(bytes(64_000))
    command = [*node, "client.mjs", f"ws://{server.address}/v1", "talk.pcm"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 1
    assert "sample_rate: expected a whole number of 8000 to 192000, got 16" in run.stderr


def test_by_hand(server: Served) -> None:
    """The command line of the `websockets` package, with what a person would type."""
    command = [sys.executable, "-m", "websockets", f"ws://{server.address}/v1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"type":"start","sample_rate":8000}\n{"type":"tomorrow"}\n{"type":"stop"}\n')
        process.stdin.flush()
        said = "".join(iter(process.stdout.readline, ""))
        watchdog.cancel()
    assert '"type":"started"' in said
    assert '"sample_rate":8000' in said
    assert '"type":"final"' in said
    assert "Connection closed: 1000 (OK)." in said


def test_python(server: Served, audio: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    code = shown("python").replace("127.0.0.1:8765", server.address)
    code = code.replace("sample_rate_hz=48_000, channels=2", "sample_rate_hz=16_000")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(audio), 3_333):
            yield audio[begin : begin + 3_333]

    asyncio.run(names["main"](chunks()))  # type: ignore[operator]
    said = capsys.readouterr().out
    assert "Turn(id='T1'" in said
    (segments,) = parse_rttm(said[said.index("SPEAKER") :]).values()
    assert len(segments) >= 4
