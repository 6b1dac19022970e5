"""Constants from a file: what is written is read, and nothing else is taken."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.errors import TurnstreamError
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.config_file import limits

DEFAULT = StitcherConfig()
NUMBERS = [f.name for f in fields(StitcherConfig) if isinstance(f.default, float)]


@settings(deadline=None)
@given(st.sampled_from(NUMBERS), st.floats(0, 1))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, name: str, place: float) -> None:
    low, high = limits(name)
    config = replace(DEFAULT, **{name: low + place * (high - low)})
    path = tmp_path_factory.mktemp("x") / "constants.json"
    path.write_text(json.dumps(asdict(config)))
    assert StitcherConfig.from_json(path) == config
    path.write_text(json.dumps({name: getattr(config, name)}))
    assert StitcherConfig.from_json(path) == config


def test_every_default_is_within_its_limits(tmp_path: Path) -> None:
    path = tmp_path / "constants.json"
    path.write_text(json.dumps(asdict(DEFAULT)))
    assert StitcherConfig.from_json(path) == DEFAULT
    assert all(limits(f.name)[1] < float("inf") for f in fields(StitcherConfig) if not isinstance(f.default, bool))


NAME = NUMBERS[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"no_such": 1}', "got no_such"),
        ('{"no\\nsuch": 1}', r"got 'no\\nsuch'"),
        (f'{{"{NAME}": "{"9" * 999}"}}', f"expected {NAME} to be a number, got '9+[.]{{3}}$"),
        (f'{{"{NAME}": "0.5"}}', f"expected {NAME} to be a number, got '0.5'"),
        (f'{{"{NAME}": true}}', f"expected {NAME} to be a number, got True"),
        (f'{{"{NAME}": -1}}', r"from 0 to .*, got -1"),
        (f'{{"{NAME}": NaN}}', r"from 0 to .*, got nan"),
        (f'{{"{NAME}": 0.1, "{NAME}": 0.2}}', "once, got it twice"),
        ('{"vote_share": 1.5}', "vote_share from 0 to 1, got 1.5"),
        ('{"assign_windows": 2.5}', "assign_windows to be a whole number, got 2.5"),
        ("[1]", r"one JSON object, got '\[1\]'"),
        ("3", "one JSON object, got '3'"),
        ("{", "expected JSON, got"),
        ("[" * 100_000, "expected JSON, got"),
        (" " * 1_000_001, "expected at most 1000000 bytes, got more"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "constants.json"
    path.write_text(text)
    with pytest.raises(TurnstreamError, match=said) as caught:
        StitcherConfig.from_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TurnstreamError, match=r"cannot read .*nowhere\.json: No such file"):
        StitcherConfig.from_json(tmp_path / "nowhere.json")
