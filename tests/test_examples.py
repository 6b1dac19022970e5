"""Every example is run as it stands: on the demo recording, a virtual microphone, a real server, a real browser."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import signal
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import soundfile
from conftest import ROOT
from node import node_with_websocket
from pulse import pulse_server
from served import COMMAND, Served, served

from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.weights.store import demo_recording, models_where

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LIMIT_S = 120
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 s of the demo recording with both speakers, 16 kHz, 16 bit."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16", start=100_000, stop=244_000)
    path = tmp_path_factory.mktemp("examples") / "talk.wav"
    soundfile.write(path, samples, 16_000)
    return path


@pytest.fixture(scope="module")
def pcm(talk: Path) -> Path:
    path = talk.with_suffix(".pcm")
    path.write_bytes(soundfile.read(talk, dtype="int16")[0].tobytes())
    return path


@pytest.fixture(scope="module")
def expected(talk: Path) -> list[RttmSegment]:
    """What the command says of the recording."""
    rttm = talk.with_suffix(".rttm")
    subprocess.run([COMMAND, "file", talk, "--out", rttm], check=True, capture_output=True, timeout=LIMIT_S)
    return parse_rttm(rttm.read_text())["talk"]


def segments(rttm: str) -> list[RttmSegment]:
    (found,) = parse_rttm(rttm).values()
    return found


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=LIMIT_S, **options)


def test_every_example_is_run_here() -> None:
    source, listed = Path(__file__).read_text(), (EXAMPLES / "README.md").read_text()
    for name in {path.name for path in EXAMPLES.iterdir()} - {"README.md"}:
        assert f'/ "{name}"' in source or f"/{name}?" in source
        assert f"]({name})" in listed


def test_live_words(talk: Path, expected: list[RttmSegment]) -> None:
    pytest.importorskip("pocketsphinx", reason="needs a recognizer: pip install pocketsphinx")
    done = run(sys.executable, EXAMPLES / "live_words.py", talk)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^ +(\d+\.\d\d)  (\S+): (.+)$", done.stdout, re.MULTILINE)
    assert {label for _, label, _ in lines} >= {"S1", "S2"}
    for start, label, _ in lines:
        talking = {s.speaker for s in expected if s.start_s - 1.0 < float(start) + 0.05 < s.end_s + 1.0}
        assert label in talking or (label == "?" and not talking)
    assert "line 0  " in done.stderr


def test_file(talk: Path, expected: list[RttmSegment]) -> None:
    done = run(sys.executable, EXAMPLES / "file.py", talk)
    assert done.returncode == 0, done.stderr
    assert segments(done.stdout) == expected
    assert re.search(r"^ +\d+\.\d\d - +\d+\.\d\d  S1$", done.stderr, re.MULTILINE)


@pytest.mark.audio
def test_microphone(talk: Path, expected: list[RttmSegment], tmp_path_factory: pytest.TempPathFactory) -> None:
    with pulse_server(tmp_path_factory.mktemp("pulse")) as pulse:
        env = pulse.env | {"TURNSTREAM_CACHE": str(models_where())}
        command = [sys.executable, EXAMPLES / "microphone.py"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
            watchdog = threading.Timer(LIMIT_S, process.kill)
            watchdog.start()
            assert process.stdout is not None
            assert process.stdout.readline().startswith("listening at ")
            pulse.play(talk).wait(LIMIT_S)
            process.send_signal(signal.SIGINT)
            shown, complaint = process.communicate()
            watchdog.cancel()
    assert process.returncode == 0, complaint
    heard = segments(shown[shown.index("SPEAKER") :])
    assert {segment.speaker for segment in heard} >= {"S1", "S2"}
    assert len(heard) >= len(expected) - 2


def test_asyncio_server(pcm: Path, expected: list[RttmSegment]) -> None:
    command = [sys.executable, str(EXAMPLES / "asyncio_server.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[-1])
            told = [asyncio.run(_talk_to(port, pcm.read_bytes())) for _ in range(2)]
        finally:
            watchdog.cancel()
            process.kill()
    for lines in told:
        assert {"turn", "speaker"} <= {line["type"] for line in lines[:-1]}
        assert lines[-1]["type"] == "final"
        assert segments(lines[-1]["rttm"]) == expected


async def _talk_to(port: int, audio: bytes) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(audio)
    writer.write_eof()
    lines = (await reader.read()).splitlines()
    writer.close()
    return [json.loads(line) for line in lines]


def test_python_client(server: Served, talk: Path, expected: list[RttmSegment]) -> None:
    done = run(sys.executable, EXAMPLES / "client.py", server.address, talk)
    assert done.returncode == 0, done.stderr
    assert "Turn(id='T1'" in done.stdout
    assert segments(done.stdout[done.stdout.index("SPEAKER") :]) == expected


def test_node(server: Served, pcm: Path, expected: list[RttmSegment]) -> None:
    done = run(*node_with_websocket(), EXAMPLES / "node.mjs", f"ws://{server.address}/v1", pcm)
    assert done.returncode == 0, done.stderr
    assert segments(done.stdout) == expected
    assert "S1" in done.stderr


def test_node_says_what_the_server_refuses(server: Served, pcm: Path) -> None:
    done = run(*node_with_websocket(), EXAMPLES / "node.mjs", f"ws://{server.address}/v1", pcm, 16)
    assert done.returncode == 1
    assert "sample_rate: expected a whole number of 8000 to 192000, got 16" in done.stderr


@pytest.mark.browser
def test_browser(talk: Path, tmp_path: Path) -> None:
    from browser import browser
    from playwright.sync_api import expect

    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(ROOT))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{pages.server_port}"
        with served(tmp_path, "--origin", origin) as server, browser(talk) as chromium:
            with chromium.open(f"{origin}/examples/browser.html?{server.address}") as page:
                page.click("#start")
                expect(page.locator("#turns li").nth(2)).to_be_visible()
                page.click("#stop")
                expect(page.locator("#result")).to_contain_text("SPEAKER")
                result = page.locator("#result").inner_text()
            assert [c for c in chromium.complaints if "favicon" not in c and "404" not in c] == []
        pages.shutdown()
    assert {segment.speaker for segment in segments(result + "\n")} >= {"S1"}


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
