"""What files, devices and the network hold reaches a terminal or a log as text only: it can be read, never obeyed."""

from __future__ import annotations

import json
import logging
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.fake_sounddevice import device, fake_sounddevice
from turnstream.clients.cli import main
from turnstream.clients.logs import begin_log
from turnstream.clients.sources.source import RecordingSource
from turnstream.clients.terminal.screen import RunStatus, render
from turnstream.clients.terminal.transcript import Transcript
from turnstream.errors import AudioError, TurnstreamError, printable
from turnstream.people.person import Person, format_person
from turnstream.rttm import parse_rttm
from turnstream.stitching.clustering import unit
from turnstream.stitching.profile import Profile

HOSTILE = "\x1b]0;owned\x07\r\x9b31m\u202etxt\n"
ESCAPED = r"\x1b]0;owned\x07\r\x9b31m\u202etxt\n"


def is_harmless(text: str) -> bool:
    return all(letter.isprintable() for letter in text.replace("\n", ""))


@given(st.text())
def test_every_text_becomes_one_line_that_commands_nothing(text: str):
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not [
        letter for letter in shown if letter < " " or "\x7f" <= letter < "\xa0" or "\u202a" <= letter <= "\u202e"
    ]
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["", "Zoë says: 10\u202f%", "مینا\u200cها", "👩\u200d🔬 #1.wav", "C:\\new"])
def test_what_people_write_stays_as_it_is(text: str):
    assert printable(text) == text


def test_errors_are_printable_whatever_was_read():
    assert printable(HOSTILE) == ESCAPED
    assert str(AudioError(f"{HOSTILE} is empty")) == f"{ESCAPED} is empty"
    for fields in (
        "SPEAKER a 1 \x1b[2J 1 <NA> <NA> s",
        "SPEAKER a 1 0 -1\x9b <NA> <NA> s",
        "SPEAKER a 1 0 1 x \x1bc s a b",
    ):
        with pytest.raises(TurnstreamError, match="RTTM line 1: expected") as told:
            parse_rttm(fields)
        assert is_harmless(str(told.value))


def test_commands_show_names_of_files_people_and_devices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice([device("Mic\x1b[2J")]))
    voice = Profile(unit(np.arange(1, 193, dtype=np.float32)), 12.5)
    fields = json.loads(format_person(Person("Anna", "a\x1bc", (voice,), ("2026\x1b[31m",))))
    (tmp_path / "a.json").write_text(json.dumps(fields))
    (tmp_path / f"b{HOSTILE}.json").write_text("{")
    assert main(["people", "list", "--people", str(tmp_path)]) == 0
    assert main(["devices"]) == 0
    assert main(["file", str(tmp_path / f"{HOSTILE}.wav")]) == 1
    with pytest.raises(SystemExit):
        main(["file", "a.wav", f"--{HOSTILE}"])
    said = capsys.readouterr()
    assert is_harmless(said.out + said.err)
    assert r"2026\x1b[31m" in said.out
    assert r"Mic\x1b[2J" in said.out
    assert said.err.count(ESCAPED) == 3


def test_screens_show_titles_and_notices(tmp_path: Path):
    soundfile.write(tmp_path / f"a{HOSTILE}.wav", np.zeros(1600), 16_000)
    with RecordingSource(tmp_path / f"a{HOSTILE}.wav", None, realtime=False) as source:
        console = Console(width=120, height=30, file=StringIO())
        console.print(render(Transcript(), RunStatus(0.0, notice=HOSTILE), source.title, 1.0, 120, 30))
    shown = console.file.getvalue()
    assert is_harmless(shown)
    assert shown.count("owned") == 2


def test_the_server_logs_one_line_for_a_message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    root = logging.Logger("test")
    monkeypatch.setattr(logging, "root", root)
    begin_log("info", "text")
    root.warning("wrong token from %s", HOSTILE)
    assert capsys.readouterr().err.endswith(f"wrong token from {ESCAPED}\n")
