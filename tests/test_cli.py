"""The installed command on real audio: its results agree with each other, its errors are one sentence each."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import soundfile

from turnstream import PeopleStore
from turnstream.clients.arguments import parser
from turnstream.clients.cli import main, options_of
from turnstream.clients.engine import EngineStream
from turnstream.clients.exports.targets import Target
from turnstream.clients.options import EngineOptions
from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.stitching.config import StitcherConfig
from turnstream.weights.store import demo_recording

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).with_name("turnstream")
LIMIT_S = 240
# Standard output is buffered, as it is for users: where it is not, a broken pipe shows in other places.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def turnstream(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, without a terminal."""
    command = [str(COMMAND), *map(str, arguments)]
    options.setdefault("env", ENVIRONMENT)
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S, **options)


def cut(source: Path, target: Path, start_s: float, end_s: float) -> Path:
    """Part of a recording in the format of the target's suffix."""
    rate_hz = soundfile.info(source).samplerate
    samples, _ = soundfile.read(source, start=round(start_s * rate_hz), stop=round(end_s * rate_hz))
    soundfile.write(target, samples, rate_hz)
    return target


@dataclass(frozen=True)
class Results:
    """What one run over 20 s of the demo recording left behind."""

    process: subprocess.CompletedProcess[str]
    lines: list[dict[str, Any]]
    final: dict[str, list[RttmSegment]]
    live: dict[str, list[RttmSegment]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def short(folder: Path) -> Path:
    """A few seconds in which two people talk."""
    return cut(demo_recording()[0], folder / "short.flac", 6.5, 11.0)


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


def one_sentence(complaint: str) -> bool:
    """The house rule for what a user may see."""
    return bool(re.fullmatch(r"turnstream: .+\n", complaint)) and "Traceback" not in complaint


@pytest.fixture(scope="module")
def bad(folder: Path, short: Path) -> Path:
    """A folder with everything that can be wrong with a path."""
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("no audio at all")
    soundfile.write(folder / "nothing.wav", [], 16_000)
    (folder / "sub").mkdir()
    (folder / "sub" / "short.wav").write_bytes(short.read_bytes())
    (folder / "sub" / "other.wav").write_bytes(short.read_bytes())
    (folder / "sub.srt").mkdir()
    (folder / "wrong.bin").write_bytes(b"no checkpoint")
    return folder


USER_ERRORS = {
    "file none.wav": (1, "none.wav does not exist"),
    "file empty.wav": (1, "empty.wav is empty"),
    "file text.wav": (1, "text.wav is not audio"),
    "file nothing.wav": (1, "nothing.wav holds no audio"),
    "file sub": (1, "sub is a folder"),
    "file": (2, "PATH"),
    "file short.flac --latency 0.2": (2, "latency must be 0.5 to 5 s, got 0.2"),
    "file short.flac --speakers 0": (2, "expected a whole number from 1, got 0"),
    "file short.flac --min-speakers 3 --max-speakers 2": (1, "got at least 3 and at most 2"),
    "file short.flac --latency 7": (2, "latency must be 0.5 to 5 s, got 7"),
    "file short.flac --latency nan": (2, "latency must be 0.5 to 5 s, got nan"),
    "file short.flac --revisions-every -1": (2, "expected 0 seconds or more, got -1"),
    "file short.flac --revisions-every inf": (1, "revision interval must be 0 s or more, got inf"),
    "file short.flac --revision-reach nan": (2, "expected 0 seconds or more, got nan"),
    "file short.flac --latency soon": (2, "expected a number, got soon"),
    "file short.flac --channel 0": (2, "expected a channel number from 1, got 0"),
    "file short.flac --channel 2": (1, "expected a channel of short.flac from 1 to 1, got 2"),
    "file short.flac --out missing/x.rttm": (1, "cannot write missing/x.rttm: No such file or directory"),
    "file short.flac --live-rttm missing/x.rttm": (1, "cannot write missing/x.rttm"),
    "file short.flac --out out.xyz": (1, "expected a file that ends in one of .rttm, .json"),
    "file short.flac --out sub": (1, "expected a file that ends in one of"),
    "file short.flac --out x.rttm --live-rttm x.rttm": (1, "two results would be written to x.rttm"),
    "file short.flac sub/short.wav --out x.rttm": (1, "by one name"),
    "file short.flac sub/other.wav --out x.srt": (1, "one file for 2 recordings: expected {name}, as {name}.srt"),
    "file short.flac --out sub.srt": (1, "sub.srt is a folder"),
    "file short.flac --picture x.gif": (1, "ends in one of .png, .svg, got x.gif"),
    "file short.flac --words none.srt": (1, "cannot read none.srt: No such file"),
    "file short.flac --words text.wav": (1, "text.wav: expected the JSON of openai-whisper"),
    "file short.flac --speaker-per-channel": (1, "expected 2 channels or more, got 1"),
    "file short.flac --speaker-per-channel --channel 1": (1, "expected it without --channel"),
    "file -": (1, "standard input is empty: expected a WAV"),
    "words none.rttm none.srt": (1, "cannot read none.rttm"),
    "words text.wav none.srt": (1, "text.wav: expected the turns of one recording"),
    "name none.json S1=Anna": (1, "cannot read none.json"),
    "name none.json Anna": (2, "expected a speaker and a name like S2=Anna, got Anna"),
    "score none.rttm none.rttm": (1, "cannot read none.rttm"),
    "completion nush": (2, "nush"),
    "file short.flac --segmentation none.bin": (1, "none.bin"),
    "file short.flac --embedding wrong.bin": (1, "wrong.bin"),
    "mic --seconds 0": (2, "expected more than 0 seconds, got 0"),
    "models pull nonsense": (1, "nonsense"),
    "models burn": (2, "burn"),
    "sing": (2, "sing"),
    "": (2, "COMMAND"),
}


@pytest.mark.parametrize("arguments", USER_ERRORS)
def test_user_error_is_one_sentence(
    bad: Path, arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """In this process: starting one for each takes a second."""
    code, words = USER_ERRORS[arguments]
    monkeypatch.chdir(bad)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the command sets
    if code == 2:
        with pytest.raises(SystemExit, match="2"):
            main(arguments.split())
    else:
        assert main(arguments.split()) == code
    said = capsys.readouterr()
    assert one_sentence(said.err)
    assert words in said.err
    assert said.out == ""


def test_folder_gets_one_file_for_each_recording_that_could_be_read(folder: Path, short: Path):
    """In this process: no engine is needed to see which files are made and when."""
    outputs = Target(f"{folder}/out/{{name}}.rttm", [short, folder / "other.wav"], appends=False)
    assert [*(folder / "out").iterdir()] == []
    outputs.write(short, b"first\n")
    outputs.write(folder / "other.wav", b"second\n")
    assert (folder / "out" / "short.rttm").read_text() == "first\n"
    assert (folder / "out" / "other.rttm").read_text() == "second\n"


def test_one_file_for_all_recordings_starts_anew_each_run(folder: Path, short: Path):
    for _ in range(2):
        outputs = Target(f"{folder}/both.rttm", [short, folder / "other.wav"], appends=True)
        outputs.write(short, b"first\n")
        outputs.write(folder / "other.wav", b"second\n")
        assert (folder / "both.rttm").read_text() == "first\nsecond\n"


def test_recording_is_never_overwritten_by_a_wrong_option(bad: Path, short: Path):
    data = short.read_bytes()
    (recording := bad / "recording.rttm").write_bytes(data)
    process = turnstream("file", recording, "--out", recording)
    assert (process.returncode, one_sentence(process.stderr)) == (1, True)
    assert "recording.rttm is a recording" in process.stderr
    assert recording.read_bytes() == data


def test_no_portaudio_and_no_microphone_are_said(tmp_path: Path):
    """A sounddevice that finds no library, as on a machine without PortAudio, and one without devices."""
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")')
    process = turnstream("mic", env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)})
    assert process.returncode == 1
    assert one_sentence(process.stderr)
    assert "libportaudio2" in process.stderr


def test_version_and_help():
    assert re.fullmatch(r"turnstream \d+\.\d+\.\d+\n", turnstream("--version").stdout)
    shown = turnstream("--help").stdout
    assert all(command in shown for command in ("file", "mic", "devices", "models", "doctor", "demo"))


def test_models_says_what_is_there_and_where():
    listed, where = turnstream("models"), turnstream("models", "where")
    assert re.search(r"^segmentation +ready", listed.stdout, re.MULTILINE)
    assert Path(where.stdout.strip(), "segmentation.safetensors").is_file()
