"""How words with the right speaker are counted: the best mapping, overlap apart, the unknown as wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("pocketsphinx", reason="needs a recognizer: pip install pocketsphinx")

from benchmarks.words import Said, _is_overlapped, counted, recognized, turns_of
from turnstream import Word
from turnstream.rttm import RttmSegment
from turnstream.weights.store import demo_recording

TURNS = turns_of([RttmSegment(0, 5, "S2"), RttmSegment(5, 9, "S1"), RttmSegment(9, 10, "unknown")])


def said(speaker: str, *starts_s: float, overlapped: bool = False) -> list[Said]:
    return [Said(Word(at, at + 0.5, "so"), speaker, overlapped) for at in starts_s]


def test_speakers_are_mapped_as_is_best_for_all_words() -> None:
    words = said("anna", 0, 1, 2, 6) + said("ben", 5, 7) + said("ben", 8, 3, overlapped=True) + said("ben", 9.2)
    counts = counted(words, TURNS)
    assert (counts["all"].words, counts["all"].right) == (9, 6)
    assert (counts["single"].words, counts["single"].right) == (7, 5)
    assert (counts["overlapped"].words, counts["overlapped"].right) == (2, 1)
    assert counts["overlapped"].percent == 50.0


def test_nobody_found_is_nothing_right() -> None:
    assert counted(said("anna", 0, 1), [])["all"].right == 0


def test_a_word_is_overlapped_where_half_of_it_is() -> None:
    others = [RttmSegment(0.0, 1.25, "x"), RttmSegment(1.4, 2.0, "y")]
    assert [_is_overlapped(Word(at, at + 0.5, "so"), others) for at in (1.0, 1.1, 1.15, 2.0)] == [
        True,
        True,
        True,
        False,
    ]
    assert not _is_overlapped(Word(1.2, 1.45, "so"), others)


@pytest.mark.slow
def test_words_have_the_times_at_which_they_are_said() -> None:
    import soundfile

    samples, rate_hz = soundfile.read(demo_recording()[0], dtype="float32", start=96_000, stop=160_000)
    assert rate_hz == 16_000
    words = [word for utterance in recognized(samples) for word in utterance]
    assert len(words) >= 3
    assert all(0 <= word.start_s < word.end_s <= len(samples) / rate_hz + 0.5 for word in words)
    assert [word.segment for word in words] == sorted(word.segment for word in words)
