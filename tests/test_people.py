"""The store of people: what is saved comes back, whatever the name; damage is told and does not spread."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.errors import EnrollmentError, PeopleError, TurnstreamError
from turnstream.events import Final
from turnstream.people.enrollment import LEAST_CLEAN_S, sole_voice
from turnstream.people.naming import check_name, name_key
from turnstream.people.person import weights_id
from turnstream.people.store import MOST_BYTES, PeopleStore, people_dir
from turnstream.stitching.clustering import unit
from turnstream.stitching.profile import Profile

MODEL = "a" * 64


def voice(seed: int = 0, clean_s: float = 12.5) -> Profile:
    return Profile(unit(np.random.default_rng(seed).normal(size=192).astype(np.float32)), clean_s)


@pytest.fixture
def store(tmp_path: Path) -> PeopleStore:
    return PeopleStore(tmp_path / "people")


def names(store: PeopleStore) -> list[str]:
    return [person.name for person in store.people()]


NAMES = st.text(min_size=1, max_size=30) | st.sampled_from(
    ["CON", "../../etc/passwd", "a/b", ".", "..", "-rf", "Zoë", "Zoë", "李雷", "🙂", "a" * 64, "%2F", "x.json"]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(NAMES, max_size=6), st.randoms())
def test_what_is_saved_comes_back_whatever_the_name(tmp_path_factory: pytest.TempPathFactory, texts: list[str], random):
    folder = tmp_path_factory.mktemp("people")
    store, expected = PeopleStore(folder / "in here"), {}
    for number, text in enumerate(texts):
        try:
            check_name(text)
        except TurnstreamError:
            with pytest.raises(TurnstreamError):
                store.save(text, voice(number), MODEL)
            continue
        store.save(text, voice(number), MODEL, replace_old=True)
        expected[name_key(text)] = number
    people = {name_key(person.name): person for person in store.people()}
    assert people.keys() == expected.keys()
    for key, number in expected.items():
        np.testing.assert_array_equal(people[key].voices[0].vector, voice(number).vector)
        assert people[key].clean_s == 12.5
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == len(expected)
    assert all(path.parent == folder / "in here" and path.name.isascii() and len(path.name) < 120 for path in files)
    for key in random.sample(sorted(expected), len(expected)):
        store.delete(people[key].name.swapcase() if name_key(people[key].name.swapcase()) == key else people[key].name)
    assert store.people() == []


def test_enrolling_again_adds_up_and_another_voice_is_refused(store: PeopleStore):
    first = voice(0, 10)
    store.save("Anna", first, MODEL)
    again = Profile(unit(first.vector + 0.3 * voice(1).vector), 30.0)
    person = store.save("ANNA", again, MODEL)
    assert (person.name, person.clean_s, len(person.voices), len(person.times)) == ("Anna", 40.0, 2, 2)
    mean = store.get("anna").profile_for(MODEL)
    assert mean.vector @ again.vector > mean.vector @ first.vector
    with pytest.raises(PeopleError, match="does not sound like the Anna enrolled before"):
        store.save("anna", voice(2), MODEL)
    assert store.save("anna", voice(2), MODEL, replace_old=True).clean_s == 12.5
    assert names(store) == ["anna"]


def test_a_person_of_another_model_is_refused_with_a_way_out(store: PeopleStore):
    store.save("Anna", voice(), MODEL)
    for ask in (lambda: store.get("Anna").profile_for("b" * 64), lambda: store.save("Anna", voice(), "b" * 64)):
        with pytest.raises(PeopleError, match=r"Anna was enrolled with another embedding model .*--replace"):
            ask()
    assert store.save("Anna", voice(), "b" * 64, replace_old=True).model == "b" * 64


def test_too_little_speech_is_refused_with_both_numbers(store: PeopleStore):
    with pytest.raises(EnrollmentError, match=r"expected at least 3 s .* got 2\.4 s"):
        store.save("Anna", voice(0, 2.4), MODEL)
    assert not store.folder.exists()


def test_rename(store: PeopleStore):
    store.save("Anna", voice(0), MODEL)
    store.save("Ben", voice(1), MODEL)
    with pytest.raises(PeopleError, match="expected a free name, got BEN: there is already Ben"):
        store.rename("Anna", "BEN")
    assert store.rename("anna", "ANNA").name == "ANNA"
    assert store.rename("ANNA", "Chris").name == "Chris"
    assert names(store) == ["Ben", "Chris"]
    assert len([*store.folder.iterdir()]) == 2
    np.testing.assert_array_equal(store.get("chris").voices[0].vector, voice(0).vector)
    with pytest.raises(PeopleError, match="expected one of Ben, Chris, got Anna"):
        store.rename("Anna", "Dora")


DAMAGE = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "binary": bytes(range(256)),
    "another format": b'{"format": "turnstream person 2"}',
    "no voices": json.dumps({"format": "turnstream person 1", "name": "X", "model": MODEL, "voices": []}).encode(),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_told_and_the_others_work(store: PeopleStore, kind: str):
    store.save("Anna", voice(), MODEL)
    (store.folder / "bad.json").write_bytes(DAMAGE[kind])
    people, problems = store.read()
    assert [person.name for person in people] == ["Anna"]
    assert len(problems) == 1
    assert "bad.json is damaged: " in problems[0]
    assert "\n" not in problems[0]
    assert store.get("Anna").clean_s == 12.5
    with pytest.raises(PeopleError, match=r"got X \(1 files of .* are damaged\)"):
        store.get("X")


def test_a_voice_of_another_size_is_damaged(store: PeopleStore):
    store.save("Anna", voice(), MODEL)
    (path,) = store.folder.iterdir()
    data = json.loads(path.read_text())
    data["voices"][0]["embedding"] = [1.0, 0.0, 0.0]
    path.write_text(json.dumps(data))
    assert store.people() == []
    with pytest.raises(PeopleError, match="expected an embedding of 192 numbers, got 3"):
        store.add(path.read_text(), "x.json")


def test_pipes_and_endless_files_in_the_folder_are_told_and_not_waited_for(store: PeopleStore):
    store.save("Anna", voice(), MODEL)
    os.mkfifo(store.folder / "pipe.json")
    (store.folder / "zero.json").symlink_to("/dev/zero")
    (store.folder / "folder.json").mkdir()
    with (store.folder / "large.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    people, problems = store.read()
    assert [person.name for person in people] == ["Anna"]
    assert len(problems) == 4
    assert sum("expected a regular file, got a pipe or a device" in problem for problem in problems) == 2
    assert sum("Is a directory" in problem for problem in problems) == 1
    assert sum(f"expected at most {MOST_BYTES} bytes, got more" in problem for problem in problems) == 1


def test_people_whose_hashes_begin_alike_are_two(store: PeopleStore, tmp_path: Path):
    """The first 32 bits of the hashes of these two names are equal, and neither has a Latin letter."""
    alike = ("丮俲", "且他")
    for number, name in enumerate(alike):
        store.save(name, voice(number), MODEL)
    other = PeopleStore(tmp_path / "other")
    other.add(store.export(), "x.json")
    assert sorted(names(other)) == sorted(alike)


def test_a_file_renamed_by_hand_is_not_overwritten(store: PeopleStore):
    store.save("Anna", voice(0), MODEL)
    (path,) = store.folder.iterdir()
    path.write_text(path.read_text().replace("Anna", "Ben"))
    with pytest.raises(PeopleError, match=r"\.json holds Ben: expected Anna"):
        store.save("Anna", voice(1), MODEL)
    assert names(store) == ["Ben"]


def test_another_spelling_stays_in_a_file_of_any_name(store: PeopleStore):
    store.save("Anna", voice(0), MODEL)
    (path,) = store.folder.iterdir()
    path.rename(store.folder / "mine.json")
    store.rename("Anna", "ANNA")
    assert names(store) == ["ANNA"]
    store.rename("ANNA", "Ben")
    assert (names(store), len([*store.folder.iterdir()])) == (["Ben"], 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, "x", None, [1.0]])
@pytest.mark.parametrize("place", ["embedding", "clean_s"])
def test_a_file_with_one_wrong_number_is_damaged(store: PeopleStore, place: str, value: object):
    store.save("Anna", voice(), MODEL)
    (path,) = store.folder.iterdir()
    data = json.loads(path.read_text())
    if place == "embedding":
        data["voices"][0]["embedding"][7] = value
    else:
        data["voices"][0]["clean_s"] = value
    path.write_text(json.dumps(data))
    people, problems = store.read()
    if place == "clean_s" and value == 1e300:
        assert people
    else:
        assert people == []
        assert "is damaged" in problems[0]


def test_a_file_cut_anywhere_is_damaged(store: PeopleStore):
    store.save("Anna", voice(), MODEL)
    (path,) = store.folder.iterdir()
    whole = path.read_bytes()
    for length in [*range(0, len(whole) - 2, 97), len(whole) - 3]:
        path.write_bytes(whole[:length])
        assert store.people() == []


def test_a_write_that_fails_leaves_the_old_file(store: PeopleStore, monkeypatch: pytest.MonkeyPatch):
    store.save("Anna", voice(0), MODEL)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PeopleError, match=r"cannot write to .*: No space left on device"):
        store.save("Anna", voice(1), MODEL, replace_old=True)
    monkeypatch.undo()
    np.testing.assert_array_equal(store.get("Anna").voices[0].vector, voice(0).vector)
    assert len([*store.folder.iterdir()]) == 1


def test_only_the_user_can_read_a_voice(store: PeopleStore):
    store.save("Anna", voice(), MODEL)
    (path,) = store.folder.iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert store.folder.stat().st_mode & 0o077 == 0


def test_two_files_of_one_person_are_told(store: PeopleStore):
    store.save("Anna", voice(), MODEL)
    (path,) = store.folder.iterdir()
    (store.folder / "copy.json").write_text(path.read_text().replace("Anna", "ANNA"))
    people, problems = store.read()
    assert len(people) == 1
    assert "is a second file of" in problems[0]
    store.delete("Anna")
    assert store.read() == ([], [])


def test_export_and_import_are_a_round_trip(store: PeopleStore, tmp_path: Path):
    for number, name in enumerate(("Anna", "Ben", "Zoë")):
        store.save(name, voice(number), MODEL)
    other = PeopleStore(tmp_path / "other")
    assert [p.name for p in other.add(store.export(["ben", "zoë"]), "x.json")] == ["Ben", "Zoë"]
    np.testing.assert_array_equal(other.get("Zoë").voices[0].vector, voice(2).vector)
    with pytest.raises(PeopleError, match="expected a free name, got Ben"):
        other.add(store.export(), "x.json")
    assert names(other) == ["Ben", "Zoë"]  # all or none
    person_file = next(path for path in store.folder.iterdir() if path.name.startswith("anna"))
    assert [p.name for p in other.add(person_file.read_text(), "x.json")] == ["Anna"]
    for text in ("", "{}", '{"format": "turnstream people 1", "people": [3]}'):
        with pytest.raises(PeopleError, match=r"^x\.json is "):
            other.add(text, "x.json")


def test_where_people_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("TURNSTREAM_PEOPLE", raising=False)
    assert people_dir() == tmp_path / "turnstream" / "people"
    monkeypatch.setenv("TURNSTREAM_PEOPLE", str(tmp_path / "mine"))
    assert PeopleStore().folder == tmp_path / "mine"
    assert PeopleStore(tmp_path / "that").folder == tmp_path / "that"


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(PeopleError, match="cannot write to"):
        PeopleStore(tmp_path / "file").save("Anna", voice(), MODEL)


def test_weights_have_one_hash_whatever_their_order():
    a, b = np.arange(6, dtype=np.float32), np.ones(3, np.float32)
    assert weights_id({"a": a, "b": b}) == weights_id({"b": b, "a": a})
    assert len({weights_id(w) for w in ({"a": a}, {"b": a}, {"a": a[::-1]}, {"a": a.reshape(2, 3)})}) == 4


class Stream:
    """A session that has ended with these voices."""

    def __init__(self, *clean_s: float):
        self.voices = {f"S{number}": voice(number, seconds) for number, seconds in enumerate(clean_s, 1)}

    def close(self) -> Final:
        return Final("stop", 0.0, (), ())


def test_one_person_is_learned_several_are_refused():
    assert sole_voice(Stream(20.0)).clean_s == 20
    assert sole_voice(Stream(0.8, 20.0)).clean_s == 20  # a slip of the model, not a second person
    with pytest.raises(EnrollmentError, match=r"expected one person, got 2 \(S2 for 20\.0 s, S1 for 5\.0 s\)"):
        sole_voice(Stream(5.0, 20.0))
    with pytest.raises(EnrollmentError, match=rf"expected at least {LEAST_CLEAN_S:g} s .*, got 0\.0 s"):
        sole_voice(Stream())
