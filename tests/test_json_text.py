"""JSON that strangers wrote, nested as deep as they like: a value or the documented error, never a RecursionError."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnstream.errors import TurnstreamError
from turnstream.json_text import MOST_LEVELS, load_json
from turnstream.people.person import EXPORT_FORMAT, FORMAT, parse_export, parse_person
from turnstream.protocol.messages import decode_client, decode_server
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.config_file import read_constants
from turnstream.weights import cache
from turnstream.wire import ProtocolError, parse_object

DEPTHS = [*range(MOST_LEVELS - 3, MOST_LEVELS + 4), *range(100, 1100, 53), *range(960, 1010), 20_000]
NESTS: dict[str, Callable[[int], str]] = {
    "lists": lambda depth: "[" * depth + "]" * depth,
    "objects": lambda depth: '{"a":' * depth + "1" + "}" * depth,
    "both": lambda depth: '[{"a":' * (depth // 2) + "1" + "}]" * (depth // 2),
}
MESSAGES = ["%s", '{"type":%s}', '{"type":"start","latency":%s}', '{"type":"start","a":%s}', '{"type":"later","a":%s}']
SERVED = ['{"type":"turn","seq":%s}', '{"type":"turn","seq":1,"id":%s}', '{"type":"final","turns":[%s]}']
PERSON = f'{{"format":"{FORMAT}","name":%s,"model":"a","voices":[]}}'
VOICE = f'{{"format":"{FORMAT}","name":"A","model":"a","voices":[{{"at":1,"clean_s":1,"embedding":%s}}]}}'
EXPORTS = ['{"format":%s}', PERSON, VOICE, f'{{"format":"{EXPORT_FORMAT}","people":[%s]}}']


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize(
    ("decode", "forms"),
    [
        (decode_client, MESSAGES),
        (decode_server, [*MESSAGES, *SERVED]),
        (lambda text: parse_person(text, "it"), EXPORTS),
        (lambda text: parse_export(text, "it"), EXPORTS),
    ],
)
def test_any_depth_is_a_value_or_the_documented_error(decode: Callable[[str], Any], forms: list[str], nest: str):
    for form in forms:
        for depth in DEPTHS:
            with contextlib.suppress(TurnstreamError):
                decode(form % NESTS[nest](depth))


@pytest.mark.parametrize("nest", NESTS)
def test_files_of_any_depth_are_read_or_refused(nest: str, tmp_path: Path):
    path = tmp_path / "constants.json"
    name = next(iter(StitcherConfig.__dataclass_fields__))
    for depth in DEPTHS:
        for form in ("%s", f'{{"{name}":%s}}'):
            path.write_text(form % NESTS[nest](depth))
            with pytest.raises(TurnstreamError, match="expected"):
                read_constants(path, StitcherConfig)
        path.with_name("weights.json").write_text(NESTS[nest](depth))
        cache._record_path(tmp_path / "weights").write_text(NESTS[nest](depth))
        assert cache.load(tmp_path / "weights", "a" * 64) is None


@pytest.mark.parametrize("nest", ["lists", "objects"])
def test_the_limit_is_exact_and_the_error_names_it(nest: str):
    load_json(NESTS[nest](MOST_LEVELS))
    with pytest.raises(ValueError, match=f"at most {MOST_LEVELS} levels"):
        load_json(NESTS[nest](MOST_LEVELS + 1))
    for depth in (MOST_LEVELS, 900, 100_000):
        with pytest.raises(ProtocolError, match=f"^expected JSON of at most {MOST_LEVELS} levels, got ") as error:
            parse_object(f'{{"a":{NESTS[nest](depth)}}}')
        assert len(str(error.value)) < 200


def test_width_is_not_depth():
    assert len(load_json("[" + "[1,{}]," * 10_000 + "2]")) == 10_001
