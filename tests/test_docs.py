"""The documentation names only what is there: its links, the repository's paths, the commands of turnstream."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from turnstream.clients.arguments import parser
from turnstream.clients.cli import main

PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "THIRD_PARTY_LICENSES.md")
    ),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "clients" / "README.md",
    ROOT / "examples" / "README.md",
]
FOLDERS = ("deploy", "stream", "kernels", "clients", "benchmarks", "tests", "docs", "examples", ".ci", ".github")
BLOCK = re.compile(r"^```.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*")
COMMAND = re.compile(r"^(?:\.venv/bin/)?turnstream +([a-z]\w*)")


def links(text: str) -> list[str]:
    """Targets of links and pictures that are not on another host."""
    return [target for target in LINK.findall(BLOCK.sub("", text)) if "://" not in target]


def paths(text: str) -> list[str]:
    """Paths of this repository in backticks."""
    return [span for span in SPAN.findall(BLOCK.sub("", text)) if PATH.fullmatch(span)]


def commands(text: str) -> list[str]:
    """Commands of turnstream at the beginning of a span or of a line of a block."""
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    return [found[1] for code in (*lines, *SPAN.findall(BLOCK.sub("", text))) if (found := COMMAND.match(code))]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = re.findall(r"^#+ +(.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def missing_links(page: Path, text: str) -> list[str]:
    """Links that lead nowhere."""
    found = []
    for link in links(text):
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            found.append(link)
    return found


def known_commands() -> set[str]:
    """The commands that the parser has."""
    (choices,) = [action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return set(choices)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert missing_links(page, page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    assert [path for path in paths(page.read_text()) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    assert set(commands(page.read_text())) <= known_commands()


def test_usage_shows_every_command() -> None:
    assert set(commands((ROOT / "docs" / "usage.md").read_text())) == known_commands()


def test_what_is_missing_is_found() -> None:
    text = "# A b\n[a](#a-b) `stream/none.py` `a/b`\n```\nturnstream fly now\n```\n`turnstream mic`\n"
    assert missing_links(ROOT / "x.md", "[a](docs/none.md)") == ["docs/none.md"]
    assert anchors(text) == {"a-b"}
    assert paths(text) == ["stream/none.py"]
    assert commands(text) == ["fly", "mic"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_command_and_option_is_completed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in known_commands())
    assert "--speaker-per-channel" in script or shell == "tcsh"


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `eval "$(turnstream completion bash)"` and the Tab key do."""
    main(["completion", "bash"])
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    asks = "source completion; COMP_WORDS=(turnstream file --speaker); COMP_CWORD=2; COMP_LINE=${COMP_WORDS[*]}; "
    asks += "$(complete -p turnstream | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", asks], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == {"--speaker-per-channel", "--speakers"}, done.stderr
