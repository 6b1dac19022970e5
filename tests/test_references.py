"""References beside recordings: RTTM and UEM files of one recording or of many, and names that are no text."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.clients.evaluation.recordings import read_extents, read_reference, within
from turnstream.clients.exports.targets import Target
from turnstream.clients.sources.file import AudioFile
from turnstream.clients.sources.microphone import Recorder
from turnstream.errors import TurnstreamError
from turnstream.rttm import RttmSegment, format_rttm, parse_rttm


def line(file_id: str, start: float, speaker: str = "x") -> str:
    return f"SPEAKER {file_id} 1 {start} 1.0 <NA> <NA> {speaker} <NA> <NA>\n"


def starts(path: Path) -> list[float]:
    return [turn.start_s for turn in read_reference(path)]


def test_of_a_corpus_only_the_turns_of_this_recording_are_taken(tmp_path: Path):
    corpus = line("b", 1) + line("talk_one", 2) + line("c", 3) + line("talk_one", 4)
    (tmp_path / "talk one.rttm").write_text(corpus)
    assert starts(tmp_path / "talk one.rttm") == [2, 4]
    (tmp_path / "d.rttm").write_text(corpus)
    with pytest.raises(TurnstreamError, match=r"d\.rttm: expected turns of d, got those of 3 others: b, talk_one, c"):
        read_reference(tmp_path / "d.rttm")
    (tmp_path / "e.rttm").write_text(line("other", 1))
    assert starts(tmp_path / "e.rttm") == [1]  # one recording by another name


def test_a_byte_order_mark_is_no_letter(tmp_path: Path):
    (tmp_path / "a.rttm").write_bytes(b"\xef\xbb\xbf" + (line("a", 1) + line("a", 2)).encode())
    assert starts(tmp_path / "a.rttm") == [1, 2]
    (tmp_path / "a.uem").write_bytes(b"\xef\xbb\xbfa 1 0 5\n")
    assert read_extents(tmp_path / "a.uem", 60.0) == ((0.0, 5.0),)


def test_references_are_utf_8_whatever_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("locale.getencoding", lambda: "ascii", raising=False)
    (tmp_path / "é.rttm").write_text(line("b", 1) + line("é", 2, "Zoë"), encoding="utf-8")
    assert read_reference(tmp_path / "é.rttm") == [RttmSegment(2.0, 3.0, "Zoë")]


def test_every_line_of_a_uem_counts_and_only_those_of_this_recording(tmp_path: Path):
    assert read_extents(tmp_path / "a.uem", 60.0) == ((0.0, 60.0),)
    (tmp_path / "a.uem").write_text(";; labeled\nb 1 0 9\n\na 1 30 40\na 1 0 10.5\n")
    extents = read_extents(tmp_path / "a.uem", 60.0)
    assert extents == ((0.0, 10.5), (30.0, 40.0))
    assert within(np.array([5.0, 20.0, 30.0, 40.0]), extents).tolist() == [True, False, True, False]
    (tmp_path / "c.uem").write_text("b 1 0 9\na 1 30 40\n")
    with pytest.raises(TurnstreamError, match=r"c\.uem: expected a line about c, got lines about 2 others"):
        read_extents(tmp_path / "c.uem", 60.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 0 5\na 1 0\n", "line 2: expected `name channel start end`, got 'a 1 0'"),
        ("a b 1 0 5\n", "line 1: expected `name channel start end`"),
        ("a 1 0 x\n", "line 1: expected `name channel start end`"),
        ("a 1 5 0\n", "line 1: expected a start before the end, got '5 0'"),
        ("a 1 nan 1\n", "line 1: expected a start before the end, got 'nan 1'"),
    ],
)
def test_a_wrong_line_of_a_uem_is_named(tmp_path: Path, text: str, said: str):
    (tmp_path / "a.uem").write_text(text)
    with pytest.raises(TurnstreamError, match=said):
        read_extents(tmp_path / "a.uem", 60.0)


@pytest.mark.parametrize(
    "wrong",
    [
        "SPEAKER a 1 0.0 1.0 <NA> <NA> Anna Maria <NA> <NA>",
        "SPEAKER a 1 0.0 1.0 <NA> <NA> Anna Maria <NA>",
        "SPEAKER my talk 1 0.0 1.0 <NA> <NA> Anna <NA> <NA>",
    ],
)
def test_blanks_in_names_are_refused_with_the_line(wrong: str):
    with pytest.raises(TurnstreamError, match="RTTM line 2: expected names without blanks, got 'SPEAKER "):
        parse_rttm(line("a", 0) + wrong)


def test_a_confidence_is_no_second_name():
    assert parse_rttm("SPEAKER a 1 0 1 <NA> <NA> x 0.75\nSPEAKER a 1 0 1 <NA> <NA> x\n") == {
        "a": [RttmSegment(0.0, 1.0, "x")] * 2
    }


def test_a_file_whose_name_is_no_text_is_read_recorded_and_written_about(tmp_path: Path):
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    recorder = Recorder(name, 16_000, 1)
    recorder.write(np.full((16_000, 1), 0.25, np.float32))
    recorder.close()
    with AudioFile(name) as recording:
        assert sum(map(len, recording.blocks())) == 16_000
    output = Target(f"{tmp_path}/{{name}}.rttm", [name], appends=True)
    output.write(name, format_rttm(name.stem, [RttmSegment(0.0, 1.0, "S1")]).encode("utf-8", "surrogateescape"))
    written = name.with_suffix(".rttm")
    assert written.read_bytes().split()[1] == b"caf\xe9"
    written.write_bytes(written.read_bytes() + line("b", 5).encode())
    assert starts(written) == [0]


def test_audio_is_read_under_an_ascii_locale(tmp_path: Path):
    """Only this process's file system encoding can be had here; a child's is set by its locale."""
    import subprocess
    import sys

    sf.write(tmp_path / "café.wav", np.zeros(100), 16_000)
    code = (
        "import sys; from turnstream.clients.sources.file import AudioFile\n"
        "print(sys.getfilesystemencoding(), AudioFile(sys.argv[1]).total_samples)"
    )
    ascii_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code, tmp_path / "café.wav"]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | ascii_locale, timeout=60)
    assert ran.stdout == "ascii 100\n", ran.stderr
