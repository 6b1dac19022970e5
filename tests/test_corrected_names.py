"""Names of corrected speakers, and what cannot be corrected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from corrections_kit import Heard, halfway, hummed
from tone_speakers import conversation

from turnstream.errors import CorrectionError, TurnstreamError
from turnstream.events import Speaker


def test_whose_last_turn_follows_a_split_is_merged_and_the_name_goes_along() -> None:
    heard = Heard(hummed([(1, 3.6, 0), (3.6, 5, 1), (5, 12, 2), (12.5, 14, 0)], 30))
    heard.hear(0, 14.5)
    assert heard.longest("S1").id == "T1"
    heard.take(heard.session.assign("T1", "new"))
    heard.take(heard.session.name("S1", "Anna"))
    heard.hear(14.5, 30)
    final = heard.end()
    assert ("S1", "S4") in [(one.id, one.into) for one in heard.events if isinstance(one, Speaker)]
    assert heard.speakers == {"S2", "S3", "S4"}
    assert {turn.speaker: turn.name for turn in final.turns} == {"S2": None, "S3": None, "S4": "Anna"}


def test_somebody_new_of_nobodys_turn_is_gone_once_taken_back_and_their_name_is_free() -> None:
    heard = Heard(hummed(conversation(5, 10)))
    heard.hear(0, 8)
    turn = next(turn for turn in heard.table.values() if turn.speaker is None)
    appeared, _ = heard.take(heard.session.assign(turn.id, "new"))
    assert isinstance(appeared, Speaker)
    heard.take(heard.session.name(appeared.id, "Anna"))
    told = heard.take(heard.session.undo())
    states = [(one.id, one.state, one.into, one.name) for one in told if isinstance(one, Speaker)]
    assert states == [(appeared.id, "merged", None, None), (appeared.id, "named", None, None)]
    assert heard.take(heard.session.name("S1", "Anna"))


def test_what_cannot_be_corrected_is_one_sentence() -> None:
    heard = halfway()
    asked: list[tuple[Callable[[], object], str, str]] = [
        (lambda: heard.session.merge("S9", "S1"), "unknown_speaker", "expected one of S1, S2, S3, got S9"),
        (lambda: heard.session.merge("S1", "s1"), "same_speaker", "expected two speakers, got S1 twice"),
        (lambda: heard.session.assign("T999", "S1"), "unknown_turn", "expected a turn of this stream, got T999"),
        (lambda: heard.session.assign("T1", "Anna"), "unknown_speaker", "expected one of S1, S2, S3, got Anna"),
        (lambda: heard.session.undo(), "nothing_to_undo", "expected a correction to undo, got none"),
    ]
    for ask, code, sentence in asked:
        with pytest.raises(CorrectionError) as caught:
            ask()
        assert (caught.value.code, str(caught.value)) == (code, sentence)
    heard.take(heard.session.merge("S3", "S1"))
    with pytest.raises(CorrectionError, match="expected two speakers, got S1 twice"):
        heard.session.merge("S1", "S3")  # who is S1
    with pytest.raises(TurnstreamError, match="expected one of S1, S2, got S8"):
        heard.session.name("S8", "Anna")


def test_a_name_in_use_is_not_taken_away_silently() -> None:
    heard = halfway()
    heard.take(heard.session.name("S1", "Anna"))
    with pytest.raises(CorrectionError, match="S1 is called anna already") as caught:
        heard.session.name("S3", "anna")
    assert (caught.value.code, caught.value.speaker) == ("name_in_use", "S1")
    assert heard.session.names == {"S1": "Anna"}
    heard.session.name("S3", "anna", take=True)
    assert heard.session.names == {"S3": "anna"}
    heard.take(heard.session.merge("S3", "S1"))
    assert heard.session.names == {"S1": "anna"}
    heard.take(heard.session.undo())
    assert heard.session.names == {"S3": "anna"}
