"""The store of known people, and the names that a run gives and keeps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from turnstream.errors import PeopleError, TurnstreamError
from turnstream.events import Event
from turnstream.files import read_at_most, write_whole
from turnstream.people.person import Person
from turnstream.people.store import PeopleStore

from .options import NameOptions, PeopleOptions
from .outputs import say, warn

if TYPE_CHECKING:
    from turnstream.session import Session

NAME_COLUMNS = 24
MOST_EXPORT_BYTES = 1_000_000_000


def people(options: PeopleOptions) -> int:
    """List, rename, delete, export or import the people of the store."""
    store = PeopleStore(options.people)
    match options.action, options.names:
        case "list", ():
            _list(store)
        case "rename", (old, new):
            say(f"{store.get(old).name} is now {store.rename(old, new).name}")
        case "delete", (_, *_):
            for person in [store.get(name) for name in options.names]:
                say(f"deleted {store.delete(person.name).name}")
        case "export", names:
            _export(store.export(list(names)), options.to)
        case "import", (_, *_):
            for path in options.names:
                for person in store.add(_read(path), path):
                    say(f"imported {person.name}")
        case action, names:
            wanted = {"list": "no names", "rename": "the old and the new name", "delete": "names", "import": "files"}
            raise TurnstreamError(f"people {action}: expected {wanted[action]}, got {len(names)} names")
    return 0


class Names:
    """The names of a run: of known people who are listened for (`--known`), and those that the user gives (`--save`).

    Raises TurnstreamError, before anything is loaded, for people who are not there and options that cannot be.
    """

    def __init__(self, options: NameOptions, recordings: int = 1):
        self._store = PeopleStore(options.people)
        self._asked = options.known or ()
        self._people = [] if options.known is None else self._wanted()
        self._saves = options.save
        self._replace = options.replace
        self._error: TurnstreamError | None = None
        if self._saves and recordings > 1:
            raise TurnstreamError(f"--save names speakers of one recording: expected 1, got {recordings}")

    @property
    def given(self) -> bool:
        """Whether the user names anybody."""
        return bool(self._saves)

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
                events += session.name(speaker, name, take=True)
            except TurnstreamError as error:
                self._error = self._error or error
        return events

    def keep(self, session: Session, voice_model: str) -> None:
        """Save the voices of the speakers that were named."""
        for speaker, name in [save for save in self._saves if save[0] in session.names]:
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


def _list(store: PeopleStore) -> None:
    found, problems = store.read()
    for person in found:
        enrollments = f"{len(person.voices)} enrollment" + ("s" if len(person.voices) > 1 else "")
        say(
            f"{person.name:<{NAME_COLUMNS}} {person.clean_s:7.1f} s  {enrollments:<14} {person.times[-1]:<26} "
            f"model {person.model[:8]}"
        )
    if not found:
        say(f"nobody is enrolled in {store.folder}")
    for problem in problems:
        warn(problem)


def _export(text: str, path: str | None) -> None:
    if path is None:
        sys.stdout.write(text)
        return
    try:
        write_whole(Path(path), text.encode(), private=True)
    except OSError as error:
        raise TurnstreamError(f"cannot write {path}: {error.strerror or error}") from None


def _read(path: str) -> str:
    try:
        return read_at_most(path, MOST_EXPORT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PeopleError(f"{path} is not people exported by turnstream: expected UTF-8 text") from None
    except OSError as error:
        raise PeopleError(f"cannot read {path}: {error.strerror or error}") from None
