"""Simulated conversations: labels against what each speaker really adds to the mixture, parts, seeds, errors."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.sim.acoustics import rooms_in
from benchmarks.sim.speech import clips_of, islands_of, part, read_audio, speaker_names
from benchmarks.simulate import Conversation, Library, Options, chosen_speakers, conversation, main, split_of
from turnstream.errors import AudioError, TurnstreamError
from turnstream.rttm import parse_rttm

pytestmark = pytest.mark.slow

RATE = 16_000
SPEECH_S = ((0.3, 1.3), (1.7, 2.1), (2.25, 3.0))  # a pause of 0.4 s that splits, one of 0.15 s that does not


def utterance(seed: int) -> np.ndarray:
    """3.4 s of noise bursts at SPEECH_S over a quiet floor."""
    rng = np.random.default_rng(seed)
    samples = 1e-3 * rng.standard_normal(round(3.4 * RATE))
    for start, end in SPEECH_S:
        place = slice(round(start * RATE), round(end * RATE))
        samples[place] += 0.1 * rng.standard_normal(place.stop - place.start)
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers of twelve recordings, in two formats and rates; two noises; two rooms, one with two places."""
    root = tmp_path_factory.mktemp("folder")
    for name in "abcdef":
        (root / "speech" / name).mkdir(parents=True)
        for n in range(12):
            samples = utterance(100 * ord(name) + n)
            if n % 2:
                soundfile.write(root / "speech" / name / f"{n:02d}.flac", samples, RATE)
            else:
                soundfile.write(root / "speech" / name / f"{n:02d}.wav", np.repeat(samples, 3), 3 * RATE)
    (root / "noise").mkdir()
    (root / "rooms" / "hall").mkdir(parents=True)
    rng = np.random.default_rng(5)
    for name in ("hiss", "hum"):
        soundfile.write(root / "noise" / f"{name}.wav", 0.1 * rng.standard_normal(2 * RATE), RATE)
    decay = np.exp(-np.arange(2000) / 300)
    for name in ("cell.wav", "hall/left.wav", "hall/right.wav"):
        response = np.concatenate([np.zeros(100), [1.0], 0.2 * decay * rng.standard_normal(2000)])
        soundfile.write(root / "rooms" / name, response / np.abs(response).max(), RATE)
    return root


def options(folder: Path | None = None, **changes: object) -> Options:
    """Conversations of a minute; with noise and rooms when a folder is given."""
    chosen: dict = {"seed": 1, "minutes": (1.0, 1.0), "count": (3, 4), "overlap": 0.1}
    chosen |= {"snr_db": (10.0, 10.0), "level_spread_db": 3.0}
    if folder is not None:
        chosen |= {"noises": tuple(sorted((folder / "noise").iterdir()))}
        chosen |= {"rooms": tuple((name, tuple(paths)) for name, paths in rooms_in(folder / "rooms"))}
    return Options(**(chosen | changes))


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    """All six speakers."""
    return Library(folder / "speech", speaker_names(folder / "speech"))


def made(library: Library, seed: int, **changes: object) -> Conversation:
    """One dry conversation, without rooms or noise."""
    return conversation(library, options(seed=seed, **changes), 0)


def test_islands_are_the_speech_to_ten_milliseconds_and_short_pauses_do_not_split() -> None:
    found = np.array(islands_of(utterance(1))) / RATE
    np.testing.assert_allclose(found, [(0.3, 1.3), (1.7, 3.0)], atol=0.012)


def test_a_soft_hiss_before_a_vowel_belongs_to_the_speech() -> None:
    samples, rng = utterance(2), np.random.default_rng(3)
    hiss = np.diff(rng.standard_normal(round(0.1 * RATE) + 1)) * 0.008
    samples[round(0.2 * RATE) : round(0.3 * RATE)] += hiss.astype(np.float32)
    assert islands_of(samples)[0][0] / RATE == pytest.approx(0.2, abs=0.012)


def test_no_sample_of_a_recording_is_in_two_clips(speech_data: Path) -> None:
    paths = sorted((speech_data / "speakers").glob("*/*.flac"))[::12]
    backchannels = 0
    for path in paths:
        utterances, backs = clips_of("x", path)
        backchannels += len(backs)
        for clip in utterances + backs:
            start = int(clip.name.rpartition("@")[2])
            np.testing.assert_array_equal(clip.samples, read_audio(path)[start:][: len(clip.samples)])
        speech = [
            (int(clip.name.rpartition("@")[2]) + s, int(clip.name.rpartition("@")[2]) + e)
            for clip in utterances + backs
            for s, e in clip.islands
        ]
        assert sorted(speech) == islands_of(read_audio(path))
    assert len(paths) >= 20
    assert backchannels > 0


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_where_each_stem_has_speech(library: Library, seed: int) -> None:
    result = made(library, seed)
    np.testing.assert_allclose(sum(result.stems.values()), result.samples, atol=1e-6)
    for speaker, stem in result.stems.items():
        loud = np.zeros(len(stem), bool)
        labeled = [turn for turn in result.labels if turn.speaker == speaker]
        for turn in labeled:
            loud[round(turn.start_s * RATE) : round(turn.end_s * RATE)] = True
        # bursts of 0.1 and more over a floor a hundred times lower: the power outside the labels is what leaked
        inside, outside = (stem[loud].astype(float) ** 2).sum(), (stem[~loud].astype(float) ** 2).sum()
        assert outside < 0.01 * inside
        for turn in labeled:
            burst = stem[round(turn.start_s * RATE) : round(turn.end_s * RATE)].astype(float)
            edge = burst[round(0.015 * RATE) :][: round(0.05 * RATE)]
            assert np.sqrt((edge**2).mean()) > 0.4 * np.sqrt((burst**2).mean())


@pytest.mark.parametrize("seed", range(4))
def test_nobody_talks_over_himself_and_nothing_comes_twice_while_there_is_more(library: Library, seed: int) -> None:
    result = made(library, seed, minutes=(0.5, 0.5))
    for speaker in result.stems:
        turns = sorted((t.start_s, t.end_s) for t in result.labels if t.speaker == speaker)
        assert all(before[1] <= after[0] for before, after in pairwise(turns))
    clips = [placed["clip"] for placed in result.drawn["placed"]]
    assert len(set(clips)) == len(clips)
    assert result.drawn["repeated"] == []


def test_what_comes_twice_is_named(library: Library) -> None:
    result = made(library, 3, minutes=(4.0, 4.0), count=(2, 2))
    clips = [placed["clip"] for placed in result.drawn["placed"]]
    twice = sorted(clip for clip in set(clips) for _ in range(clips.count(clip) - 1))
    assert twice
    assert result.drawn["repeated"] == twice


@pytest.mark.parametrize("wanted", [0.0, 0.05, 0.1])
def test_overlap_is_about_what_was_asked_for(library: Library, wanted: float) -> None:
    got = [made(library, seed, overlap=wanted).drawn["overlap_share_of_speech"] for seed in range(4)]
    assert np.mean(got) == pytest.approx(wanted, abs=0.35 * wanted)


def test_everybody_is_heard_and_comes_back(library: Library) -> None:
    result = made(library, 1, count=(6, 6), minutes=(3.0, 3.0))
    assert sorted(result.stems) == list("abcdef")
    absences = []
    for speaker in result.stems:
        starts = [turn.start_s for turn in result.labels if turn.speaker == speaker]
        absences += np.diff(starts).tolist()
    assert max(absences) > 30


def test_noise_is_at_its_ratio_and_the_room_moves_no_onset(library: Library, folder: Path) -> None:
    dry, wet = made(library, 4), conversation(library, options(folder, seed=4), 0)
    speech = np.sum(list(wet.stems.values()), axis=0).astype(float)
    scale = float(wet.samples.astype(float) @ speech / (speech @ speech))
    noise = wet.samples / scale - speech
    talking = np.zeros(len(speech), bool)
    for turn in wet.labels:
        talking[round(turn.start_s * RATE) : round(turn.end_s * RATE)] = True
    ratio_db = 10 * np.log10((speech[talking] ** 2).mean() / (noise**2).mean())
    assert ratio_db == pytest.approx(10, abs=0.3)
    assert wet.labels == dry.labels
    for speaker in dry.stems:
        a, b = dry.stems[speaker].astype(float), wet.stems[speaker].astype(float)
        products = [float(a[: len(a) - lag] @ b[lag:]) for lag in range(20)]
        assert int(np.argmax(np.abs(products))) == 0


def asked(out: Path, folder: Path, *more: str) -> list[str]:
    """The arguments of the command for the synthetic folder."""
    asked = [str(out), "--speech", str(folder / "speech"), "--conversations", "2"]
    return [*asked, "--minutes", "0.5", "1", "--count", "2", "3", *more]


def run_command(out: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command on the synthetic folder."""
    command = [sys.executable, "-m", "benchmarks.simulate", *asked(out, folder, *more)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path, folder: Path) -> None:
    extra = ("--noise", str(folder / "noise"), "--rooms", str(folder / "rooms"), "--seed")
    runs = {
        name: run_command(tmp_path / name, folder, *extra, seed) for name, seed in (("x", "1"), ("y", "1"), ("z", "2"))
    }
    assert [run.returncode for run in runs.values()] == [0, 0, 0], runs["x"].stderr
    files = {name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in runs}
    assert len(files["x"]) == 6
    assert files["x"] == files["y"]
    assert files["x"] != files["z"]
    told = json.loads(files["x"]["c00.json"])
    turns = parse_rttm(files["x"]["c00.rttm"].decode())["c00"]
    assert {turn.speaker for turn in turns} == set(told["speakers"])
    assert soundfile.info(tmp_path / "x" / "c00.flac").duration == pytest.approx(told["length_s"], abs=1e-3)


def test_parts_of_a_split_are_disjoint_and_make_the_whole() -> None:
    names = [f"s{n:02d}" for n in range(11)]
    parts = [chosen_speakers(names, None, (n, 3)) for n in (1, 2, 3)]
    assert sorted(name for names in parts for name in names) == names
    assert part(names, *split_of("2/3")) == parts[1]
    assert chosen_speakers(names, ["s03", "s01"], (1, 3)) == ["s01", "s03"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--speakers", "a", "nobody"), "got nobody"),
        (("--speakers", "a"), "at least 2 speakers, got 1"),
        (("--split", "3/2"), "expected a part like 1/2, got 3/2"),
        (("--count", "9", "9"), "at least 9 speakers to choose from, got 6"),
        (("--minutes", "4", "3"), "the least first, got 4.0 3.0"),
        (("--overlap", "0.9"), "expected 0 to 0.5, got 0.9"),
        (("--noise", "nowhere"), "got nowhere"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path,
    folder: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process: starting one for each takes a second."""
    monkeypatch.setattr(sys, "argv", ["simulate", *asked(tmp_path, folder, *arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    told = stopped.value.code if isinstance(stopped.value.code, str) else capsys.readouterr().err
    assert said in told.splitlines()[-1]


def test_unreadable_and_silent_recordings_are_named(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "1.wav", np.zeros(RATE), RATE)
    with pytest.raises(TurnstreamError, match=r"expected speech in .*a, got silence"):
        Library(tmp_path, ["a", "b"])
    (tmp_path / "a" / "0.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"cannot read .*0\.wav"):
        Library(tmp_path, ["a", "b"])
