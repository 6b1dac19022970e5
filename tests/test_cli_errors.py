"""What a user can get wrong on the command line: one sentence each, and no harm done."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import pytest
import soundfile
from command import ENVIRONMENT, one_sentence, turnstream

from turnstream.clients.cli import main
from turnstream.clients.exports.targets import Target

pytestmark = pytest.mark.slow


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
