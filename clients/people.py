"""Enrolling voices, the store of known people, and the names that a run gives and keeps."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from turnstream.errors import EnrollmentError, PeopleError, TurnstreamError
from turnstream.events import Event
from turnstream.files import read_at_most, write_private
from turnstream.people.enrollment import sole_voice
from turnstream.people.naming import NamingConfig, check_name, log_odds
from turnstream.people.person import Person
from turnstream.people.store import PeopleStore
from turnstream.stitching.profile import Profile, mean_profile

from .outputs import report, warn
from .run import engine
from .sources.file import AudioFile, Floats
from .steps import engine_channel

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer, Session

NAME_COLUMNS = 24
MOST_EXPORT_BYTES = 1_000_000_000


def enroll(args: Namespace) -> int:
    """Learn a voice from recordings of one person, and keep it."""
    store, name = PeopleStore(args.people), check_name(args.name)
    paths = [Path(path) for path in args.paths]
    if (args.begin is not None or args.end is not None) and len(paths) > 1:
        raise TurnstreamError(f"--from and --to are for one recording: expected 1, got {len(paths)}")
    for path in paths:  # before the weights are fetched
        with AudioFile(path) as recording:
            engine_channel(args.channel, recording.channels, str(path))
            _bounds(recording, args.begin, args.end)
    with engine(args) as diarizer:
        voices: list[Profile] = []
        for path in paths:
            voice = _voice(diarizer, path, args)
            if voices and float(log_odds([voice], [mean_profile(voices)], NamingConfig())[0, 0]) < 0:
                raise EnrollmentError(f"{path} does not sound like {paths[0]}: expected recordings of one person")
            voices.append(voice)
        person = store.save(name, mean_profile(voices), diarizer.voice_model, replace_old=args.replace)
    print(f"{person.name}: known by {person.clean_s:.1f} s of clean speech")
    return 0


def people(args: Namespace) -> int:
    """List, rename, delete, export or import the people of the store."""
    store = PeopleStore(args.people)
    match args.action, args.names:
        case "list", []:
            _list(store)
        case "rename", [old, new]:
            print(f"{store.get(old).name} is now {store.rename(old, new).name}")
        case "delete", [_, *_]:
            for person in [store.get(name) for name in args.names]:
                print(f"deleted {store.delete(person.name).name}")
        case "export", names:
            _export(store.export(names), args.to)
        case "import", [_, *_]:
            for path in args.names:
                for person in store.add(_read(path), path):
                    print(f"imported {person.name}")
        case action, names:
            wanted = {"list": "no names", "rename": "the old and the new name", "delete": "names", "import": "files"}
            raise TurnstreamError(f"people {action}: expected {wanted[action]}, got {len(names)} names")
    return 0


class Names:
    """The names of a run: of known people who are listened for (`--known`), and those that the user gives (`--save`).

    Raises TurnstreamError, before anything is loaded, for people who are not there and options that cannot be.
    """

    def __init__(self, args: Namespace, recordings: int = 1):
        self._store = PeopleStore(args.people)
        self._asked: list[str] = args.known or []
        self._people = [] if args.known is None else self._wanted()
        self._saves: list[tuple[int, str]] = args.save or []
        self._replace = args.replace
        self._error: TurnstreamError | None = None
        if self._saves and recordings > 1:
            raise TurnstreamError(f"--save names speakers of one recording: expected 1, got {recordings}")

    def known(self, voice_model: str) -> list[Person]:
        """Those enrolled with this embedding model; others are named on stderr, or an error where asked for by name."""
        fitting = []
        for person in self._people:
            try:
                person.profile_for(voice_model)
                fitting.append(person)
            except PeopleError as error:
                if self._asked:
                    raise
                warn(str(error))
        return fitting

    def name(self, session: Session) -> list[Event]:
        """Name the speakers of an ended session; `check` says what could not be done."""
        events: list[Event] = []
        for speaker, name in self._saves:
            try:
                events += session.name(speaker, name)
            except TurnstreamError as error:
                self._error = self._error or error
        return events

    def keep(self, session: Session, voice_model: str) -> None:
        """Save the voices of the speakers that were named."""
        named = {speaker for speaker, _, _ in session.names}
        for speaker, name in [save for save in self._saves if save[0] in named]:
            try:
                self._store.save(name, session.profile(speaker), voice_model, replace_old=self._replace)
            except TurnstreamError as error:
                self._error = self._error or error

    def check(self) -> None:
        """Raises the first TurnstreamError that naming or saving met, now that the results are out."""
        if self._error is not None:
            raise self._error

    def _wanted(self) -> list[Person]:
        if self._asked:
            return [self._store.get(name) for name in self._asked]
        found, problems = self._store.read()
        for problem in problems:
            warn(problem)
        if not found:
            raise PeopleError(f"nobody is enrolled in {self._store.folder}: see turnstream enroll --help")
        return found


def _voice(diarizer: Diarizer, path: Path, args: Namespace) -> Profile:
    """The voice of the one person in a recording; raises EnrollmentError, which names it."""
    with AudioFile(path) as recording:
        channel = engine_channel(args.channel, recording.channels, str(path))
        session = diarizer.session(sample_rate_hz=recording.rate_hz, channels=recording.channels, channel=channel)
        with Console(stderr=True).status(f"listening to {path.name}"):
            for block in _stretch(recording, args.begin, args.end):
                session.feed(block)
        report(recording)
        try:
            return sole_voice(session)
        except EnrollmentError as error:
            raise EnrollmentError(f"{path}: {error}") from None


def _bounds(recording: AudioFile, begin_s: float | None, end_s: float | None) -> tuple[int, int]:
    """The samples from `begin_s` to `end_s`. Raises TurnstreamError where there are none."""
    start = round((begin_s or 0.0) * recording.rate_hz)
    end = recording.total_samples if end_s is None else min(round(end_s * recording.rate_hz), recording.total_samples)
    if start >= end:
        shown = f"{start / recording.rate_hz:g} to {end / recording.rate_hz:g} s of {recording.duration_s:.1f} s"
        raise TurnstreamError(f"{recording.path}: expected --from before --to and before the end, got {shown}")
    return start, end


def _stretch(recording: AudioFile, begin_s: float | None, end_s: float | None) -> Iterator[Floats]:
    """The blocks of a recording from `begin_s` to `end_s`."""
    start, end = _bounds(recording, begin_s, end_s)
    at = 0
    for block in recording.blocks():
        piece = block[max(0, start - at) : max(0, end - at)]
        if len(piece):
            yield piece
        at += len(block)
        if at >= end:
            return


def _list(store: PeopleStore) -> None:
    found, problems = store.read()
    for person in found:
        enrollments = f"{len(person.voices)} enrollment" + ("s" if len(person.voices) > 1 else "")
        print(
            f"{person.name:<{NAME_COLUMNS}} {person.clean_s:7.1f} s  {enrollments:<14} {person.times[-1]:<26} "
            f"model {person.model[:8]}"
        )
    if not found:
        print(f"nobody is enrolled in {store.folder}")
    for problem in problems:
        warn(problem)


def _export(text: str, path: str | None) -> None:
    if path is None:
        sys.stdout.write(text)
        return
    try:
        write_private(Path(path), text)
    except OSError as error:
        raise TurnstreamError(f"cannot write {path}: {error.strerror or error}") from None


def _read(path: str) -> str:
    try:
        return read_at_most(path, MOST_EXPORT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PeopleError(f"{path} is not people exported by turnstream: expected UTF-8 text") from None
    except OSError as error:
        raise PeopleError(f"cannot read {path}: {error.strerror or error}") from None
