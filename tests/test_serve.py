"""`turnstream serve` as a user runs it: a process with options, signals and another implementation as its client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from command import COMMAND
from server_kit import Listener, hear_out
from websockets.asyncio.client import connect

from turnstream.weights.store import demo_recording

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def command(*options: str) -> list[str]:
    return [str(COMMAND), "serve", "--port", "0", *options]


@contextlib.contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its address."""
    process = subprocess.Popen(command(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(r"listening on (ws://\S+/v1), room for \d+ sessions \((measured|as configured)\)\n", line)
        page = process.stdout.readline()
        assert found, line + (process.stderr.read() if process.stderr and process.poll() is not None else "")
        assert page == f"the page is at {found[1].replace('ws:', 'http:').removesuffix('v1')}\n"
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def test_sigterm_gives_every_session_its_final_result(tmp_path: Path) -> None:
    samples, _ = soundfile.read(demo_recording()[0], dtype="int16")
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    config = tmp_path / "serve.toml"
    config.write_text(f'[serve]\nsessions = 2\ntoken-file = "{token}"\nlog-format = "json"\n')
    listeners = [Listener(), Listener()]

    async def clients(process: subprocess.Popen[str], url: str) -> list[int | None]:
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        async with (
            connect(url, additional_headers=headers) as one,
            connect(url, additional_headers=headers) as other,
        ):
            for socket, listener in zip((one, other), listeners, strict=True):
                await socket.send(samples[100_000:196_000].tobytes())
                listener.hear(await socket.recv())
            process.send_signal(signal.SIGTERM)
            return [await hear_out(one, listeners[0]), await hear_out(other, listeners[1])]

    with running("--config", str(config)) as (process, url):
        assert asyncio.run(asyncio.wait_for(clients(process, url), 60)) == [1001, 1001]
        assert process.wait(30) == 0
        _, log = process.communicate()
    told = [json.loads(line)["message"] for line in log.splitlines()]
    assert "stopping: sessions get their final results" in told
    assert sum("begins" in line for line in told) == 2
    assert "0123456789abcdef" not in log
    for listener in listeners:
        assert (listener.final.reason, listener.final.duration_s) == ("shutdown", 6.0)
        assert listener.final.turns


def test_the_command_line_client_of_websockets() -> None:
    """Another implementation of the client's side: lines typed by a person."""
    with running() as (process, url):
        client = [sys.executable, "-m", "websockets", url]
        typed = '{"type":"start","latency":2}\n{"type":"what is this"}\n{"type":"stop"}\n'
        told = subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert told.stdin
        assert told.stdout
        told.stdin.write(typed)
        told.stdin.flush()
        text = ""
        while "closed" not in text:
            text += told.stdout.read(1) or "closed"
        told.kill()
        told.communicate()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert '"type":"started","seq":1' in text
    assert '"latency":2.0' in text
    assert '"type":"final","seq":2,"reason":"stop"' in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "listening on 0.0.0.0 lets others in: expected a token, got none"),
        (["--token-file", "/nowhere/token"], "cannot read the token in /nowhere/token: No such file or directory"),
        (["--tls-cert", "cert.pem"], "expected a TLS certificate and its key, got only one of them"),
        (["--root", "other"], "expected one of turnstream, pyannote, diart on /, got other"),
        (["--host", "203.0.113.9", "--no-token", "--sessions", "1"], "cannot listen on 203.0.113.9 port 0: "),
    ],
)
def test_what_cannot_be_served_is_one_sentence(options: list[str], says: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TURNSTREAM_TOKEN"}
    result = subprocess.run(command(*options), capture_output=True, text=True, env=environment, timeout=120)
    assert result.returncode == 1
    assert result.stderr.startswith(f"turnstream: {says}")
    assert result.stderr.count("\n") == 1
