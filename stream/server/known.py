"""The people that clients ask for by name: their files are read once, and again after one of them has changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import PeopleError
from ..people.naming import name_key
from ..people.person import Person
from ..people.store import PeopleStore
from ..wire import ProtocolError

Stamp = tuple[tuple[str, int, int], ...]


class KnownPeople:
    """The people of a store, kept in memory. `find` reads files: it is not for the event loop."""

    def __init__(self, folder: Path | None, voice_model: str):
        self._store, self._voice_model = PeopleStore(folder), voice_model
        self._stamp: Stamp | None = None
        self._people: dict[str, Person] = {}

    def find(self, names: Sequence[str]) -> list[Person]:
        """The people with these names; two names of one person are one. Raises ProtocolError for a name of nobody."""
        found: dict[str, Person] = {}
        people = self._read() if names else {}
        for name in names:
            person = people.get(name_key(name))
            if person is None:
                raise ProtocolError("names of people that the server knows", name, "speakers")
            found[person.name] = person
        return list(found.values())

    def _read(self) -> dict[str, Person]:
        """By the key of the name, those enrolled with the server's model."""
        try:
            stamp = _stamp(self._store.folder)
            if stamp != self._stamp:
                people = [person for person in self._store.people() if person.model == self._voice_model]
                self._people = {name_key(person.name): person for person in people}
                self._stamp = stamp
        except PeopleError:
            return {}
        return self._people


def _stamp(folder: Path) -> Stamp:
    """What changes with every change of a file: names, times and sizes."""
    try:
        with os.scandir(folder) as entries:
            files = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, status.st_mtime_ns, status.st_ino) for name, status in files))
