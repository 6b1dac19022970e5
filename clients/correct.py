"""Corrections of a result that was written before: speakers who are one person, and turns that are somebody else's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from turnstream.edits import Assign, Edit, Merge, assignment, edited
from turnstream.events import Final
from turnstream.stitching.profile import mean_profile

from .results import Result, Voices


def corrected(result: Result, edits: Iterable[Edit]) -> Result:
    """The result with these corrections, one after another. Raises CorrectionError for who or what is not in it."""
    for edit in edits:
        made = assignment(result.final, edit.turn, edit.speaker) if isinstance(edit, Assign) else edit
        after = edited(result.final, made)
        more = dict(result.more)
        if "lines" in more:  # of a transcript
            more["lines"] = [_line(line, made, result.final) for line in more["lines"]]
        result = replace(result, final=after, voices=_voices(result.voices, made), more=more)
    return result


def _voices(voices: Voices | None, edit: Edit) -> Voices | None:
    """Two voices of one person are one; a turn more or less does not change a voice."""
    if voices is None or isinstance(edit, Assign):
        return voices
    of = dict(voices.of)
    both = [voice for voice in (of.pop(edit.into, None), of.pop(edit.speaker, None)) if voice is not None]
    return replace(voices, of={**of, edit.into: mean_profile(both)} if both else of)


def _line(line: dict[str, Any], edit: Edit, before: Final) -> dict[str, Any]:
    """A line of the transcript goes with its speaker, or with the turn in whose time it is."""
    if isinstance(edit, Merge):
        return {**line, "speaker": edit.into} if line.get("speaker") == edit.speaker else line
    turn = next(turn for turn in before.turns if turn.id == edit.turn)
    inside = turn.start_s <= (line.get("start", 0.0) + line.get("end", 0.0)) / 2 < turn.end_s
    return {**line, "speaker": edit.speaker} if inside and line.get("speaker") == turn.speaker else line
