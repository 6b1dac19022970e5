"""Results that are named and given words later: `--keep`, `turnstream name`, `turnstream words`, `turnstream score`."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import numpy as np
import pytest

from turnstream import Final, PeopleStore, Talk, Turn, TurnstreamError
from turnstream.clients.cli import main
from turnstream.clients.results import Result, Voices, keep, read_result, write_result
from turnstream.events import to_json
from turnstream.limits import EMBEDDING_SIZE
from turnstream.rttm import RttmSegment, format_rttm
from turnstream.stitching.profile import Profile

MODEL = "a" * 64


def voice(seed: int) -> Profile:
    vector = np.random.default_rng(seed).standard_normal(EMBEDDING_SIZE).astype(np.float32)
    return Profile(vector / np.linalg.norm(vector), 20.0)


FINAL = Final(
    "stop",
    10.0,
    (
        Turn("T1", "S1", None, 0.0, 3.0, 3.0, "final"),
        Turn("T2", "S2", "Ben", 3.0, 6.0, 6.0, "final"),
        Turn("T3", None, None, 7.0, 8.0, 8.0, "final"),
    ),
    (Talk("S1", None, None, 3.0), Talk("S2", "Ben", 0.8, 3.0), Talk(None, None, None, 1.0)),
    recording="talk",
)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return keep(tmp_path / "kept", Result(FINAL, Voices(MODEL, {"S1": voice(1), "S2": voice(2)})))


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert re.fullmatch(r"turnstream: .+\n", text)
    return text


def test_what_is_kept_is_read_back(kept: Path) -> None:
    assert kept.name == "talk.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    result = read_result(kept)
    assert result.final == FINAL
    assert result.voices is not None
    assert result.voices.model == MODEL
    for speaker, seed in (("S1", 1), ("S2", 2)):
        np.testing.assert_allclose(result.voices.of[speaker].vector, voice(seed).vector, atol=1e-6)


def test_names_are_given_without_another_run(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, people = tmp_path / "{name}.rttm", tmp_path / "people"
    arguments = ["name", str(kept), "S1=Anna Maria", "--save", "--people", str(people), "--out", str(out)]
    assert main(arguments) == 0
    assert "0:00.0" in (shown := capsys.readouterr().out)
    assert "Anna Maria" in shown
    assert "Anna_Maria" in (tmp_path / "talk.rttm").read_text()
    named = read_result(kept).final
    assert [turn.name for turn in named.turns] == ["Anna Maria", "Ben", None]
    assert [(talk.name, talk.confidence) for talk in named.speakers] == [
        ("Anna Maria", None),
        ("Ben", 0.8),
        (None, None),
    ]
    (person,) = PeopleStore(people).people()
    assert person.name == "Anna Maria"
    np.testing.assert_allclose(person.profile_for(MODEL).vector, voice(1).vector, atol=1e-6)


def test_names_can_be_taken_away_and_exchanged(kept: Path) -> None:
    assert main(["name", str(kept), "S1=Ben", "S2=Anna"]) == 0
    assert [turn.name for turn in read_result(kept).final.turns] == ["Ben", "Anna", None]
    assert main(["name", str(kept), "S1="]) == 0
    assert [turn.name for turn in read_result(kept).final.turns] == [None, "Anna", None]


def test_who_talks_is_corrected_without_another_run(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = json.loads(kept.read_text())
    lines = [{"speaker": s, "name": None, "start": t, "end": t + 1, "text": "x"} for s, t in (("S1", 1), (None, 7))]
    kept.write_text(json.dumps({**fields, "lines": lines}))
    assert main(["name", str(kept), "T3=S1", "T1=new", "S3=Anna"]) == 0
    result = read_result(kept)
    assert [(t.id, t.speaker, t.name) for t in result.final.turns] == [
        ("T1", "S3", "Anna"),
        ("T2", "S2", "Ben"),
        ("T3", "S1", None),
    ]
    assert [(t.speaker, t.talk_s) for t in result.final.speakers] == [("S1", 1.0), ("S2", 3.0), ("S3", 3.0)]
    assert [line["speaker"] for line in json.loads(kept.read_text())["lines"]] == ["S3", "S1"]
    assert main(["name", str(kept), "S1=S2", "s3=s2"]) == 0
    result = read_result(kept)
    assert [(t.id, t.speaker, t.name, t.end_s) for t in result.final.turns] == [
        ("T1", "S2", "Ben", 6.0),
        ("T3", "S2", "Ben", 8.0),
    ]
    assert [(t.speaker, t.talk_s) for t in result.final.speakers] == [("S2", 7.0)]
    assert {line["name"] for line in json.loads(kept.read_text())["lines"]} == {"Ben"}
    assert result.voices
    assert list(result.voices.of) == ["S2"]
    assert result.voices.of["S2"].clean_s == pytest.approx(40.0)
    with pytest.raises(SystemExit):
        main(["name", str(kept), "T1=Anna"])
    assert "expected a turn and whose it is, like T5=S2 or T5=new, got T1=Anna" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["S7=Anna"], "expected one of S1, S2, got S7"),
        (["S1=ben"], "two speakers would be called ben"),
        (["S1=S7"], "expected one of S1, S2, got S7"),
        (["S1=S1"], "expected two speakers, got S1 twice"),
        (["T9=S1"], "expected a turn of this result, got T9"),
        (["S2=S1", "S2=Anna"], "expected one of S1, got S2"),
        (["S1=Anna", "--out", "missing/x.srt"], "cannot write missing/x.srt"),
    ],
)
def test_what_cannot_be_named_changes_nothing(
    kept: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = kept.read_bytes()
    assert main(["name", str(kept), *arguments]) == 1
    assert said in complaint(capsys)
    assert kept.read_bytes() == before


def test_a_result_without_voices_can_be_named_but_not_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `--out talk.json` writes it, with words, which are kept."""
    path = tmp_path / "talk.json"
    lines = [{"speaker": "S1", "name": None, "start": 0.0, "end": 1.0, "text": "hello"}]
    path.write_text(json.dumps({**json.loads(to_json(FINAL)), "lines": lines}))
    assert main(["name", str(path), "S1=Anna", "--save", "--people", str(tmp_path / "people")]) == 1
    assert "has no voice of S1: expected a result of --keep" in complaint(capsys)
    assert main(["name", str(path), "S1=Anna"]) == 0
    assert json.loads(path.read_text())["lines"] == [{**lines[0], "name": "Anna"}]


def test_json_lines_and_rttm_are_results_but_cannot_be_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, rttm = tmp_path / "talk.jsonl", tmp_path / "talk.rttm"
    events.write_text('{"type":"recording","path":"talk.wav"}\n' + to_json(FINAL) + "\n")
    rttm.write_text(FINAL.to_rttm())
    assert read_result(events).final == FINAL
    found = read_result(rttm).final
    assert [(turn.speaker, turn.name) for turn in found.turns] == [("S1", None), ("S2", "Ben"), (None, None)]
    assert found.to_rttm() == FINAL.to_rttm()
    for path in (events, rttm):
        before = path.read_bytes()
        assert main(["name", str(path), "S1=Anna"]) == 1
        assert "expected a result in JSON, as --keep and --out FILE.json write it" in complaint(capsys)
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "expected a final result: RTTM, or JSON"),
        ('{"type":"speaker"}', "expected a final result"),
        ("nothing at all", "expected the turns of one recording"),
        (to_json(FINAL)[:-1] + ',"voices":{}}', "its part `voices` is not an export of people"),
        (to_json(FINAL)[:-1] + ',"lines":3}', "expected a list of lines"),
    ],
)
def test_what_is_no_result_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(TurnstreamError, match=said):
        read_result(tmp_path / "x.json")


def test_writing_where_one_cannot_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (
        lambda: keep(tmp_path / "file", Result(FINAL)),
        lambda: write_result(tmp_path / "no/x", Result(FINAL)),
    ):
        with pytest.raises(TurnstreamError, match=r"^cannot write "):
            write()


# Words


def test_words_come_out_as_they_went_in(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    srt = tmp_path / "talk.srt"
    srt.write_text("1\n00:00:00,500 --> 00:00:02,000\nHello\n\n2\n00:00:04,000 --> 00:00:05,000\nHi\n")
    assert main(["words", str(kept), str(srt)]) == 0
    assert capsys.readouterr().out == (
        "1\n00:00:00,500 --> 00:00:02,000\nS1: Hello\n\n2\n00:00:04,000 --> 00:00:05,000\nBen: Hi\n"
    )
    assert main(["words", str(kept), str(srt), "--out", f"{tmp_path}/out.vtt", "--out", f"{tmp_path}/out.csv"]) == 0
    assert capsys.readouterr().out == ""
    assert "<v Ben>Hi" in (tmp_path / "out.vtt").read_text()
    assert "4.000,5.000,Ben,Hi" in (tmp_path / "out.csv").read_text()


# Score


def rttm(path: Path, **turns: list[tuple[float, float, str]]) -> str:
    path.write_text("".join(format_rttm(name, [RttmSegment(*turn) for turn in found]) for name, found in turns.items()))
    return str(path)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if re.search(r"\d+\.\d\d$", line)]


def test_score_tells_each_part_with_and_without_collar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyannote.metrics", reason="needs pyannote.metrics: pip install 'turnstream[tune]'")
    reference = rttm(tmp_path / "ref.rttm", a=[(0, 10, "x"), (10, 20, "y")], b=[(0, 10, "x")])
    found = rttm(tmp_path / "hyp.rttm", a=[(0, 11, "S1"), (11, 20, "S2")], b=[(0, 8, "S1"), (20, 21, "S1")])
    assert main(["score", reference, found]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    exact, lenient = rows(told.out)[:3], rows(told.out)[3:]
    assert exact[0] == ["a", "5.00", "0.00", "0.00", "5.00", f"{100 * (1 / 11 + 1 / 10) / 2:.2f}"]
    assert exact[1] == ["b", "30.00", "10.00", "20.00", "0.00", f"{100 * 3 / 11:.2f}"]
    assert exact[2][:2] == ["all", "13.33"]
    assert float(lenient[0][1]) < 5.0
    assert "collar 0.25 s" in told.out


def test_two_files_about_one_recording_belong_together_and_a_uem_limits(
    tmp_path: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyannote.metrics", reason="needs pyannote.metrics: pip install 'turnstream[tune]'")
    reference = rttm(tmp_path / "ref.rttm", meeting=[(0, 3, "x"), (3, 6, "y")])
    assert main(["score", reference, str(kept)]) == 0
    assert rows(capsys.readouterr().out)[0] == ["meeting", "16.67", "16.67", "0.00", "0.00", "0.00"]
    (tmp_path / "parts.uem").write_text("meeting 1 0 6\n")
    assert main(["score", reference, str(kept), "--uem", str(tmp_path / "parts.uem")]) == 0
    assert rows(capsys.readouterr().out)[0][1] == "0.00"


def test_recordings_that_only_one_side_has_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyannote.metrics", reason="needs pyannote.metrics: pip install 'turnstream[tune]'")
    reference = rttm(tmp_path / "ref.rttm", a=[(0, 10, "x")], b=[(0, 10, "x")])
    found = rttm(tmp_path / "hyp.rttm", a=[(0, 10, "S1")], c=[(0, 10, "S1")])
    assert main(["score", reference, found]) == 0
    told = capsys.readouterr()
    assert "no turns of b: all of their speech counts as missed" in told.err
    assert "no turns of c: they are left out" in told.err
    assert rows(told.out)[1][:4] == ["b", "100.00", "0.00", "100.00"]
