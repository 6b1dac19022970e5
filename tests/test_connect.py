"""`turnstream connect` against `turnstream serve`: the same results as without a server, errors of one sentence."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pulse import PulseServer, pulse_server
from served import COMMAND, Served, served

from turnstream.clients.cli import main
from turnstream.clients.remote.live_turns import LiveTurns
from turnstream.events import Revision, Talk, Turn
from turnstream.rttm import parse_rttm
from turnstream.weights.store import demo_recording, models_where

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LIMIT_S = 120
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TURNSTREAM_TOKEN"}


def turnstream(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_S,
        env=ENVIRONMENT | environment,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connect")


@pytest.fixture(scope="module")
def talk(folder: Path) -> Path:
    """7 s in which two people talk, at 44.1 kHz in two channels, of which the second is silent."""
    samples, _ = soundfile.read(demo_recording()[0], start=100_000, stop=212_000)
    line = np.interp(np.arange(7 * 44_100) / 44_100, np.arange(len(samples)) / 16_000, samples)
    soundfile.write(folder / "talk.wav", np.stack([line, np.zeros_like(line)], axis=1), 44_100)
    return folder / "talk.wav"


def test_a_recording_gives_what_it_gives_without_a_server(server: Served, talk: Path, folder: Path) -> None:
    """A busy server may leave out steps on the way of a turn, nothing else."""
    lines, final, live = {}, {}, {}
    for name, how in (("there", ("connect", server.address, "--file", talk)), ("here", ("file", talk))):
        paths = folder / f"{name}.rttm", folder / f"{name}.live.rttm"
        options = ("--json", "--out", paths[0], "--live-rttm", paths[1], "--latency", "0.8", "--channel", "1")
        run = turnstream(*how, *options)
        assert run.returncode == 0, run.stderr
        lines[name], final[name], live[name] = run.stdout.splitlines(), *(path.read_text() for path in paths)
    assert final["there"] == final["here"]
    assert len(parse_rttm(final["here"])["talk"]) >= 4
    finals = [json.loads(lines[name].pop()) | {"statistics": None} for name in ("there", "here")]
    assert finals[0] == finals[1]
    rest = iter(lines["here"])
    assert all(line in rest for line in lines["there"]), "a line that the engine did not say, or out of order"
    settled = [[line for line in lines[name] if '"provisional"' not in line] for name in ("there", "here")]
    assert settled[0] == settled[1]
    assert stretches(live["there"]) == stretches(live["here"])


def stretches(rttm: str) -> list[list[float]]:
    """When anyone talked."""
    joined: list[list[float]] = []
    for segment in sorted(parse_rttm(rttm)["talk"], key=lambda segment: segment.start_s):
        if joined and segment.start_s <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], segment.end_s)
        else:
            joined.append([segment.start_s, segment.end_s])
    return joined


def test_without_json_the_table_is_shown(server: Served, talk: Path) -> None:
    run = turnstream("connect", f"http://{server.address}", "--file", talk)
    assert run.returncode == 0, run.stderr
    assert re.search(r"^talk\.wav: 0:07\.0, \d speakers?, \d+ turns$", run.stdout, re.MULTILINE), run.stdout
    assert "\x1b" not in run.stdout + run.stderr


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    with pulse_server(tmp_path_factory.mktemp("pulse")) as virtual:
        yield virtual


@pytest.mark.audio
def test_the_microphone_until_ctrl_c(server: Served, pulse: PulseServer, talk: Path, folder: Path) -> None:
    env = ENVIRONMENT | pulse.env | {"TURNSTREAM_CACHE": str(models_where())}
    record = folder / "heard.wav"
    command = [str(COMMAND), "connect", server.address, "--mic", "--json", "--record", str(record)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline())]
    assert lines[0]["type"] == "recording", lines
    pulse.play(talk).wait(LIMIT_S)
    process.send_signal(signal.SIGINT)
    rest, complaint = process.communicate(timeout=LIMIT_S)
    lines += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0, complaint
    assert lines[-1]["type"] == "final"
    assert {"turn", "speaker"} <= {line["type"] for line in lines}
    end_s = max(turn["end"] for turn in lines[-1]["turns"])
    assert end_s <= soundfile.info(record).duration + 0.01


def test_errors_are_one_sentence(
    server: Served, talk: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the command sets
    cases = {
        ("ftp://x", "--file", talk): "expected an address such as ws://127.0.0.1:8765, got ftp://x",
        ("127.0.0.1:1", "--file", talk): "cannot connect to ws://127.0.0.1:1/v1: Connection refused",
        (server.address, "--file", "nowhere.wav"): "nowhere.wav does not exist",
        (server.address, "--file", talk, "--channel", "3"): f"expected a channel of {talk} from 1 to 2, got 3",
        (server.address, "--file", talk, "--token-file", folder / "no"): "cannot read the token in",
    }
    for arguments, sentence in cases.items():
        assert main(["connect", *map(str, arguments)]) == 1, arguments
        said = capsys.readouterr()
        assert re.fullmatch(f"turnstream: {re.escape(sentence)}.*\n", said.err), said.err
        assert said.out == ""
    with pytest.raises(SystemExit, match="2"):
        main(["connect", server.address])
    assert "one of the arguments --mic --file is required" in capsys.readouterr().err


def test_a_token_from_the_environment_or_a_file_and_a_server_that_stops(
    talk: Path, folder: Path, tmp_path: Path
) -> None:
    """A recording at its own pace is told while it plays; when the server is stopped then, what was heard is the result
    and the exit code says it."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    with served(tmp_path, "--token-file", str(token)) as guarded:
        wrong = turnstream("connect", guarded.address, "--file", talk)
        assert wrong.returncode == 1
        assert "expected the server's token" in wrong.stderr
        right = turnstream("connect", guarded.address, "--file", talk, TURNSTREAM_TOKEN=token.read_text().strip())
        assert right.returncode == 0, right.stderr
        command = [str(COMMAND), "connect", guarded.address, "--file", str(talk), "--token-file", str(token)]
        command += ["--realtime", "--json", "--out", str(folder / "half.rttm")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as playing:
            assert playing.stdout is not None
            for line in map(json.loads, playing.stdout):
                if line["type"] == "turn" and line["committed"] > line["start"]:
                    break
            guarded.process.terminate()
            rest, complaint = playing.communicate(timeout=LIMIT_S)
        assert guarded.process.wait(LIMIT_S) == 0
    assert playing.returncode == 1
    assert "the server was stopped" in complaint
    final = json.loads(rest.splitlines()[-1])
    assert (final["type"], len(final["turns"])) == (
        "final",
        len(parse_rttm((folder / "half.rttm").read_text())["talk"]),
    )
    assert final["turns"][-1]["end"] < 6.5, "the recording was heard to its end"


def _turn(end_s: float, committed_s: float, speaker: str = "S1") -> Turn:
    return Turn("T1", speaker, None, 1.0, end_s, committed_s, "provisional")


def test_live_turns_are_pieces_as_they_were_first_committed() -> None:
    live = LiveTurns()
    retracted = Turn("T2", "S1", None, 1.5, 1.6, 1.5, "retracted")
    revision = Revision(("T1", "T7"), "S1", "S2", "reassigned", 2.5)
    live.apply([_turn(1.6, 1.0), replace(retracted, state="provisional"), _turn(2.0, 1.6), retracted, revision])
    live.apply([_turn(3.0, 2.0, "S2"), _turn(4.0, 2.5, "S2")])
    live.end(3.5)
    assert [(s.start_s, s.end_s, s.speaker) for s in parse_rttm(live.live_rttm("x"))["x"]] == [
        (1.0, 1.6, "S1"),
        (1.6, 3.5, "S2"),
    ]
    final = live.final(3.5)
    assert (final.duration_s, final.speakers) == (3.5, (Talk("S2", None, None, 3.0),))
    assert [turn.id for turn in final.turns] == ["T1"]
