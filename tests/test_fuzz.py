"""The fuzzer of the decoders: it finds what it is for, and a short run finds nothing."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from conftest import ROOT

from benchmarks.fuzz import LONGEST_BYTES, NAMES, changed
from benchmarks.fuzzing.targets import LONGEST, Target, targets
from turnstream.errors import TurnstreamError


def raising(error: Exception) -> Target:
    def read(data: bytes) -> None:
        raise error

    return Target(read, ValueError if isinstance(error, ValueError) else TurnstreamError, [b""])


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (TurnstreamError("expected 1, got 2"), None),
        (ValueError("two\nlines"), "not a sentence: 'two"),
        (TurnstreamError("x" * (LONGEST + 1)), "not a sentence: 'xxx"),
        (RecursionError("too deep"), "RecursionError: too deep"),
    ],
)
def test_what_is_not_documented_is_a_complaint(error: Exception, complaint: str | None):
    assert (raising(error).complaint(b"") or "None").startswith(str(complaint))


def test_every_decoder_takes_its_examples_and_changes_of_them():
    rng, found = random.Random(0), targets()
    assert tuple(found) == NAMES
    for target in found.values():
        assert [complaint for data in target.examples if (complaint := target.complaint(data))] == []
        messages = [changed(list(target.examples), rng) for _ in range(300)]
        assert [complaint for data in messages if (complaint := target.complaint(data))] == []
        assert len(set(messages)) > 200
        assert max(map(len, messages)) <= LONGEST_BYTES


def test_the_command_counts_what_it_was_asked_for():
    command = [sys.executable, "-m", "benchmarks.fuzz", "--messages", "2000", "--only", "parse_rttm", "decode_client"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.count("1,000 messages       0 bad")) == (0, 2)
