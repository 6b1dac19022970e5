"""The installed command on real audio: its results agree with each other, its errors are one sentence each."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from command import COMMAND, ENVIRONMENT, LIMIT_S, cut, one_sentence, turnstream

from turnstream import PeopleStore
from turnstream.clients.arguments import parser
from turnstream.clients.cli import options_of
from turnstream.clients.engine import EngineStream
from turnstream.clients.options import EngineOptions
from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.stitching.config import StitcherConfig
from turnstream.weights.store import demo_recording

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Results:
    """What one run over 20 s of the demo recording left behind."""

    process: subprocess.CompletedProcess[str]
    lines: list[dict[str, Any]]
    final: dict[str, list[RttmSegment]]
    live: dict[str, list[RttmSegment]]


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    talk = cut(demo_recording()[0], folder / "talk.wav", 4.0, 24.0)
    final, live = folder / "final.rttm", folder / "live.rttm"
    results = ("--out", final, "--live-rttm", live, "--keep", folder / "kept")
    process = turnstream("file", talk, "--json", *results, "--latency", "0.8")
    assert process.returncode == 0, process.stderr
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    return Results(process, lines, parse_rttm(final.read_text()), parse_rttm(live.read_text()))


def ms(time_s: float) -> int:
    return round(1000 * time_s)


def intervals(segments: Iterator[tuple[float, float, str]], limit_s: float) -> list[tuple[str, int, int]]:
    """(speaker, start, end) in ms up to `limit_s`, with the pieces of one speaker that touch made one."""
    joined: list[tuple[str, int, int]] = []
    for start_s, end_s, speaker in sorted(segments, key=lambda piece: (piece[2], piece[0])):
        end_s = min(end_s, limit_s)
        if joined and joined[-1][0] == speaker and joined[-1][2] >= ms(start_s):
            joined[-1] = (speaker, joined[-1][1], max(joined[-1][2], ms(end_s)))
        elif ms(end_s) > ms(start_s):
            joined.append((speaker, ms(start_s), ms(end_s)))
    return joined


def committed(lines: list[dict[str, Any]]) -> Iterator[tuple[float, float, str]]:
    """Each stretch of each turn under the speaker it had when it was committed; what was left, at the end."""
    done: dict[str, float] = {}
    turns: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line["type"] == "turn" and line["state"] == "retracted":
            turns.pop(line["id"])
        elif line["type"] == "turn":
            turns[line["id"]] = line
            if line["committed"] > line["start"]:
                yield done.get(line["id"], line["start"]), line["committed"], line["speaker"] or "unknown"
                done[line["id"]] = line["committed"]
        elif line["type"] == "revision":
            for turn in line["turns"]:
                turns[turn]["speaker"] = line["to"]
    for turn in turns.values():
        yield done.get(turn["id"], turn["start"]), turn["end"], turn["speaker"] or "unknown"


def test_stdout_is_json_lines_from_the_recording_to_the_final(results: Results):
    kinds = [line["type"] for line in results.lines]
    assert kinds[0] == "recording"
    assert kinds[-1] == "final"
    assert set(kinds[1:-1]) <= {"turn", "speaker", "revision"}
    assert results.lines[0]["path"].endswith("talk.wav")
    assert "\x1b" not in results.process.stderr


def test_activity_is_told_when_asked_for(results: Results, short: Path):
    process = turnstream("file", short, "--activity", "--json")
    told = [json.loads(line) for line in process.stdout.splitlines()]
    activity = [line for line in told if line["type"] == "activity"]
    assert [line["start"] for line in activity] == [0.0, *(line["end"] for line in activity[:-1])]
    assert {line["speech"] for line in activity} == {True, False}
    assert not any(line["type"] == "activity" for line in results.lines)


def test_two_people_are_found(results: Results):
    final = results.lines[-1]
    assert len(final["turns"]) >= 5
    assert len(final["speakers"]) >= 2


def test_final_rttm_is_the_final_event(results: Results):
    turns = [(turn["start"], turn["end"], turn["speaker"] or "unknown") for turn in results.lines[-1]["turns"]]
    assert [*results.final] == ["talk"]
    written = [(ms(s.start_s), ms(s.end_s), s.speaker) for s in results.final["talk"]]
    assert written == sorted((ms(start_s), ms(end_s), speaker) for start_s, end_s, speaker in turns)


def test_what_was_kept_can_be_named_with_its_voice(results: Results, folder: Path):
    kept, out, people = folder / "kept" / "talk.json", folder / "named.csv", folder / "people"
    process = turnstream("name", kept, "S1=Anna", "--save", "--people", people, "--out", out)
    assert (process.returncode, process.stderr) == (0, "")
    named = {line.split(",")[2] for line in out.read_text().splitlines()[1:]}
    assert named == {"Anna", *(s.speaker for s in results.final["talk"])} - {"S1"}
    (person,) = PeopleStore(people).people()
    assert person.name == "Anna"
    assert person.clean_s > 1.0


def test_live_rttm_is_what_was_committed_when_it_was(results: Results):
    length_s = results.lines[0]["duration"]
    live = intervals(((s.start_s, s.end_s, s.speaker) for s in results.live["talk"]), length_s)
    assert live == intervals(committed(results.lines[:-1]), length_s)
    assert len(live) >= 5


def test_options_of_the_engine_reach_the_session(tmp_path: Path):
    (tmp_path / "constants.json").write_text('{"cluster_distance": 0.5}')
    asked: dict[str, Any] = {}

    class Engine:
        def session(self, **options: Any) -> None:
            asked.update(options)

    line = (
        "file x.wav --revisions-every 2 --revision-reach 30 --force-speaker --activity --latency 3 --hop 1 --speakers 3"
    )
    args = parser().parse_args([*line.split(), "--stitcher", str(tmp_path / "constants.json")])
    source = SimpleNamespace(rate_hz=8_000, channels=2, channel=1)
    options = options_of(EngineOptions, args)
    EngineStream.open(cast(Any, Engine()), options, cast(Any, source), [], cast(Any, None), live=False)
    assert asked == {
        "sample_rate_hz": 8_000,
        "channels": 2,
        "channel": 1,
        "hop_s": 1.0,
        "latency_s": 3.0,
        "revision_interval_s": 2.0,
        "revision_reach_s": 30.0,
        "stitcher": StitcherConfig(cluster_distance=0.5, force_speaker=True, min_speakers=3, max_speakers=3),
        "known": [],
        "activity": True,
        "live": False,
    }


def test_many_files_one_of_them_bad(folder: Path, short: Path, speech_data: Path):
    meeting = cut(speech_data / "ami" / "ami_EN2001a_0000.flac", folder / "meeting.ogg", 0.0, 6.0)
    broken, rttm = folder / "broken.wav", folder / "all.rttm"
    broken.write_bytes(b"RIFF" + bytes(1000))
    process = turnstream("file", short, broken, folder / "none.wav", meeting, "--out", rttm)
    assert process.returncode == 1
    complaints = process.stderr.splitlines()
    assert len(complaints) == 2
    assert all(name in line for name, line in zip(("broken.wav", "none.wav"), complaints, strict=True))
    assert [*parse_rttm(rttm.read_text())] == ["short", "meeting"]
    assert re.findall(r"^(\S+): .* times real time$", process.stdout, re.MULTILINE) == ["short.flac", "meeting.ogg"]
    assert "\x1b" not in process.stdout


def test_damage_in_the_middle_keeps_what_came_before(folder: Path, short: Path):
    damaged = folder / "damaged.flac"
    data = short.read_bytes()
    damaged.write_bytes(data[: len(data) * 7 // 10] + bytes(2000))
    process = turnstream("file", damaged, "--out", folder / "damaged.rttm")
    assert process.returncode == 1
    assert one_sentence(process.stderr)
    assert "damaged" in process.stderr
    assert parse_rttm((folder / "damaged.rttm").read_text())["damaged"]


def test_reader_that_leaves_early_does_no_harm(folder: Path, short: Path):
    rttm = folder / "piped.rttm"
    script = 'set -o pipefail; "$0" file "$1" --json --out "$2" | head -n 1'
    process = subprocess.run(
        ["bash", "-c", script, COMMAND, short, rttm], capture_output=True, text=True, env=ENVIRONMENT, timeout=LIMIT_S
    )
    assert json.loads(process.stdout)["type"] == "recording"
    assert (process.returncode, process.stderr) == (0, "")
    assert parse_rttm(rttm.read_text())["short"]


@pytest.mark.parametrize("arguments", ["models", "doctor", "--help"])
def test_lists_may_be_cut_off_too(tmp_path: Path, arguments: str):
    env = {**ENVIRONMENT, "TURNSTREAM_CACHE": str(tmp_path)}  # no weights: the doctor times nothing
    script = f'set -o pipefail; "$0" {arguments} | true'
    process = subprocess.run(["bash", "-c", script, COMMAND], capture_output=True, text=True, env=env, timeout=LIMIT_S)
    assert (process.returncode, process.stderr) == (0, "")


def test_ctrl_c_while_it_plays_ends_with_the_result_so_far(folder: Path, short: Path):
    live = folder / "interrupted.rttm"
    arguments = ["file", str(short), "--realtime", "--json", "--live-rttm", str(live)]
    process = subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "turn" and event["committed"] > event["start"]:
            break
    process.send_signal(signal.SIGINT)
    rest, complaint = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, complaint) == (0, "")
    final = json.loads(rest.splitlines()[-1])
    assert final["type"] == "final"
    assert final["turns"]
    assert final["duration"] < 4.4, "the recording was heard to its end"
    assert parse_rttm(live.read_text())["short"]


def test_live_display_on_a_terminal(short: Path):
    """The screen is drawn, the cursor comes back, and what stays is the table of turns."""
    main, terminal = pty.openpty()
    env = {**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen([COMMAND, "file", short, "--realtime"], stdout=terminal, stderr=terminal, env=env)
    os.close(terminal)
    screen = b""
    while chunk := _read(main):
        screen += chunk
    os.close(main)
    assert process.wait(LIMIT_S) == 0
    text = screen.decode()
    drawn, left = text[: text.rindex("\x1b[?25h")], text[text.rindex("\x1b[?25h") :]
    assert "\x1b[?25l" in drawn
    assert "○ provisional" in drawn
    assert re.search(r"0:0\d\.\d - 0:0\d\.\d", left)
    assert "talk time" in left


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_version_and_help():
    assert re.fullmatch(r"turnstream \d+\.\d+\.\d+\n", turnstream("--version").stdout)
    shown = turnstream("--help").stdout
    assert all(command in shown for command in ("file", "mic", "devices", "models", "doctor", "demo"))


def test_models_says_what_is_there_and_where():
    listed, where = turnstream("models"), turnstream("models", "where")
    assert re.search(r"^segmentation +ready", listed.stdout, re.MULTILINE)
    assert Path(where.stdout.strip(), "segmentation.safetensors").is_file()
