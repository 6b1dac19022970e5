"""The accuracy benchmark from recordings to tables: every row is there, and parts add up."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks.accuracy.figures import figures, series
from benchmarks.accuracy.recordings import annotated
from benchmarks.accuracy.report import Report, print_report
from benchmarks.der import Job, Measured, measure, result
from benchmarks.results import read
from tests.tone_speakers import ToneModels, conversation, write_recording
from turnstream.clients.evaluation.recordings import Recording, read_samples
from turnstream.clients.evaluation.scoring import Errors, pooled, score
from turnstream.errors import TurnstreamError
from turnstream.rttm import RttmSegment
from turnstream.stitching.config import StitcherConfig

ROWS = {f"{kind} {at}" for kind in ("oracle", "live", "revised", "diart") for at in ("0.5 s", "1 s")}
ROWS |= {"oracle final", "voices final", "first", "final", "diart final", "ahc average", "ahc centroid"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[Measured]:
    """Two recordings, one of them with a seed beside it."""
    folder = tmp_path_factory.mktemp("der")
    for n in range(2):
        write_recording(folder / f"{n}.wav", conversation(n, 5))
    (folder / "1.json").write_text('{"seed": 7}')
    models = ToneModels()
    jobs = [Job(path, folder / "kept", (0.5, 1.0), True, StitcherConfig()) for path in annotated([folder])]
    return [measure(job, models) for job in jobs]  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_row_is_measured_and_printed(measured: list[Measured], capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(StitcherConfig())
    for one in measured:
        report.add(one)
    print_report(report)
    shown = capsys.readouterr().out
    assert set(report.rows) == ROWS
    assert all(f"\n{row} " in shown for row in ROWS)
    assert "speakers found / true:" in shown
    assert list(report.rows)[:3] == ["oracle 0.5 s", "oracle 1 s", "oracle final"]


def test_the_result_holds_what_is_needed_to_measure_again(measured: list[Measured], tmp_path: Path) -> None:
    report = Report(StitcherConfig(), list(measured))
    asked = argparse.Namespace(name="der_x", latency=[0.5, 1.0], engine_only=False)
    told = read(result(report, asked, 0.5).write(tmp_path)).fields
    assert told["name"] == "der_x"
    assert told["machine"]["load_at_start"] == 0.5
    assert told["parameters"]["stitcher"]["cluster_distance"] == StitcherConfig().cluster_distance
    assert [entry["seed"] for entry in told["data"]] == [None, 7]
    assert [len(entry["sha256"]) for entry in told["data"]] == [64, 64]


def test_figures_are_the_rows_and_their_parts_add_up(measured: list[Measured]) -> None:
    report = Report(StitcherConfig(), list(measured))
    found = figures(report)
    for row in ("live_0.5s", "live_1s", "revised_1s", "final", "oracle_final", "ahc_average", "diart_1s"):
        for collar in ("0", "0.25"):
            parts = [found[f"{row}.collar_{collar}.{part}"].value for part in ("false_alarm", "missed", "confusion")]
            assert found[f"{row}.collar_{collar}.der"].value == pytest.approx(sum(parts))
    assert found["final.collar_0.der"].value == pytest.approx(100 * report.rows["final"][0].der)
    assert found["speakers.true"].value == sum(m.speakers_true for m in measured)
    assert found["embeddings"].value == round(sum(m.embeddings_per_s * m.duration_s for m in measured))


def test_curves_are_in_the_order_of_their_latencies(measured: list[Measured]) -> None:
    report = Report(StitcherConfig(), list(measured))
    curves = series(report)["latency"]
    assert curves["latency_s"] == [0.5, 1.0]
    live = [100 * report.rows[f"live {latency} s"][0].der for latency in ("0.5", "1")]
    assert curves["live"] == pytest.approx(live, abs=0.001)


def test_errors_are_counted_in_the_annotated_part_alone(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.wav", [(1.0, 4.0, 0), (5.0, 9.0, 1)])
    path.with_suffix(".uem").write_text("a 1 0.000 6.000\n")
    recording = Recording(path, tmp_path, ToneModels())  # type: ignore[arg-type]
    swapped = [RttmSegment(1.0, 4.0, "x"), RttmSegment(5.0, 5.5, "x"), RttmSegment(4.2, 4.5, "y")]
    exact, forgiving = score(recording, swapped)
    assert exact.speech_s == pytest.approx(4.0)
    assert (exact.missed_s, exact.confusion_s) == pytest.approx((0.5, 0.5))
    assert exact.false_alarm_s == pytest.approx(0.3)
    assert exact.der == pytest.approx(1.3 / 4)
    assert forgiving.speech_s == pytest.approx(2.5 + 0.75)
    assert pooled([exact, Errors()]) == exact


def test_an_annotated_recording_is_heard_as_the_engine_hears_it(speech_data: Path) -> None:
    import numpy as np
    import soundfile

    path = speech_data / "ami" / "ami_EN2001a_0000.flac"
    samples, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(read_samples(path), samples)


def test_folders_are_the_recordings_in_them(tmp_path: Path) -> None:
    with pytest.raises(TurnstreamError, match=r"with a \.rttm beside them in .*, got none"):
        annotated([tmp_path])
    path = write_recording(tmp_path / "a.wav", conversation(0, 2))
    (tmp_path / "b.flac").write_bytes(b"")
    assert annotated([tmp_path]) == [path]
    assert annotated([path]) == [path]
