"""Files of any size and kind are read up to a bound; what is private is written for its owner only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from turnstream.clients.cli import main
from turnstream.files import read_at_most, write_private


def test_the_bound_counts_what_is_read(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_at_most(tmp_path / "a", 5) == b"12345"
    for path, most in ((tmp_path / "a", 4), (Path("/dev/zero"), 1000)):
        with pytest.raises(OSError, match="expected at most") as error:
            read_at_most(path, most)
        assert error.value.strerror == f"expected at most {most} bytes, got more"


def test_a_pipe_is_read_unless_only_files_are_expected(tmp_path: Path):
    reader, writer = os.pipe()
    os.write(writer, b"text")
    os.close(writer)
    assert read_at_most(f"/dev/fd/{reader}", 10) == b"text"
    os.close(reader)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="expected a regular file"):
        read_at_most(tmp_path / "pipe", 10, regular=True)


def test_private_text_replaces_what_all_could_read(tmp_path: Path):
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o644)
    link.symlink_to(path)
    write_private(link, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert link.is_symlink()
    write_private(Path("/dev/null"), "gone")
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_exported_people_are_for_their_owner_only(tmp_path: Path):
    assert main(["people", "export", "--to", str(tmp_path / "all.json"), "--people", str(tmp_path / "store")]) == 0
    assert stat.S_IMODE((tmp_path / "all.json").stat().st_mode) == 0o600


def test_an_endless_import_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("turnstream.clients.people.MOST_EXPORT_BYTES", 1000)
    assert main(["people", "import", "/dev/zero", "--people", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "turnstream: cannot read /dev/zero: expected at most 1000 bytes, got more\n"
