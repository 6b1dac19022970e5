"""Results on disk: the `final` message as JSON, with the voices of its speakers where it was kept; and RTTM."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from turnstream.errors import TurnstreamError
from turnstream.events import Final, Talk, Turn, speaker_number
from turnstream.files import read_at_most, write_whole
from turnstream.people.person import Person, format_export, parse_export
from turnstream.protocol.messages import decode_server
from turnstream.rttm import RttmSegment, parse_rttm
from turnstream.stitching.profile import Profile
from turnstream.wire import ProtocolError

MOST_BYTES = 200_000_000
OF = "voice of "  # S1 alone is nobody's name
KINDS = "RTTM, or JSON as --keep, --out FILE.json and --json write it"


@dataclass(frozen=True, slots=True)
class Voices:
    """The voices of speakers such as S1, made by one embedding model."""

    model: str
    of: Mapping[str, Profile]


@dataclass(frozen=True, slots=True)
class Result:
    """A final result, and the voices where they are known.

    more: what else its file holds. is_whole_file: whether it can be written back without losing anything.
    """

    final: Final
    voices: Voices | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    is_whole_file: bool = True


def keep(folder: Path, result: Result) -> Path:
    """Write a result that can be named later into a folder; only its owner can read it. Raises TurnstreamError."""
    make_folder(folder)
    path = folder / f"{result.final.recording}.json"
    write_result(path, result)
    return path


def make_folder(folder: Path) -> None:
    """Where it is missing. Raises TurnstreamError for one that cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TurnstreamError(f"cannot write {folder}: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK):
        raise TurnstreamError(f"cannot write {folder}: it may not be written to")


def write_result(path: Path, result: Result) -> None:
    """Replaces the file; one with voices can be read by its owner only. Raises TurnstreamError."""
    fields = {**result.more, **json.loads(result.final.to_json()), "recording": result.final.recording}
    names = {talk.speaker: talk.name for talk in result.final.speakers}
    if "lines" in fields:  # of a transcript
        fields["lines"] = [{**line, "name": names.get(line.get("speaker"))} for line in fields["lines"]]
    if result.voices:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        people = [
            Person(OF + speaker, result.voices.model, (one,), (now,)) for speaker, one in result.voices.of.items()
        ]
        fields["voices"] = json.loads(format_export(people))
    text = json.dumps(fields, ensure_ascii=False) + "\n"
    try:
        write_whole(path, text.encode(errors="surrogateescape"), private=result.voices is not None)
    except OSError as error:
        raise TurnstreamError(f"cannot write {path}: {error.strerror or error}") from None


def read_result(path: Path) -> Result:
    """Raises TurnstreamError for what is no result."""
    try:
        text = read_at_most(path, MOST_BYTES).decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise TurnstreamError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        return _of_json(text, path) if text.lstrip().startswith("{") else _of_rttm(text, path.stem)
    except TurnstreamError as error:
        raise TurnstreamError(f"{path}: {error}") from None


def _of_json(text: str, path: Path) -> Result:
    *earlier, last = text.strip().split("\n")  # of JSON lines, the final result is the last
    try:
        _, final = decode_server(last)
    except ProtocolError:
        final = None
    if not isinstance(final, Final):
        raise TurnstreamError(f"expected a final result: {KINDS}")
    fields = json.loads(last)
    recording = fields.get("recording")
    final = replace(final, recording=recording if isinstance(recording, str) and recording else path.stem)
    voices = _voices(fields.pop("voices")) if isinstance(fields.get("voices"), dict) else None
    lines = fields.get("lines", [])
    if not (isinstance(lines, list) and all(isinstance(line, dict) for line in lines)):
        raise TurnstreamError("expected a list of lines")
    return Result(final, voices, fields, is_whole_file=not earlier)


def _voices(fields: Mapping[str, Any]) -> Voices:
    people = parse_export(json.dumps(fields), "its part `voices`")
    model = people[0].model if people else ""
    return Voices(model, {person.name.removeprefix(OF): person.profile_for(model) for person in people})


def _of_rttm(text: str, name: str) -> Result:
    """Labels that are no S1, S2, ... are names of speakers in order of appearance."""
    files = parse_rttm(text)
    if not files or (len(files) > 1 and name not in files):
        raise TurnstreamError(f"expected the turns of one recording ({KINDS}), got {len(files)} recordings")
    recording = name if name in files else next(iter(files))
    segments = files[recording]
    speakers = _numbered(list(dict.fromkeys(segment.speaker for segment in segments)))
    turns = tuple(_turn(n, segment, speakers) for n, segment in enumerate(segments, start=1))
    talks = tuple(
        Talk(tag, _name(label, tag), None, round(sum(s.end_s - s.start_s for s in segments if s.speaker == label), 3))
        for label, tag in speakers.items()
    )
    final = Final("stop", max((turn.end_s for turn in turns), default=0.0), turns, talks, recording=recording)
    return Result(final, is_whole_file=False)


def _numbered(labels: list[str]) -> dict[str, str | None]:
    taken = {speaker_number(label) for label in labels}
    free = (n for n in range(1, len(labels) + len(taken) + 2) if n not in taken)
    tags = {label: label if speaker_number(label) else f"S{next(free)}" for label in labels if label != "unknown"}
    return {label: tags.get(label) for label in labels}


def _turn(number: int, segment: RttmSegment, speakers: Mapping[str, str | None]) -> Turn:
    tag = speakers[segment.speaker]
    name = _name(segment.speaker, tag)
    return Turn(f"T{number}", tag, name, segment.start_s, segment.end_s, segment.end_s, "final")


def _name(label: str, tag: str | None) -> str | None:
    return None if tag is None or label == tag else label.replace("_", " ")
