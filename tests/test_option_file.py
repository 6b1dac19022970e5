"""Options from a file mean what they mean on the command line, which overrides them; mistakes are one sentence."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from conftest import ROOT

from turnstream.clients.arguments import parser
from turnstream.clients.option_file import COMMANDS
from turnstream.errors import TurnstreamError

SERVE = """
[serve]
host = "::1"
port = 0
token-file = "token"
no-token = true
origin = ["https://one.example", "https://two.example"]
tls-cert = "cert.pem"
tls-key = "key.pem"
root = "diart"
trusted-proxy = ["127.0.0.1", "10.0.0.0/8"]
proxy-protocol = true
log-level = "warning"
log-format = "json"
sessions = 3
sessions-per-address = 4
message-bytes = 5
handshake = 1.5
idle = 2
session = 3
resume = 4
shutdown = 5
people = "people"
store = "sessions"
snapshots = 6
tenants = "tenants.json"
ray = "127.0.0.1:6379"
replicas = "2-5"
segmentation = "a.bin"
embedding = "b.bin"
"""
ARGUMENTS = """--host ::1 --port 0 --token-file token --no-token --origin https://one.example --origin https://two.example
--tls-cert cert.pem --tls-key key.pem --root diart --trusted-proxy 127.0.0.1 --trusted-proxy 10.0.0.0/8
--proxy-protocol --ray 127.0.0.1:6379 --replicas 2-5
--log-level warning --log-format json --sessions 3 --sessions-per-address 4 --message-bytes 5 --handshake 1.5 --idle 2
--session 3 --resume 4 --shutdown 5 --people people --store sessions --snapshots 6 --tenants tenants.json
--segmentation a.bin --embedding b.bin"""
FLAGS = ARGUMENTS.split()


def parsed(*arguments: str) -> dict[str, object]:
    """What the command line says, but for where the file is."""
    return {name: value for name, value in vars(parser().parse_args(arguments)).items() if name != "config"}


def flags_of(command: str) -> set[str]:
    """The long options that a command has."""
    (choices,) = [action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return {name for action in choices[command]._actions for name in action.option_strings if name.startswith("--")}


def written(folder: Path, text: str) -> str:
    path = folder / "options.toml"
    path.write_text(text)
    return str(path)


def test_every_option_of_serve_can_stand_in_a_file(tmp_path: Path):
    assert {flag for flag in FLAGS if flag.startswith("--")} == flags_of("serve") - {"--help", "--config"}
    assert parsed("serve", "--config", written(tmp_path, SERVE)) == parsed("serve", *FLAGS)


def test_the_command_line_overrides_the_file_whatever_the_order(tmp_path: Path):
    path = written(tmp_path, SERVE)
    for arguments in (["--config", path, "--port", "8765"], ["--port", "8765", f"--config={path}"]):
        assert parsed("serve", *arguments)["port"] == 8765  # the default, said on purpose
    assert parsed("serve", "--config", path, "--origin", "https://three.example")["origins"] == [
        "https://one.example",
        "https://two.example",
        "https://three.example",
    ]


def test_other_commands_have_tables_too(tmp_path: Path):
    path = written(tmp_path, '[file]\nspeakers = 2\nknown = ["Anna"]\nsave = ["S2=Ben"]\n[mic]\nlatency = 0.5\n')
    assert parsed("file", "a.wav", "--config", path) == parsed(
        "file", "a.wav", "--speakers", "2", "--known", "Anna", "--save", "S2=Ben"
    )
    assert parsed("mic", "--config", path)["latency_s"] == 0.5
    assert parsed("demo", "--config", path) == parsed("demo")
    assert all("--config" in flags_of(command) for command in COMMANDS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[serve]\nport = "x"', "[serve] port: expected a whole number, got x"),
        ("[serve]\nprt = 1", "[serve] prt: expected one of host, port, token-file, "),
        ("[serve]\nno-token = 1", "[serve] 'no-token': expected true or false, got 1"),
        ('[serve]\norigin = "a"', "[serve] origin: expected a list, got a"),
        ("[serve]\nroot = true", "[serve] root: expected a string or a number, got True"),
        ("[serve]\nidle = nan", "[serve] idle: expected more than 0 seconds, got nan"),
        ('[serve]\nlog-level = "all"', "[serve] 'log-level': expected one of debug, info, warning, error, got all"),
        ('[serve]\nconfig = "b"', "[serve] config: expected one of "),
        (
            "[serv]",
            "expected the tables [file], [mic], [serve], [connect], [demo], [batch], [enroll], [tune], ",
        ),
        ("serve = 1", "expected the tables "),
        ('[serve]\n"a\\u001b\\n" = 1', "[serve] 'a\\x1b\\n': expected one of "),
    ],
)
def test_a_mistake_is_one_sentence_that_names_its_place(tmp_path: Path, text: str, says: str):
    path = written(tmp_path, text)
    with pytest.raises(TurnstreamError) as error:
        parsed("serve", "--config", path)
    assert str(error.value).startswith(f"{path}: {says}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [None, "[serve", "\x00", "[" * 5000])
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, text: str | None):
    path = str(tmp_path / "none.toml") if text is None else written(tmp_path, text)
    with pytest.raises(TurnstreamError, match=r"cannot read the options in .*: ") as error:
        parsed("serve", "--config", path)
    assert "\n" not in str(error.value)


def test_what_connect_takes_audio_from_is_said_on_the_command_line(tmp_path: Path):
    with pytest.raises(TurnstreamError, match=r"\[connect\] mic: expected one of token-file, "):
        parsed("connect", "localhost", "--file", "a.wav", "--config", written(tmp_path, "[connect]\nmic = true"))


def test_the_example_is_valid():
    assert parsed("serve", "--config", str(ROOT / "deploy" / "turnstream.toml"))["log_format"] == "json"
