"""Enrolling, naming and saving by the installed command, on real audio: two people of the demo recording."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command import cut, one_sentence, turnstream

from turnstream.clients.cli import main
from turnstream.people.store import PeopleStore
from turnstream.rttm import parse_rttm
from turnstream.weights.store import demo_recording

pytestmark = pytest.mark.slow

FIRST, SECOND = (6.8, 10.0), (14.5, 17.9)  # stretches in which one of the two talks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people-cli")


@pytest.fixture(scope="module")
def demo() -> Path:
    return demo_recording()[0]


@pytest.fixture(scope="module")
def saved(folder: Path, demo: Path) -> tuple[Path, list[dict[str, Any]], str]:
    """The first 24 s of the recording, its first speaker named and saved: the store, the lines, the RTTM."""
    talk, rttm = cut(demo, folder / "talk.wav", 0.0, 24.0), folder / "talk.rttm"
    process = turnstream("file", talk, "--json", "--out", rttm, "--save", "S1=Anna Maria", "--people", folder / "store")
    assert (process.returncode, process.stderr) == (0, "")
    return folder / "store", [json.loads(line) for line in process.stdout.splitlines()], rttm.read_text()


def test_a_speaker_named_afterwards_is_named_everywhere_and_saved(saved: tuple[Path, list[dict[str, Any]], str]):
    store, lines, rttm = saved
    named = [line for line in lines if line["type"] == "speaker" and line["state"] == "named"]
    assert [(line["speaker"], line["name"], line["confidence"]) for line in named] == [("S1", "Anna Maria", None)]
    assert lines.index(named[0]) == len(lines) - 2
    told = {entry["speaker"]: entry["name"] for entry in lines[-1]["speakers"]}
    assert told["S1"] == "Anna Maria"
    assert told["S2"] is None
    assert {segment.speaker for segment in parse_rttm(rttm)["talk"]} == {"Anna_Maria", "S2"}
    (person,) = PeopleStore(store).people()
    assert (person.name, len(person.model)) == ("Anna Maria", 64)
    assert person.clean_s > 5


def test_the_saved_speaker_is_named_and_the_stranger_is_not(demo: Path, saved: tuple[Path, list[dict[str, Any]], str]):
    process = turnstream("file", demo, "--known", "--json", "--people", saved[0])
    assert process.returncode == 0, process.stderr
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    named = [line for line in lines if line["type"] == "speaker" and line["state"] == "named"]
    assert {(line["speaker"], line["name"]) for line in named} == {("S1", "Anna Maria")}
    assert all(0.9 <= line["confidence"] <= 0.99 for line in named)
    final = {entry["speaker"]: (entry["name"], entry["confidence"]) for entry in lines[-1]["speakers"]}
    assert final["S1"][0] == "Anna Maria"
    assert final["S2"] == (None, None)


def test_a_person_enrolled_from_a_stretch_is_known_in_the_summary(folder: Path, speech_data: Path):
    speakers = sorted((speech_data / "speakers").glob("ls*"))[:2]
    files = [sorted(speaker.glob("*.flac")) for speaker in speakers]
    store = folder / "enrolled"
    process = turnstream("enroll", "Zoë", files[0][0], files[0][1], "--people", store)
    assert process.returncode == 0, process.stderr
    assert re.fullmatch(r"Zoë: known by \d+\.\d s of clean speech\n", process.stdout)
    process = turnstream("enroll", "zoë", files[0][0], "--from", "2", "--to", "9.5", "--people", store)
    assert process.returncode == 0, process.stderr
    refused = turnstream("enroll", "Zoë", files[1][0], "--people", store)
    assert refused.returncode == 1
    assert one_sentence(refused.stderr)
    assert "does not sound like the Zoë enrolled before" in refused.stderr
    heard = turnstream("file", files[0][-1], files[1][-1], "--known", "zoë", "--people", store)
    assert heard.returncode == 0, heard.stderr
    first, second = heard.stdout.split(f"\n{files[1][-1].name}: ")
    assert re.search(r"^S1 .* Zoë \(confidence 0\.9\d\)$", first, re.MULTILINE)
    assert "Zoë" not in second


def test_several_people_in_a_file_are_refused_and_a_stretch_helps(folder: Path, demo: Path):
    whole = turnstream("enroll", "Ben", demo, "--people", folder / "stretch")
    assert whole.returncode == 1
    assert one_sentence(whole.stderr)
    assert re.search(r"sample\.wav: expected one person, got 2 \((S\d for \d+\.\d s(, )?){2}\)", whole.stderr)
    short = turnstream("enroll", "Ben", demo, "--from", 7, "--to", 9, "--people", folder / "stretch")
    assert short.returncode == 1
    assert re.search(r"expected at least 3 s of one person's clean speech, got [12]\.\d s", short.stderr)
    stretch = turnstream("enroll", "Ben", demo, "--from", SECOND[0], "--to", SECOND[1], "--people", folder / "stretch")
    assert stretch.returncode == 0, stretch.stderr


def test_list_rename_export_delete_import(
    folder: Path, saved: tuple[Path, list[dict[str, Any]], str], capsys: pytest.CaptureFixture[str]
):
    def people(store: Path, *arguments: object) -> str:
        assert main(["people", *map(str, arguments), "--people", str(store)]) == 0
        return capsys.readouterr().out

    store, exported = folder / "managed", folder / "exported.json"
    exported.write_text(people(saved[0], "export"))
    assert people(store, "import", exported) == "imported Anna Maria\n"
    assert people(store, "rename", "anna maria", "Anna") == "Anna Maria is now Anna\n"
    assert re.match(r"^Anna +\d+\.\d s  1 enrollment ", people(store))
    assert people(store, "export", "Anna", "--to", folder / "one.json") == ""
    assert people(store, "delete", "ANNA") == "deleted Anna\n"
    assert people(store) == f"nobody is enrolled in {store}\n"
    assert people(store, "import", folder / "one.json") == "imported Anna\n"


USER_ERRORS = {
    "enroll Anna none.wav": (1, "none.wav does not exist"),
    "enroll S3 talk.wav": (1, "expected a name that turnstream does not use for speakers itself, got S3"),
    "enroll Anna talk.wav --from 9 --to 3": (
        1,
        "expected --from before --to and before the end, got 9 to 3 s of 24.0 s",
    ),
    "enroll Anna talk.wav --from 99": (1, "got 99 to 24 s of 24.0 s"),
    "enroll Anna talk.wav talk.wav --from 3": (1, "--from and --to are for one recording: expected 1, got 2"),
    "enroll Anna talk.wav --channel 2": (1, "expected a channel of talk.wav from 1 to 1, got 2"),
    "enroll Anna slow.wav": (1, "slow.wav: expected a rate in Hz of 8000 to 192000, got 4000"),
    "file slow.wav": (1, "slow.wav: expected a rate in Hz of 8000 to 192000, got 4000"),
    "enroll Anna talk.wav --to soon": (2, "expected a number, got soon"),
    "file talk.wav --known": (1, "nobody is enrolled in"),
    "file talk.wav --known Ben": (1, "expected an enrolled person, but nobody is enrolled, got Ben"),
    "file talk.wav --save Anna": (2, "expected a speaker and a name like S2=Anna, got Anna"),
    "file talk.wav --save S1=": (2, "expected a speaker and a name like S2=Anna, got S1="),
    "file talk.wav --save S1=S2": (2, "expected a name that turnstream does not use for speakers itself, got S2"),
    "file talk.wav again.wav --save S1=Anna": (1, "--save names speakers of one recording: expected 1, got 2"),
    "people rename Anna": (1, "people rename: expected the old and the new name, got 1"),
    "people delete Anna": (1, "expected an enrolled person, but nobody is enrolled, got Anna"),
    "people delete": (1, "people delete: expected names, got 0"),
    "people import none.json": (1, "cannot read none.json: No such file or directory"),
    "people export --to missing/x.json": (1, "cannot write missing/x.json: No such file or directory"),
    "people sing": (2, "sing"),
}


@pytest.mark.parametrize("arguments", USER_ERRORS)
def test_user_error_is_one_sentence(
    folder: Path,
    saved: object,
    arguments: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """In this process: none of these comes as far as the models."""
    code, words = USER_ERRORS[arguments]
    (folder / "again.wav").write_bytes((folder / "talk.wav").read_bytes())
    soundfile.write(folder / "slow.wav", np.zeros(4000), 4000)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TURNSTREAM_PEOPLE", str(folder / "nobody"))
    monkeypatch.setattr("turnstream.diarizer.Diarizer", None)
    if code == 2:
        with pytest.raises(SystemExit) as stopped:
            main(arguments.split())
        assert stopped.value.code == code
    else:
        assert main(arguments.split()) == code
    said = capsys.readouterr()
    assert one_sentence(said.err)
    assert words in said.err
    assert said.out == ""


def test_saving_a_speaker_who_is_not_there_comes_after_the_results(folder: Path, demo: Path):
    short = cut(demo, folder / "short.wav", *FIRST)
    process = turnstream("file", short, "--save", "S7=Ben", "--people", folder / "nobody")
    assert process.returncode == 1
    assert one_sentence(process.stderr)
    assert "expected one of S1, got S7" in process.stderr
    assert "talk time" in process.stdout


def test_damaged_and_foreign_people_are_told_and_the_others_work(
    folder: Path, demo: Path, saved: tuple[Path, list[dict[str, Any]], str]
):
    store = folder / "mixed"
    PeopleStore(store).add(PeopleStore(saved[0]).export(), "the store")
    (file,) = store.iterdir()
    foreign = file.read_text().replace("Anna Maria", "Ben").replace(json.loads(file.read_text())["model"], "b" * 64)
    (store / "ben.json").write_text(foreign)
    (store / "bad.json").write_text("{")
    short = cut(demo, folder / "mixed.wav", 0.0, 12.0)
    process = turnstream("file", short, "--known", "--people", store)
    assert process.returncode == 0, process.stderr
    assert re.findall(r"^turnstream: warning: .*?(damaged|another embedding model)", process.stderr, re.MULTILINE)
    assert len(process.stderr.splitlines()) == 2
    assert "Anna Maria" in process.stdout
    refused = turnstream("file", short, "--known", "Ben", "--people", store)
    assert refused.returncode == 1
    assert "Ben was enrolled with another embedding model" in refused.stderr


def test_recordings_are_still_checked_first(folder: Path):
    soundfile.write(folder / "nothing.wav", [], 16_000)
    process = turnstream("enroll", "Anna", folder / "nothing.wav", "--people", folder / "nobody")
    assert "nothing.wav holds no audio" in process.stderr
