"""Corrections of a final result: speakers who are one person, and turns that are somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .errors import CorrectionError
from .events import Event, Final, Revision, Speaker, Talk, Turn, speaker_number

NEW = "new"  # in the place of a speaker: somebody who is not among them yet
GAP_S = 0.2  # turns of one speaker that are nearer are one turn, as in every result
Names = Mapping[str, tuple[str, float | None]]  # name and confidence by speaker


@dataclass(frozen=True, slots=True)
class Merge:
    """Everything of `speaker` is `into`'s."""

    speaker: str
    into: str


@dataclass(frozen=True, slots=True)
class Assign:
    """A turn is `speaker`'s, who may be new to the result where it `is_new`."""

    turn: str
    speaker: str
    is_new: bool = False


Edit = Merge | Assign


def edited(final: Final, edit: Edit) -> Final:
    """The result with this correction. Raises CorrectionError for who or what is not in it."""
    if isinstance(edit, Merge):
        _check_speaker(final, edit.speaker)
        _check_speaker(final, edit.into)
        if edit.speaker == edit.into:
            raise CorrectionError("same_speaker", f"expected two speakers, got {edit.into} twice")
        moved = {turn.id for turn in final.turns if turn.speaker == edit.speaker}
        return _moved(final, moved, edit.into, heir_of=edit.speaker)
    if edit.turn not in {turn.id for turn in final.turns}:
        raise CorrectionError("unknown_turn", f"expected a turn of this result, got {edit.turn}")
    if not edit.is_new:
        _check_speaker(final, edit.speaker)
    return _moved(final, {edit.turn}, edit.speaker)


def assignment(final: Final, turn: str, speaker: str) -> Assign:
    """The correction that gives a turn to a speaker, or to somebody new, who gets the next number."""
    if speaker != NEW:
        return Assign(turn, speaker)
    most = max((speaker_number(talk.speaker) or 0 for talk in final.speakers if talk.speaker), default=0)
    return Assign(turn, f"S{most + 1}", is_new=True)


def named(final: Final, names: Names) -> Final:
    """The result with these names and no others."""
    of = {speaker: name for speaker, (name, _) in names.items()}
    sure = {speaker: confidence for speaker, (_, confidence) in names.items()}
    turns = tuple(replace(turn, name=of.get(turn.speaker or "")) for turn in final.turns)
    talks = (
        replace(talk, name=of.get(talk.speaker or ""), confidence=sure.get(talk.speaker or ""))
        for talk in final.speakers
    )
    return replace(final, turns=turns, speakers=tuple(talks))


def changes(before: Final, after: Final) -> list[Event]:
    """What a listener to whom the first result was told has to know of the second one."""
    old = {turn.id: turn.speaker for turn in before.turns}
    groups: dict[tuple[str | None, str | None], list[str]] = {}
    for turn in after.turns:
        if turn.id in old and old[turn.id] != turn.speaker:
            groups.setdefault((old[turn.id], turn.speaker), []).append(turn.id)
    there, left = ({talk.speaker for talk in final.speakers} for final in (before, after))
    at_s = after.duration_s
    appeared = [Speaker(one, "appeared", None, None, None, at_s) for one in sorted(left - there, key=str) if one]
    revised = [Revision(tuple(ids), one, other, "corrected", at_s) for (one, other), ids in groups.items()]
    into = {one: other for one, other in groups if one in there - left}
    return [*appeared, *revised, *(Speaker(o, "merged", None, None, n, at_s) for o, n in into.items() if o)]


def _check_speaker(final: Final, speaker: str) -> None:
    there = [talk.speaker for talk in final.speakers if talk.speaker]
    if speaker not in there:
        raise CorrectionError("unknown_speaker", f"expected one of {', '.join(there) or 'no speakers'}, got {speaker}")


def _moved(final: Final, ids: set[str], speaker: str, heir_of: str | None = None) -> Final:
    """The turns `ids` as the speaker's, who takes over the name of `heir_of` where they have none."""
    talks = {talk.speaker: talk for talk in final.speakers}
    talk = talks.get(speaker) or Talk(speaker, None, None, 0.0)
    if heir_of is not None and talk.name is None:
        talk = replace(talk, name=talks[heir_of].name, confidence=talks[heir_of].confidence)
    turns = [replace(turn, speaker=speaker, name=talk.name) if turn.id in ids else turn for turn in final.turns]
    turns = [replace(turn, name=talk.name) if turn.speaker == speaker else turn for turn in turns]
    turns = _joined(turns, speaker)
    touched = {speaker, heir_of, *(turn.speaker for turn in final.turns if turn.id in ids)}
    talks[speaker] = talk
    spoken = {one: sum(turn.end_s - turn.start_s for turn in turns if turn.speaker == one) for one in touched}
    kept = [
        replace(talk, talk_s=round(spoken[one], 3)) if one in touched else talk
        for one, talk in talks.items()
        if one not in touched or spoken[one] > 0
    ]
    kept.sort(key=lambda talk: (talk.speaker is None, speaker_number(talk.speaker or "") or 0))
    return replace(final, turns=tuple(turns), speakers=tuple(kept))


def _joined(turns: list[Turn], speaker: str) -> list[Turn]:
    """The turns in order, with those of this speaker that meet as one."""
    joined: list[Turn] = []
    last: int | None = None  # place of the speaker's last turn
    for turn in sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)):
        if turn.speaker == speaker and last is not None and turn.start_s - joined[last].end_s < GAP_S:
            end_s = max(joined[last].end_s, turn.end_s)
            joined[last] = replace(joined[last], end_s=end_s, committed_s=end_s)
            continue
        if turn.speaker == speaker:
            last = len(joined)
        joined.append(turn)
    return joined
