"""The store of known people: a folder with one small file per person (stream/people/person.py), never audio."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ..errors import PeopleError
from ..files import read_at_most, write_whole
from ..stitching.profile import Profile
from .enrollment import checked_voice
from .naming import NamingConfig, check_name, log_odds, name_key
from .person import Person, format_export, format_person, parse_export, parse_person, rounded

FILE_NAME_LETTERS = 40
MOST_BYTES = 10_000_000  # of a file to read: thousands of voices


def people_dir() -> Path:
    """The folder of known people: $TURNSTREAM_PEOPLE, else turnstream/people in the user's data folder.

    It may not exist yet.
    """
    if named := os.environ.get("TURNSTREAM_PEOPLE"):
        return Path(named).expanduser().absolute()
    xdg = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(xdg):
        return Path(xdg) / "turnstream" / "people"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise PeopleError("no home folder is known: set TURNSTREAM_PEOPLE to a folder you can write to") from error
    data = "Library/Application Support" if sys.platform == "darwin" else ".local/share"
    return home / data / "turnstream" / "people"


class PeopleStore:
    """The people in one folder (by default the user's); names that differ only in case or spaces are one person's.

    Every method reads the folder again. Raises PeopleError for anything that cannot be found, read or written.
    """

    def __init__(self, folder: Path | str | None = None):
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Found when it is needed: a user without a home folder may not need it."""
        return people_dir() if self._folder is None else Path(self._folder).expanduser()

    def read(self) -> tuple[list[Person], list[str]]:
        """Everyone in order of name, and a sentence for each damaged file."""
        people: dict[str, Person] = {}
        problems = []
        for path in self._files():
            try:
                person = parse_person(_read(path), str(path))
                other = people.setdefault(name_key(person.name), person)
                if other is not person:
                    raise PeopleError(f"{path} is a second file of {other.name}: expected one, delete one of them")
            except PeopleError as error:
                problems.append(str(error))
        return sorted(people.values(), key=lambda person: name_key(person.name)), problems

    def people(self) -> list[Person]:
        """Everyone whose file is valid, in order of name."""
        return self.read()[0]

    def get(self, name: str) -> Person:
        """The person with that name."""
        people, problems = self.read()
        for person in people:
            if name_key(person.name) == name_key(name):
                return person
        known = (
            f"one of {', '.join(p.name for p in people)}" if people else "an enrolled person, but nobody is enrolled"
        )
        damaged = f" ({len(problems)} files of {self.folder} are damaged)" if problems else ""
        raise PeopleError(f"expected {known}, got {name}{damaged}")

    def save(self, name: str, voice: Profile, model: str, *, replace_old: bool = False) -> Person:
        """Enroll a voice; a known person's earlier voices are kept as well unless `replace_old`.

        Raises EnrollmentError for too little speech, PeopleError if the voice does not match the known person.
        """
        name = check_name(name)
        person = Person(name, model, (rounded(checked_voice(voice)),), (datetime.now(UTC).isoformat("T", "seconds"),))
        old = next((p for p in self.people() if name_key(p.name) == name_key(name)), None)
        if old is not None and not replace_old:
            if float(log_odds([voice], [old.profile_for(model)], NamingConfig())[0, 0]) < 0:
                raise PeopleError(f"this does not sound like the {old.name} enrolled before: enroll with --replace")
            person = replace(old, voices=(*old.voices, *person.voices), times=(*old.times, *person.times))
        self._write(person)
        return person

    def rename(self, old: str, new: str) -> Person:
        """Rename a person; the new name must be free, or another spelling of the old one."""
        person, new = self.get(old), check_name(new)
        if name_key(new) != name_key(person.name):
            self._check_free(new)
        renamed = replace(person, name=new)
        before = self._paths(person.name)
        written = self._write(renamed)
        for path in before:
            if path != written:
                _delete(path)
        return renamed

    def delete(self, name: str) -> Person:
        """Delete a person."""
        person = self.get(name)
        for path in self._paths(name):
            _delete(path)
        return person

    def export(self, names: Iterable[str] = ()) -> str:
        """Everyone, or the named people, as one JSON text for `add`."""
        people = [self.get(name) for name in names] or self.people()
        return format_export(people)

    def add(self, text: str, source: str) -> list[Person]:
        """Add the people in an exported text, all or none; `source` names it in errors."""
        people = parse_export(text, source)
        for person in people:
            self._check_free(person.name)
        for person in people:
            self._write(person)
        return people

    def _check_free(self, name: str) -> None:
        if taken := [p.name for p in self.people() if name_key(p.name) == name_key(name)]:
            raise PeopleError(f"expected a free name, got {name}: there is already {taken[0]}")

    def _files(self) -> list[Path]:
        try:
            return sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []
        except OSError as error:
            raise PeopleError(f"cannot read {self.folder}: {error.strerror or error}") from None

    def _path(self, name: str) -> Path:
        """The file for a person: the same for all spellings of a name, no other's, and safe on every file system."""
        key = name_key(name)
        readable = re.sub(r"[^a-z0-9]+", "-", key)[:FILE_NAME_LETTERS].strip("-") or "person"
        return self.folder / f"{readable}-{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _free_path(self, name: str) -> Path:
        """The file for a new person. Raises PeopleError where it holds someone else, renamed by hand."""
        path = self._path(name)
        if path in self._files() and (holder := _holder(path)):
            raise PeopleError(f"{path} holds {holder}: expected {name}, give the file another name")
        return path

    def _paths(self, name: str) -> list[Path]:
        """The valid files that hold this person, whatever their names."""
        return [path for path in self._files() if name_key(_holder(path) or "") == name_key(name)]

    def _write(self, person: Person) -> Path:
        """Written atomically and readable by the user only, for a voice is personal; returns where."""
        target = next(iter(self._paths(person.name)), None) or self._free_path(person.name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(target, format_person(person).encode(), private=True)
        except OSError as error:
            raise PeopleError(f"cannot write to {self.folder}: {error.strerror or error}") from None
        return target


def _read(path: Path) -> str:
    try:
        return read_at_most(path, MOST_BYTES, regular=True).decode()
    except UnicodeDecodeError:
        raise PeopleError(f"{path} is damaged: expected UTF-8 text") from None
    except OSError as error:
        raise PeopleError(f"cannot read {path}: {error.strerror or error}") from None


def _holder(path: Path) -> str | None:
    """The name of the person in a file, None where it is damaged."""
    try:
        return parse_person(_read(path), str(path)).name
    except PeopleError:
        return None


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise PeopleError(f"cannot delete {path}: {error.strerror or error}") from None
