"""Files of any size and kind are read up to a bound; files are written whole, what is private for its owner only."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from turnstream.clients.cli import main
from turnstream.files import leftovers, read_at_most, write_whole


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
    write_whole(link, b"new", private=True)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert link.is_symlink()
    write_whole(Path("/dev/null"), b"gone", private=True)
    assert sorted(tmp_path.iterdir()) == [path, link]


CRASHES = {
    "killed before it is on the disk": "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)",
    "killed before it has its name": "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
    "too large for the disk": "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))",
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_leaves_the_old_file(tmp_path: Path, crash: str):
    (path := tmp_path / "a[1]").write_text("old")
    imports = "import os, resource, signal, sys; from pathlib import Path; from turnstream.files import write_whole"
    code = f"{imports}; {CRASHES[crash]}; write_whole(Path(sys.argv[1]), b'new' * 1000)"
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    killed = crash.startswith("killed")
    assert ran.returncode == (-signal.SIGKILL if killed else 1), ran.stderr
    assert path.read_text() == "old"
    assert len([*leftovers(path)]) == len([*tmp_path.iterdir()]) - 1 == int(killed)


def test_new_content_may_be_written_in_another_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (staging := tmp_path / "staging").mkdir()
    begun: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda _: begun.extend(staging.iterdir()))
    write_whole(tmp_path / "a", b"new", staging=staging)
    assert len(begun) == 1
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a", staging]
    assert not [*staging.iterdir()]


def test_exported_people_are_for_their_owner_only(tmp_path: Path):
    assert main(["people", "export", "--to", str(tmp_path / "all.json"), "--people", str(tmp_path / "store")]) == 0
    assert stat.S_IMODE((tmp_path / "all.json").stat().st_mode) == 0o600


def test_an_endless_import_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("turnstream.clients.people.MOST_EXPORT_BYTES", 1000)
    assert main(["people", "import", "/dev/zero", "--people", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "turnstream: cannot read /dev/zero: expected at most 1000 bytes, got more\n"
