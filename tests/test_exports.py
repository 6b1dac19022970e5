"""Results in files: every format read back by somebody else's reader, names everywhere, and paths checked at first."""

from __future__ import annotations

import builtins
import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from turnstream import Final, Talk, Turn, TurnstreamError
from turnstream.clients.exports.document import Document
from turnstream.clients.exports.formats import FORMATS, PICTURES, format_of
from turnstream.clients.exports.targets import Exports, Target
from turnstream.clients.options import OutputOptions
from turnstream.clients.outputs import Outputs, Stdout
from turnstream.clients.words.transcript import read_transcript
from turnstream.events import to_json
from turnstream.protocol.messages import decode_server
from turnstream.rttm import parse_rttm

ANNA = 'Anna "the" <b> & Co'
TURNS = (
    Turn("T1", "S1", ANNA, 0.5, 2.25, 2.25, "final"),
    Turn("T3", None, None, 7.0, 8.0, 8.0, "final"),
    Turn("T2", "S2", None, 2.0, 5.0, 5.0, "final"),
    Turn("T4", "S1", ANNA, 2.2, 4.0, 4.0, "final"),
)
FINAL = Final(
    "stop", 3725.5, TURNS, (Talk("S1", ANNA, None, 3.55), Talk("S2", None, None, 3.0), Talk(None, None, None, 1.0))
)
PLAIN = Document("talk", FINAL)
TURN_TIERS = {
    ANNA: [(500, 2250, ANNA), (2250, 4000, ANNA)],  # none reaches into the next
    "S2": [(2000, 5000, "S2")],
    "unknown": [(7000, 8000, "unknown")],
}
SRT = "1\n00:00:00,600 --> 00:00:01,800\nHello, Ben\n\n2\n00:00:03,000 --> 00:00:05,000\nyes\n"


@pytest.fixture
def told(tmp_path: Path) -> Document:
    """With the words of a transcript."""
    (tmp_path / "talk.srt").write_text(SRT)
    return Document.of("talk", FINAL, read_transcript(tmp_path / "talk.srt"))


def written(document: Document, ending: str) -> str:
    return format_of(f"x{ending}", {**FORMATS, **PICTURES})(document).decode()


def test_rttm() -> None:
    segments = parse_rttm(written(PLAIN, ".rttm"))["talk"]
    assert [(s.start_s, s.end_s, s.speaker) for s in segments][:2] == [
        (0.5, 2.25, ANNA.replace(" ", "_")),
        (2.0, 5.0, "S2"),
    ]
    assert segments[-1].speaker == "unknown"


def test_json_is_the_final_message(told: Document) -> None:
    assert decode_server(written(PLAIN, ".json"))[1] == FINAL
    assert json.loads(written(PLAIN, ".json")) == json.loads(to_json(FINAL))
    fields = json.loads(written(told, ".json"))
    assert fields.pop("lines") == [
        {"speaker": "S1", "name": ANNA, "start": 0.6, "end": 1.8, "text": "Hello, Ben"},
        {"speaker": "S2", "name": None, "start": 3.0, "end": 5.0, "text": "yes"},
    ]
    assert fields == json.loads(to_json(FINAL))


def test_subtitles(told: Document) -> None:
    assert written(PLAIN, ".srt").split("\n\n")[1] == "2\n00:00:02,000 --> 00:00:05,000\nS2"
    assert written(PLAIN, ".vtt").split("\n\n")[1] == (
        '00:00:00.500 --> 00:00:02.250\n<v Anna "the" &lt;b&gt; &amp; Co>Anna "the" &lt;b&gt; &amp; Co'
    )
    assert written(told, ".vtt").split("\n\n")[2] == "00:00:03.000 --> 00:00:05.000\n<v S2>yes\n"
    assert written(told, ".srt") == SRT.replace("Hello", f"{ANNA}: Hello").replace("yes", "S2: yes")


def test_tables_lines_and_labels(told: Document) -> None:
    rows = list(csv.reader(io.StringIO(written(told, ".csv"))))
    assert rows[:2] == [["start", "end", "speaker", "text"], ["0.600", "1.800", ANNA, "Hello, Ben"]]
    assert len(list(csv.reader(io.StringIO(written(PLAIN, ".csv"))))) == 5
    assert written(told, ".txt") == f"[00:00:00] {ANNA}: Hello, Ben\n[00:00:03] S2: yes\n"
    assert written(PLAIN, ".labels.txt").splitlines()[-1] == "7.000000\t8.000000\tunknown"


@pytest.mark.parametrize("ending", [".TextGrid", ".eaf"])
def test_tiers(ending: str, told: Document, tmp_path: Path) -> None:
    pympi = pytest.importorskip("pympi", reason="needs pympi-ling: pip install 'turnstream[export]'")
    for document, expected in (
        (PLAIN, TURN_TIERS),
        (told, {ANNA: [(600, 1800, "Hello, Ben")], "S2": [(3000, 5000, "yes")]}),
    ):
        (tmp_path / "x").write_bytes(format_of(f"x{ending}", FORMATS)(document))
        if ending == ".eaf":
            tiers = {
                tier.get("TIER_ID"): [value.text for value in tier.iter("ANNOTATION_VALUE")]
                for tier in ElementTree.parse(tmp_path / "x").getroot().iter("TIER")
            }
            assert tiers == {label: [text for _, _, text in found] for label, found in expected.items()}
            eaf = pympi.Elan.Eaf(str(tmp_path / "x"))
            assert {n: sorted(a[:2] for a in eaf.get_annotation_data_for_tier(n)) for n in tiers} == {
                label: [(start_ms, end_ms) for start_ms, end_ms, _ in found] for label, found in expected.items()
            }
        else:
            text = (tmp_path / "x").read_text()
            assert 'name = "Anna ""the"" <b> & Co"' in text
            assert "xmax = 3725.500000" in text
            for start_ms, end_ms, said in (each for found in expected.values() for each in found):
                quoted = said.replace('"', '""')
                assert (
                    f'xmin = {start_ms / 1000:f}\n            xmax = {end_ms / 1000:f}\n            text = "{quoted}"'
                    in text
                )


def test_pictures(told: Document) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'turnstream[export]'")
    from PIL import Image

    drawn = ElementTree.fromstring(written(PLAIN, ".svg"))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"talk", ANNA, "S2", "unknown", "0:00", "60:00"} <= set(texts)
    assert texts.index(ANNA) < texts.index("S2") < texts.index("unknown")
    with Image.open(io.BytesIO(PICTURES[".png"](told))) as picture:
        assert picture.size[0] > 1000
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colors


@pytest.mark.parametrize("ending", [*FORMATS, *PICTURES])
def test_silence_can_be_written(ending: str) -> None:
    assert format_of(f"x{ending}", {**FORMATS, **PICTURES})(Document("x", Final("stop", 0.0, (), ()))) is not None


# Where they go


def test_the_longest_ending_counts_whatever_its_case() -> None:
    assert format_of("a/b.Labels.TXT", FORMATS) is FORMATS[".labels.txt"]
    assert format_of("a.rttm/b.txt", FORMATS) is FORMATS[".txt"]
    with pytest.raises(TurnstreamError, match=r"^expected a file that ends in one of \.rttm, .*, got a\.doc$"):
        format_of("a.doc", FORMATS)


@pytest.mark.parametrize(("package", "ending"), [("pympi", ".eaf"), ("pympi", ".TextGrid"), ("matplotlib", ".png")])
def test_what_is_missing_is_said_before_the_audio_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, ending: str
) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TurnstreamError, match=r"pip install 'turnstream\[export\]'$"):
        Exports([(str(tmp_path / f"x{ending}"), {**FORMATS, **PICTURES})], [Path("talk.wav")])
    assert list(tmp_path.iterdir()) == []


def outputs(recordings: list[str], **options: Any) -> Outputs:
    return Outputs(Stdout(io.StringIO()), OutputOptions(**options), [Path(name) for name in recordings])


def test_speakers_are_numbered_without_gaps_on_request(tmp_path: Path) -> None:
    new = {"S1": "S3", "S2": "S7"}  # S1 and others were merged
    turns = tuple(replace(turn, speaker=new.get(str(turn.speaker))) for turn in TURNS)
    told = replace(
        FINAL, turns=turns, speakers=tuple(replace(t, speaker=new.get(str(t.speaker))) for t in FINAL.speakers)
    )
    assert told.renumbered() == FINAL
    assert FINAL.renumbered() == FINAL
    files = {name: tmp_path / f"{name}.rttm" for name in ("told", "renumbered")}
    for name, path in files.items():
        shown = outputs(["a"], out=(str(path),), renumber=name == "renumbered").final(Path("a"), told)
        assert shown.final == told, "what is on the screen is what was told"
    labels = {name: {s.speaker for s in parse_rttm(path.read_text())["a"]} for name, path in files.items()}
    assert labels["told"] - labels["renumbered"] == {"S7"}
    assert labels["renumbered"] - labels["told"] == {"S2"}


def test_each_recording_has_its_files(tmp_path: Path) -> None:
    out = (f"{tmp_path}/{{name}}/turns.csv", f"{tmp_path}/{{name}}.srt", f"{tmp_path}/all.rttm")
    (tmp_path / "a.words.srt").write_text(SRT)
    (tmp_path / "b.words.srt").write_text(SRT)
    made = outputs(["x/a.wav", "b.m4a"], out=out, words=f"{tmp_path}/{{name}}.words.srt")
    for name in ("x/a.wav", "b.m4a"):
        made.final(Path(name), FINAL)
    for name in ("a", "b"):
        assert (tmp_path / name / "turns.csv").read_text().count("Hello") == 1
        assert f"{ANNA}: Hello" in (tmp_path / f"{name}.srt").read_text()
    assert [*parse_rttm((tmp_path / "all.rttm").read_text())] == ["a", "b"]


@pytest.mark.parametrize(
    ("recordings", "options", "said"),
    [
        (["a.wav"], {"out": ("a.srt", "./a.srt")}, r"two results would be written to \./a\.srt"),
        (["a.wav"], {"out": ("a.rttm",), "live_rttm": "a.rttm"}, r"two results would be written to a\.rttm"),
        (["a.wav", "b.wav"], {"words": "a.srt"}, r"one transcript of 2 recordings: expected \{name\} in it"),
        (["a.wav", "b.wav"], {"out": ("a.srt",)}, r"a\.srt is one file for 2 recordings: expected \{name\}"),
        (["a.wav", "x/a.wav"], {"out": ("{name}.srt",)}, "by one name"),
        (["a.wav", "x/a.wav"], {"keep": Path("kept")}, "by one name"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recordings: list[str], options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TurnstreamError, match=said):
        outputs(recordings, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_was_there_keeps_what_it_held_until_there_is_a_result(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("old")
    target = Target(str(tmp_path / "x.txt"), [Path("a.wav")], appends=False)
    assert (tmp_path / "x.txt").read_text() == "old"
    target.write(Path("a.wav"), b"new")
    assert (tmp_path / "x.txt").read_text() == "new"
